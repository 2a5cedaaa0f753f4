"""Thoughts at the beginning of an answer are left out of it, and nothing else is."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.experts.thinking import ThoughtFilter

WRITTEN = st.lists(
    st.sampled_from(["<think>", "</think>", "<thi", "nk>", "</", "<", " ", "\n", "Four", "4"]), max_size=9
)


def filtered(pieces: list[str]) -> str:
    thoughts = ThoughtFilter()
    return "".join([*map(thoughts.feed, pieces), thoughts.end()])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>2 + 2</think>\n\nFour", "Four"),
        ("\n<think>\n\n</think>\n\nFour", "Four"),
        ("<think>2 + 2 is", ""),
        ("<think>2 + 2</think> \n", ""),
        ("Four <think>or five</think>", "Four <think>or five</think>"),
        ("<think>a</think>b<think>c</think>", "b<think>c</think>"),
        (" Four\n", " Four\n"),
        (" <thi", " <thi"),
        ("<thinking>Four", "<thinking>Four"),
        ("</think>Four", "</think>Four"),
    ],
)
def test_thoughts_are_no_part_of_the_answer(text: str, answer: str) -> None:
    assert filtered([text]) == answer


@given(st.one_of(WRITTEN.map("".join), st.text()), st.lists(st.integers(0, 60), max_size=8))
def test_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    whole = re.sub(r"\A\s*<think>.*?(?:</think>\s*|\Z)", "", text, flags=re.DOTALL)
    assert filtered([text[begin:end] for begin, end in pairwise(edges)]) == whole


def test_an_answer_is_passed_on_as_it_comes() -> None:
    thoughts = ThoughtFilter()
    pieces = ["<thi", "nk>2 + 2</thi", "nk>", "\n", "\nFour", " it is", "."]
    assert [thoughts.feed(piece) for piece in pieces] == ["", "", "", "", "Four", " it is", "."]
