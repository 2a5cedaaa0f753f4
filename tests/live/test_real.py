"""Real workers under both brains: three models with a budget for two never hold more than the budget."""

from __future__ import annotations

import pytest

from compllm.bench.real import measure_composition
from compllm.bench.residency.live import measure_swapping

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio]


async def test_workers_never_hold_more_than_the_budget() -> None:
    report = await measure_swapping(12, 0.5)
    for figures in (report.ours, report.lru):
        assert figures.samples > 10
        assert figures.loads >= 3
        assert 0 < figures.peak_bytes <= report.budget_bytes


async def test_composed_answers_are_the_sequential_ones() -> None:
    figures = await measure_composition(1, 4)
    assert figures.equal == 4
    assert figures.predicted_s > 0
