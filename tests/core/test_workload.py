"""Workloads: their limits, and the seeded generator."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compllm.core.workload import Mix, Shape, Workload, WorkNode, WorkRun, random_workload

EXPERTS = {f"e{n}": f"m{n % 3}" for n in range(9)}


def node(number: int, *parents: int, duration_s: float = 1.0) -> WorkNode:
    return WorkNode(number, parents, "e0", "m0", duration_s)


def shaped(shape: Shape, size: int, seed: int = 0) -> list[tuple[int, ...]]:
    mix = Mix(shapes={shape: 1.0}, sizes=(size, size))
    return [each.parents for each in random_workload(1, EXPERTS, mix, seed).runs[0].nodes]


def test_a_run_knows_its_work_and_its_critical_path() -> None:
    run = WorkRun("r", 0.0, (node(1), node(2, 1, duration_s=3.0), node(3, 1), node(4, 3, duration_s=1.5)))
    assert (run.work_s, run.critical_path_s) == (6.5, 4.0)
    assert WorkRun("r", 0.0, ()).critical_path_s == 0.0


@pytest.mark.parametrize("nodes", [(node(1), node(1)), (node(2, 1), node(1)), (node(1, 1),)])
def test_a_run_refuses_what_is_no_plan(nodes: tuple[WorkNode, ...]) -> None:
    with pytest.raises(ValueError, match="run r: node"):
        WorkRun("r", 0.0, nodes)


def test_a_workload_is_in_order_of_arrival_and_refuses_a_run_twice() -> None:
    workload = Workload((WorkRun("b", 2.0, (node(1),)), WorkRun("a", 1.0, (node(1), node(2)))))
    assert [run.id for run in workload.runs] == ["a", "b"]
    assert workload.size == 3
    with pytest.raises(ValueError, match="same id"):
        Workload((WorkRun("a", 1.0, ()), WorkRun("a", 2.0, ())))


@pytest.mark.parametrize(
    ("shape", "plan"),
    [
        ("single", [()]),
        ("chain", [(), (1,), (2,), (3,)]),
        ("fan", [(), (), (), (1, 2, 3)]),
        ("diamond", [(), (1,), (1,), (2, 3)]),
    ],
)
def test_shapes(shape: Shape, plan: list[tuple[int, ...]]) -> None:
    assert shaped(shape, 4) == plan


@given(st.integers(1, 30), st.integers(0, 1000))
@settings(deadline=None)
def test_layered_plans_have_one_or_two_parents_beyond_the_first_layer(size: int, seed: int) -> None:
    plan = shaped("layered", size, seed)
    roots = [parents for parents in plan if not parents]
    assert len(plan) == size
    assert 1 <= len(roots) <= 3
    assert all(len(parents) <= 2 for parents in plan)


@pytest.mark.parametrize("shape", ["fan", "diamond"])
def test_the_smallest_plans_keep_their_shape(shape: Shape) -> None:
    assert shaped(shape, 1)[-1] != ()


def test_the_same_seed_gives_the_same_workload() -> None:
    assert random_workload(50, EXPERTS, Mix(), 7) == random_workload(50, EXPERTS, Mix(), 7)
    assert random_workload(50, EXPERTS, Mix(), 7) != random_workload(50, EXPERTS, Mix(), 8)


def test_a_mix_is_what_it_says() -> None:
    mix = Mix(rate_per_s=5.0, skew=1.0, duration_s=2.0, users=3, deadline_s=60.0)
    workload = random_workload(2000, EXPERTS, mix, 1)
    nodes = [each for run in workload.runs for each in run.nodes]
    assert workload.runs[-1].at_s == pytest.approx(2000 / 5.0, rel=0.1)
    assert sorted(each.duration_s for each in nodes)[len(nodes) // 2] == pytest.approx(2.0, rel=0.1)
    assert all(each.model == EXPERTS[each.expert] and each.estimate_s == each.duration_s for each in nodes)
    assert {run.user for run in workload.runs} == {"u0", "u1", "u2"}
    assert {run.deadline_s for run in workload.runs} == {60.0}
    first, second, third = (count for _, count in Counter(each.expert for each in nodes).most_common(3))
    assert first / second == pytest.approx(2.0, rel=0.15)
    assert first / third == pytest.approx(3.0, rel=0.15)


def test_without_skew_all_experts_are_alike_and_estimates_may_be_missing() -> None:
    workload = random_workload(2000, EXPERTS, Mix(skew=0.0, known=False), 1)
    counts = Counter(each.expert for run in workload.runs for each in run.nodes)
    assert max(counts.values()) < 1.15 * fmean(counts.values())
    assert {each.estimate_s for run in workload.runs for each in run.nodes} == {None}


def test_a_workload_needs_experts() -> None:
    with pytest.raises(ValueError, match="at least one expert"):
        random_workload(1, {}, Mix(), 0)
