"""Answers that end at a stop sequence or after so many tokens, however they are cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.serve.cutting import Cutter, count_tokens


def passed(pieces: list[str], stop: list[str], max_tokens: int | None) -> tuple[str, str]:
    cutter = Cutter(stop, max_tokens)
    text = "".join([*(cutter.feed(piece) for piece in pieces), cutter.rest()])
    return text, cutter.finish_reason


@pytest.mark.parametrize(
    ("text", "stop", "max_tokens", "expected"),
    [
        ("Paris is old.", [], None, ("Paris is old.", "stop")),
        ("Paris is old.", [" is", "old"], None, ("Paris", "stop")),
        ("Paris is old.", ["old!"], None, ("Paris is old.", "stop")),
        ("Paris is old.", [], 4, ("Paris is old.", "stop")),
        ("Paris is old.", [], 2, ("Paris is", "length")),
        ("incomprehensible", [], 1, ("incomp", "length")),
        ("Paris is old.", ["old"], 2, ("Paris is ", "stop")),
        ("Paris is old.", ["old"], 1, ("Paris", "length")),
        ("", ["x"], 1, ("", "stop")),
    ],
)
def test_an_answer_ends_where_the_client_said(
    text: str, stop: list[str], max_tokens: int | None, expected: tuple[str, str]
) -> None:
    assert passed([text], stop, max_tokens) == expected


@given(
    st.text(alphabet="ab .", max_size=30) | st.text(alphabet="ab .", max_size=4).map(lambda text: text * 9),
    st.lists(st.text(alphabet="ab .", min_size=1, max_size=3), max_size=2),
    st.none() | st.integers(1, 6),
    st.sets(st.integers(0, 30)),
)
def test_pieces_make_no_difference(text: str, stop: list[str], max_tokens: int | None, marks: set[int]) -> None:
    places = sorted({0, len(text), *(mark for mark in marks if mark < len(text))})
    whole = passed([text], stop, max_tokens)
    assert passed([text[a:b] for a, b in pairwise(places)], stop, max_tokens) == whole
    assert text.startswith(whole[0])
    assert not any(each in whole[0] for each in stop)
    assert max_tokens is None or count_tokens(whole[0]) <= max_tokens


def test_long_answers_take_no_long_time() -> None:
    assert count_tokens(" " * 200_000 + "a" * 200_000) == 33_334
    assert passed([" " * 200_000, ".", "a" * 200_000], ["x"], 3)[1] == "length"


def test_nothing_is_held_back_without_need() -> None:
    cutter = Cutter(["###"])
    assert [cutter.feed(piece) for piece in ("one #", " two ##", "# three")] == ["one ", "# two ", ""]


def test_a_word_without_an_end_comes_as_it_is_written() -> None:
    cutter = Cutter(max_tokens=1000)
    assert [cutter.feed(piece) for piece in ("東京は日本", "の首都", "です。")] == ["", "東京は日本の", "首都です。"]
    for _ in range(1000):
        cutter.feed("人口")
        assert len(cutter._held) <= 6
