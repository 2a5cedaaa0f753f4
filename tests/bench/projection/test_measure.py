"""The projection: what must hold whatever the figures are, and how they are shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from compllm.bench.projection.assumptions import Assumptions
from compllm.bench.projection.measure import (
    Changed,
    Projected,
    Projection,
    System,
    changes,
    project_composition,
    project_monolith,
)
from compllm.bench.projection.questions import random_questions
from compllm.bench.projection.report import as_plain, as_tables, plot_projection
from compllm.errors import ModelTooLargeError

GIVEN = Assumptions()
QUESTIONS = random_questions("P", 14, GIVEN, 0)


def composition(system: System, budget: float | None, given: Assumptions = GIVEN) -> Projected:
    return project_composition("P", QUESTIONS, system, budget, given)


def test_composing_is_faster_than_one_by_one_within_the_same_memory() -> None:
    for budget in (25.0, 35.0, None):
        ours, sequential = composition("composed", budget), composition("sequential", budget)
        assert ours.mean_s < sequential.mean_s
        if budget is not None:
            assert max(ours.peak_bytes, sequential.peak_bytes) <= budget * 2e9


def test_with_all_resident_nothing_is_loaded_any_more_and_that_is_faster() -> None:
    small, large = composition("composed", 25), composition("composed", None)
    assert (small.gpus, large.gpus) == (1, 2)
    assert large.loads == 0 < small.loads
    assert large.mean_s < small.mean_s


def test_the_same_questions_give_the_same_projection() -> None:
    assert composition("composed", 35) == composition("composed", 35)


def test_the_monolith_waits_for_nothing_but_bandwidth() -> None:
    slow = replace(GIVEN, gpu=replace(GIVEN.gpu, bytes_per_s=GIVEN.gpu.bytes_per_s / 2))
    ours, slower = (project_monolith("P", QUESTIONS, "monolith 70B", each) for each in (GIVEN, slow))
    assert (ours.gpus, ours.loads) == (2, 0)
    assert slower.p50_s == pytest.approx(2 * ours.p50_s, rel=0.02)


def test_memory_without_room_for_the_largest_expert_is_refused() -> None:
    with pytest.raises(ModelTooLargeError):
        composition("composed", 20)


def test_each_change_is_of_one_assumption() -> None:
    changed = changes(GIVEN)
    assert changed.pop("as assumed") == GIVEN
    assert len(set(map(repr, changed.values()))) == len(changed) == 8


@pytest.fixture
def projection() -> Projection:
    rows = (
        project_monolith("All", QUESTIONS, "monolith 70B", GIVEN),
        replace(composition("sequential", 35), shape="All"),
        replace(composition("composed", 35), shape="All"),
    )
    return Projection(GIVEN, 4, 0, rows, rows[1:], (Changed("as assumed", 4.0, 3.0, 2.0),))


def test_ratios_are_of_the_same_shape_and_memory(projection: Projection) -> None:
    table, curve, sensitivity = as_tables(projection).values()
    assert [row["faster_than_sequential"] is None for row in table] == [True, True, False]
    assert [row["memory"] for row in table] == ["its own", "35 B", "35 B"]
    assert table[0]["faster_than_70b"] == table[0]["smaller_than_70b"] == 1
    assert curve == table[1:]
    assert (sensitivity[0]["faster_than_sequential"], sensitivity[0]["faster_than_70b"]) == (1.5, 2)


def test_what_is_assumed_stands_beside_the_figures(projection: Projection) -> None:
    plain = json.loads(json.dumps(as_plain(projection)))
    assert plain["assumptions"]["gpu"]["bytes_per_s"] == 3.35e12
    assert "H100 SXM" in plain["sources"]


def test_the_curve_is_drawn(projection: Projection, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_projection(tmp_path / "curve.svg", projection)
    assert (tmp_path / "curve.svg").stat().st_size > 5_000
