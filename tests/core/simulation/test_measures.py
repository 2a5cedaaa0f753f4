"""Figures that can be worked out by hand."""

from __future__ import annotations

import math

import pytest

from compllm.core.ledger import Device, Model
from compllm.core.simulation import Attempt, FinishedRun, SimulationResult, Stay, summarise
from compllm.core.simulation.measures import quantile

RESULT = SimulationResult(
    models=(Model("a", 4, slots=2, threads=2, devices=("cpu",)), Model("far")),
    devices=(Device("cpu", 10, cores=4),),
    runs=(
        FinishedRun("r1", "ann", 1.0, 5.0, 2, 2, 2.0, "answered"),
        FinishedRun("r2", "bob", 2.0, 10.0, 2, 1, 2.0, "gaps"),
        FinishedRun("r3", "bob", 2.0, 11.0, 2, 1, 2.0, "late"),
    ),
    attempts=(
        Attempt("r1", 1, "a", "a", "cpu", 1, 3.0, 5.0, "completed"),
        Attempt("r2", 1, "a", "a", "cpu", 1, 4.0, 5.0, "failed"),
        Attempt("r2", 2, "a", "a", "cpu", 1, 4.0, 5.0, "lost"),
        Attempt("r1", 2, "far", "far", "remote", 1, 1.0, 2.0, "completed"),
    ),
    stays=(
        Stay("a", "cpu", 4, 4, 1.0, None, 2.0, 0.0, "failed"),
        Stay("a", "cpu", 4, 6, 2.0, 3.0, 6.0, 2.0, "evicted"),
        Stay("a", "cpu", 6, 6, 8.0, 9.0, 11.0, 0.0, "kept"),
        Stay("far", "remote", 0, 0, 0.0, 0.0, 11.0, 1.0, "kept"),
    ),
    ended_s=11.0,
    events=20,
)


def test_memory_is_a_step_for_every_change() -> None:
    assert RESULT.memory("cpu") == [(1.0, 4), (2.0, 4), (3.0, 6), (6.0, 0), (8.0, 6), (9.0, 6)]
    assert RESULT.memory("nothing") == []


def test_a_summary() -> None:
    summary = summarise(RESULT)
    assert (summary.runs, summary.nodes, summary.ends) == (3, 6, {"answered": 1, "gaps": 1, "late": 1})
    assert (summary.makespan_s, summary.throughput_per_s) == (10.0, 0.2)
    assert (summary.latency.mean_s, summary.latency.p50_s, summary.latency.p99_s) == (6.0, 4.0, 8.0)
    assert (summary.loads, summary.failed_loads, summary.swaps, summary.crashes) == (3, 1, 1, 0)
    assert (summary.load_s, summary.loaded_bytes, summary.failed_attempts) == (3.0, 16, 2)
    # 4 slot seconds of 2 slots for 3 + 2 seconds
    assert summary.slot_share == pytest.approx(4 / 10)


def test_the_use_of_a_device() -> None:
    use = summarise(RESULT).devices["cpu"]
    assert (use.capacity_bytes, use.peak_bytes) == (10, 6)
    # bytes: 4 for 1 s, 4 for 1 s, 6 for 3 s, 6 for 3 s, of 10 for 10 s; cores: 2 for 2 s of 4 for 10 s
    assert use.memory_share == pytest.approx(44 / 100)
    assert use.core_share == pytest.approx(4 / 40)


def test_users_and_their_fairness() -> None:
    summary = summarise(RESULT)
    assert {user: (share.runs, share.answered, share.slowdown) for user, share in summary.users.items()} == {
        "ann": (1, 1, 2.0),
        "bob": (2, 1, 4.0),
    }
    assert summary.fairness == pytest.approx(36 / (2 * 20))


def test_nothing_at_all_has_no_figures() -> None:
    summary = summarise(SimulationResult((), (Device("cpu", 10),), (), (), (), 0.0, 0))
    assert summary.runs == 0
    assert math.isnan(summary.latency.p50_s)
    assert math.isnan(summary.throughput_per_s)
    assert math.isnan(summary.devices["cpu"].memory_share)


def test_quantiles_are_values_that_were_seen() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.25, 0.5, 0.51, 1.0)] == [1.0, 1.0, 2.0, 3.0, 4.0]
