"""The aggregator of last resort loses nothing."""

from __future__ import annotations

import pytest

from compllm.aggregator.base import Part
from compllm.aggregator.joined import JoinedAggregator

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("Paris", "Paris. [2]"),
        ("Paris.", "Paris. [2]"),
        ("Really?", "Really? [2]"),
        (" two:\n- a\n- b ", "two:\n- a\n- b. [2]"),
    ],
)
async def test_every_answer_is_a_cited_sentence(answer: str, line: str) -> None:
    parts = (Part(1, "q", "One.", "a"), Part(2, "q", answer, "b"))
    pieces = [piece async for piece in JoinedAggregator().join("?", parts)]
    assert pieces == ["One. [1]", f"\n{line}"]


async def test_a_gap_has_no_line() -> None:
    parts = (Part(1, "q", "", ""), Part(2, "q", "Two.", "b"))
    assert [piece async for piece in JoinedAggregator().join("?", parts)] == ["Two. [2]"]
