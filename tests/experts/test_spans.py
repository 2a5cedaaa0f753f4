"""What a reader wrote, brought back to the words of what it read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.experts.spans import nearest_span

PASSAGE = (
    "Forward suspicious mails to desk@fern.example. The river Neva flows past it. She has carpal tunnel syndrome, and "
    "an HbA1c of 6.5 percent since 1891–1895. Her number is 4455, that of Okafor 4499. "
    "In October or November, 50 of room 20 may not open it. Pets aren't admitted."
)


@pytest.mark.parametrize(
    ("answer", "span"),
    [
        ("desk@fern", "desk@fern.example"),
        ("Desk@fern", "desk@fern.example"),
        ("Nea", "Neva"),
        ("carpel tunnel syndrome", "carpal tunnel syndrome"),
        ("6", "6.5"),
        ("Neva", "Neva"),
        ("the river Neva", "the river Neva"),
        ("1891", "1891"),
        ("4499", "4499"),
        ("4498", "4498"),
        ("a wholly different answer", "a wholly different answer"),
        ("", ""),
        ("No", "No"),
        ("5", "5"),
        ("Octo", "October"),
        ("2 may open it", "2 may open it"),
        ("may open it", "may open it"),
        ("are admitted", "are admitted"),
    ],
)
def test_an_answer_is_a_span_of_what_was_read(answer: str, span: str) -> None:
    assert nearest_span(answer, ["Nothing here.", PASSAGE]) == span


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_answer_is_kept_or_is_in_a_passage(answer: str, passages: list[str]) -> None:
    found = nearest_span(answer, passages)
    assert found.casefold() == answer.casefold() or any(
        found.casefold() in " ".join(text.split()).casefold() for text in passages
    )


@given(st.data())
def test_what_is_copied_rightly_stays(data: st.DataObject) -> None:
    words = PASSAGE.split()
    start = data.draw(st.integers(0, len(words) - 1))
    copied = " ".join(words[start : data.draw(st.integers(start + 1, len(words)))])
    assert nearest_span(copied, [PASSAGE]) == copied
