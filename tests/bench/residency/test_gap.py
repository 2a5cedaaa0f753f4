"""Ours against the optimum on a few instances, and the cache of optima."""

from __future__ import annotations

import pytest

from compllm.bench.residency.gap import BrainFactory, Gap, GapReport, format_gaps, measure_gaps, schedule_online
from compllm.bench.residency.instances import small_instance
from compllm.bench.residency.policies import BASELINES
from compllm.bench.residency.schedule import violations
from compllm.core.scheduler import Scheduler


@pytest.mark.parametrize("seed", range(20))
def test_online_schedules_of_all_brains_keep_the_rules(seed: int) -> None:
    instance = small_instance(seed)
    brains: list[BrainFactory] = [Scheduler, *(baseline.brain for baseline in BASELINES)]
    for brain in brains:
        schedule = schedule_online(instance, brain)
        assert violations(instance, schedule) == []
        assert schedule.makespan_s <= instance.serial_s


def test_instances_are_small_reproducible_and_differ() -> None:
    instances = [small_instance(seed) for seed in range(30)]
    assert instances == [small_instance(seed) for seed in range(30)]
    assert {len(each.run.nodes) for each in instances} == set(range(8, 13))
    assert {len(each.models) for each in instances} == {2, 3, 4}
    assert {len(each.devices) for each in instances} == {1, 2}


def test_the_optimum_is_never_longer_than_ours() -> None:
    pytest.importorskip("ortools")
    report = measure_gaps([5, 10])
    assert report.proved
    assert all(gap.ratio >= 1.0 for gap in report.gaps)
    assert report.mean <= report.worst


def test_the_report_names_mean_and_worst() -> None:
    report = GapReport(
        (Gap(1, 8, 2, 1, 12.0, 10.0, proved=True, solve_s=0.1), Gap(2, 9, 3, 1, 10.0, 10.0, proved=False, solve_s=9.0))
    )
    assert report.mean == pytest.approx(1.1)
    assert report.worst == pytest.approx(1.2)
    assert not report.proved
    assert "mean 1.100  worst 1.200  all proved: False" in format_gaps(report)
