"""Small simulations whose every instant can be worked out by hand."""

from __future__ import annotations

import itertools

import pytest

from compllm.core import events as ev
from compllm.core.health import Backoff
from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import Failures, SimulationResult, Truth, simulate
from compllm.core.simulation.truth import Luck
from compllm.core.workload import Workload, WorkNode, WorkRun
from compllm.errors import InvalidTransition, SchedulerStalledError
from tests.core.simulation.brains import Script

CPU = Device("cpu", 10)


def model(name: str, footprint_bytes: int = 4, **more: object) -> Model:
    return Model(name, footprint_bytes, devices=("cpu",), load_s=2.0, **more)  # type: ignore[arg-type]


def node(number: int, name: str, duration_s: float, *parents: int) -> WorkNode:
    return WorkNode(number, parents, name, name, duration_s, duration_s)


def run(name: str, at_s: float, *nodes: WorkNode, **more: object) -> WorkRun:
    return WorkRun(name, at_s, nodes, **more)  # type: ignore[arg-type]


def play(
    runs: list[WorkRun], models: list[Model], devices: list[Device] | None = None, truth: Truth | None = None
) -> SimulationResult:
    devices = devices or [CPU]
    return simulate(Workload(tuple(runs)), models, devices, Scheduler(models, devices), truth)


def times(result: SimulationResult) -> dict[tuple[str, int], tuple[float, float]]:
    return {(each.run, each.node): (each.started_s, each.ended_s) for each in result.attempts}


def test_a_load_comes_before_the_first_node_and_is_shared_by_the_next() -> None:
    result = play([run("r", 1.0, node(1, "a", 3.0), node(2, "a", 1.0, 1))], [model("a")])
    assert times(result) == {("r", 1): (3.0, 6.0), ("r", 2): (6.0, 7.0)}
    assert [(s.asked_s, s.loaded_s, s.left_s, s.busy_s, s.end) for s in result.stays] == [(1.0, 3.0, 7.0, 4.0, "kept")]
    assert [(r.arrived_s, r.ended_s, r.end, r.completed) for r in result.runs] == [(1.0, 7.0, "answered", 2)]
    assert result.memory("cpu") == [(1.0, 4), (3.0, 4)]


def test_two_nodes_share_a_curve() -> None:
    truth = Truth(curves={"a": (1.0, 1.5)})
    runs = [run("r", 0.0, node(1, "a", 3.0), node(2, "a", 6.0))]
    # From 2 s on each progresses at 0.75: the first ends after 4 s, then the second has 3 of its 6 seconds left.
    result = play(runs, [model("a", slots=2)], truth=truth)
    assert times(result) == {("r", 1): (2.0, 6.0), ("r", 2): (2.0, 9.0)}


def test_without_a_curve_requests_do_not_slow_each_other_down() -> None:
    result = play([run("r", 0.0, node(1, "a", 3.0), node(2, "a", 6.0))], [model("a", slots=2)])
    assert times(result) == {("r", 1): (2.0, 5.0), ("r", 2): (2.0, 8.0)}


def test_a_model_is_evicted_for_another_and_its_bytes_count_until_the_eviction_has_ended() -> None:
    models = [model("a", 6), model("b", 5)]
    result = play([run("r", 0.0, node(1, "a", 1.0), node(2, "b", 1.0, 1))], models, truth=Truth(evict_s=0.5))
    assert times(result) == {("r", 1): (2.0, 3.0), ("r", 2): (5.5, 6.5)}
    assert result.memory("cpu") == [(0.0, 6), (2.0, 6), (3.5, 5), (5.5, 5)]
    assert [(s.model, s.end) for s in result.stays] == [("a", "evicted"), ("b", "kept")]


def test_computing_replicas_share_a_device_by_its_co_run_factor() -> None:
    truth = Truth(co_run={"cpu": (1.0, 0.5)})
    runs = [run("r", 0.0, node(1, "a", 1.0), node(2, "b", 2.0))]
    result = play(runs, [model("a"), model("b")], [Device("cpu", 10, 2)], truth)
    assert times(result) == {("r", 1): (2.0, 4.0), ("r", 2): (2.0, 5.0)}


def test_loads_share_the_bandwidth_of_a_device() -> None:
    runs = [run("r", 0.0, node(1, "a", 1.0), node(2, "b", 1.0))]
    result = play(runs, [model("a"), model("b")], [Device("cpu", 10, 2)], Truth(loads_share=True))
    assert times(result) == {("r", 1): (4.0, 5.0), ("r", 2): (4.0, 5.0)}


def test_a_hosted_model_needs_no_load() -> None:
    result = play([run("r", 0.0, node(1, "far", 1.0))], [Model("far")])
    assert times(result) == {("r", 1): (0.0, 1.0)}
    assert [(s.device, s.held_bytes, s.busy_s) for s in result.stays] == [("remote", 0, 1.0)]


def test_the_deadline_cancels_a_run() -> None:
    runs = [run("r", 0.0, node(1, "a", 3.0), node(2, "a", 1.0, 1), deadline_s=4.0), run("s", 0.0, node(1, "a", 1.0))]
    result = play(runs, [model("a")])
    assert {r.id: (r.end, r.ended_s) for r in result.runs} == {"r": ("late", 4.0), "s": ("answered", 5.0)}
    assert [(a.run, a.end, a.ended_s) for a in result.attempts] == [("r", "cancelled", 4.0), ("s", "completed", 5.0)]


def test_a_plan_may_still_be_written_while_its_first_nodes_run() -> None:
    late = WorkNode(2, (), "far", "far", 1.0, 1.0, added_s=5.0)
    result = play([WorkRun("r", 1.0, (node(1, "far", 1.0), late), closed_s=9.0)], [Model("far")])
    assert times(result) == {("r", 1): (1.0, 2.0), ("r", 2): (6.0, 7.0)}
    assert result.runs[0].ended_s == 10.0


def test_no_node_is_told_before_its_parents() -> None:
    early = WorkNode(2, (1,), "a", "a", 1.0, 1.0)
    result = play([run("r", 0.0, WorkNode(1, (), "a", "a", 1.0, 1.0, added_s=5.0), early)], [model("a")])
    assert times(result) == {("r", 1): (7.0, 8.0), ("r", 2): (8.0, 9.0)}


def test_a_crash_loses_what_is_in_flight_and_the_node_is_tried_again_after_a_load() -> None:
    truth = Truth(failures=Failures(crash_mean_s=3.0))
    seed = next(s for s in itertools.count() if Luck(truth, s).life_s("a", 1) < 2.0 < Luck(truth, s).life_s("a", 2))
    life_s = Luck(truth, seed).life_s("a", 1)
    devices, models = [CPU], [model("a")]
    workload = Workload((run("r", 0.0, node(1, "a", 2.0)),))
    result = simulate(workload, models, devices, Scheduler(models, devices), truth, seed)
    again_s = 2.0 + life_s + Backoff().first_s + 2.0
    assert [(a.end, a.number, a.started_s) for a in result.attempts] == [("lost", 1, 2.0), ("completed", 2, again_s)]
    assert [(s.end, s.busy_s) for s in result.stays] == [("crashed", pytest.approx(life_s)), ("kept", 2.0)]
    assert result.runs[0].end == "answered"


def test_a_model_that_is_larger_than_it_says_is_booked_with_what_it_holds() -> None:
    truth = Truth(failures=Failures(larger=1.0, growth=1.5))
    result = play([run("r", 0.0, node(1, "a", 1.0))], [model("a", 4)], truth=truth)
    assert result.memory("cpu") == [(0.0, 4), (2.0, 6)]


def test_a_model_that_turns_out_larger_than_its_device_is_given_up() -> None:
    truth = Truth(failures=Failures(larger=1.0, growth=1.5))
    result = play([run("r", 0.0, node(1, "a", 1.0))], [model("a", 8)], truth=truth)
    assert [(r.end, r.completed) for r in result.runs] == [("failed", 0)]
    # 12 bytes never fit into 10: not with 8 reserved, not with 8 * 1.25; for the third time more would be asked for.
    assert [(s.end, s.reserved_bytes, s.loaded_s) for s in result.stays] == [("failed", 8, None), ("failed", 10, None)]


def test_a_caller_who_leaves_cancels_the_run() -> None:
    result = play([run("r", 0.0, node(1, "a", 9.0))], [model("a")], truth=Truth(failures=Failures(cancelled=1.0)))
    assert [(r.end, r.completed) for r in result.runs] == [("cancelled", 0)]
    assert result.runs[0].ended_s == Luck(Truth(failures=Failures(cancelled=1.0)), 0).leaves_after_s("r", 9.0) < 9.0


def test_a_node_that_fails_for_good_leaves_a_gap() -> None:
    truth = Truth(failures=Failures(nodes=1.0, retryable=0.0))
    runs = [run("r", 0.0, node(1, "a", 1.0), node(2, "far", 1.0))]
    result = play(runs, [model("a"), Model("far")], truth=truth)
    assert [(r.end, r.completed) for r in result.runs] == [("failed", 0)]
    assert {a.end for a in result.attempts} == {"failed"}


def test_a_faster_device_divides_loads_and_durations() -> None:
    result = play([run("r", 0.0, node(1, "a", 3.0))], [model("a")], [Device("cpu", 10, speed=2.0)])
    assert times(result) == {("r", 1): (1.0, 2.5)}


@pytest.mark.parametrize(
    ("commands", "problem"),
    [
        ((ev.RunNode("r", 1, "a", "a", "cpu", 1),), "not resident"),
        ((ev.RunNode("r", 2, "a", "a", "cpu", 1),), "parents"),
        ((ev.LoadModel("b", "cpu", 11),), "not free"),
        ((ev.EvictModel("a", "cpu"),), "not resident"),
    ],
)
def test_what_no_machine_can_do_is_refused(commands: tuple[ev.Command, ...], problem: str) -> None:
    workload = Workload((run("r", 0.0, node(1, "a", 1.0), node(2, "a", 1.0, 1)),))
    with pytest.raises(InvalidTransition, match=problem):
        simulate(workload, [model("a"), model("b", 11)], [CPU], Script(*commands))


def test_a_brain_that_forgets_a_run_has_stalled() -> None:
    with pytest.raises(SchedulerStalledError, match="run r has not ended"):
        simulate(Workload((run("r", 0.0, node(1, "a", 1.0)),)), [model("a")], [CPU], Script())
