"""Halves of characters: joined where they meet, replaced where one is alone."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from compllm.experts.characters import CharacterJoiner, whole_characters


def joined(pieces: list[str]) -> str:
    joiner = CharacterJoiner()
    return "".join([*map(joiner.feed, pieces), joiner.end()])


@given(st.text(), st.lists(st.integers(0, 40)))
def test_a_text_is_the_same_however_its_characters_are_cut(text: str, places: list[int]) -> None:
    units = text.encode("utf-16-le", "replace")
    halves = [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
    cuts = sorted({0, *(place for place in places if place < len(halves)), len(halves)})
    pieces = ["".join(halves[start:end]) for start, end in pairwise(cuts)]
    assert joined(pieces) == units.decode("utf-16-le")


@given(st.lists(st.text(alphabet=st.sampled_from("a\ud83d\ude00é\U0001f600"))))
def test_whatever_comes_can_be_sent_on(pieces: list[str]) -> None:
    text = joined(pieces)
    assert text.encode().decode() == text == whole_characters("".join(pieces))


def test_a_half_that_stays_alone_is_replaced() -> None:
    assert joined(["a\ud83d", "b"]) == "a\ufffdb"
    assert joined(["a\ud83d"]) == "a\ufffd"
    assert joined(["\ude00a"]) == "\ufffda"
    assert joined(["a\ud83d", "", "\ude00b"]) == "a\U0001f600b"
