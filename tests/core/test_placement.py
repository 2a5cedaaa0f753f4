"""Residency: prefetch, what is spared and for how long, swaps that wait for company, whole plans."""

from __future__ import annotations

from collections import Counter

import pytest

from compllm.core import events as ev
from compllm.core.events import FinishRun, WakeAt
from compllm.core.ledger import Device, Model
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import simulate
from compllm.core.workload import Workload, WorkNode, WorkRun
from tests.core.test_scheduler import BACKOFF, Bench, assigned, evict, load, local, run


def test_what_a_later_node_needs_is_loaded_into_free_bytes() -> None:
    bench = Bench(local("a"), local("b"))
    assert bench.add(1, "a") == [load("a")]
    assert bench.add(2, "b", parents=(1,)) == [load("b")]


def test_nothing_is_evicted_for_a_prefetch() -> None:
    bench = Bench(local("a", 6), local("b", 6))
    bench.add(1, "a")
    bench.loaded("a", 6)
    assert bench.add(2, "b", parents=(1,)) == []


def test_a_prefetched_model_may_leave_for_one_that_is_wanted_now() -> None:
    bench = Bench(local("a", 4), local("b", 6), local("c", 6))
    bench.add(1, "a")
    bench.add(2, "b", parents=(1,))
    bench.loaded("a", 4)
    bench.loaded("b", 6)
    assert bench.add(1, "c", run="other") == [WakeAt(4.0)]  # twice the two loads, waited for by one node
    assert bench.wake(4.0) == [evict("b")]


def test_hints_are_loaded_before_the_first_step_is_known() -> None:
    bench = Bench(local("a"), local("b"))
    bench.send(ev.RunOpened("r"))
    assert bench.send(ev.ModelsExpected("r", ("b",))) == [load("b")]
    assert bench.send(ev.ModelsExpected("r", ("b",))) == []


def test_a_hint_does_not_load_what_rests_after_a_failure_or_has_no_room() -> None:
    bench = Bench(local("bad"), local("pin", pinned=True), local("wide", 6))
    bench.add(1, "bad")
    bench.load_failed("bad", retryable=False)
    bench.add(2, "pin")
    bench.loaded("pin", 5)
    for model in ("bad", "wide"):
        assert bench.send(ev.ModelsExpected("r", (model,))) == []
    bench.now_s = 10.0
    assert bench.send(ev.ModelsExpected("r", ("bad",))) == [load("bad")]


def test_a_hint_takes_no_bytes_that_are_being_freed_for_another() -> None:
    models = (
        local("old", 6),
        local("small"),
        Model("big", 10, devices=("gpu",)),
        Model("x", 8, devices=("cpu", "gpu")),
    )
    bench = Bench(*models, rules=Rules(patience=0))
    bench.add(1, "old")
    bench.loaded("old", 6)
    bench.add(2, "big")
    bench.loaded("big", 10, "gpu")
    bench.done(1)
    assert bench.add(3, "x") == [evict("old")]
    assert bench.send(ev.ModelsExpected("r", ("small",))) == []
    assert bench.evicted("old") == [load("x")]


def test_a_replica_that_is_about_to_be_needed_is_spared_for_as_long_as_its_reload_takes() -> None:
    bench = Bench(local("a", 6), local("b", 6), local("c", 4), rules=Rules(patience=0, backoff=BACKOFF))
    bench.add(1, "a")
    bench.loaded("a", 6)
    bench.add(2, "c", s=0.5)
    bench.loaded("c", 4)
    bench.add(3, "a", parents=(2,), s=5.0)
    assert bench.add(1, "b", run="other") == []
    assert bench.done(1) == [WakeAt(1.0)]  # node 3 waits for node 2 alone, which runs
    assert bench.wake(1.0) == [evict("a")]


def test_while_others_work_a_swap_waits_for_company() -> None:
    bench = Bench(local("a", 4, slots=9), local("b", 6), local("c", 6))
    bench.add(1, "a")
    bench.loaded("a", 4)
    bench.add(1, "b", run="s")
    bench.loaded("b", 6)
    bench.done(1, run="s")
    assert bench.add(1, "c", run="t") == [WakeAt(2.0)]  # the load of c, twice
    assert bench.add(1, "c", run="u") == [WakeAt(1.0)]  # two wait: it is worth it sooner
    assert bench.wake(1.0) == [evict("b")]


def test_a_swap_waits_for_nobody_when_the_device_has_nothing_else_to_do() -> None:
    bench = Bench(local("b", 6), local("c", 6))
    bench.add(1, "b")
    bench.loaded("b", 6)
    bench.add(2, "b", parents=(1,), s=9.0)
    bench.done(1)
    bench.done(2)
    assert bench.add(1, "c", run="t") == [evict("b")]


def test_a_plan_told_as_a_whole_loads_first_what_its_end_advises() -> None:
    """Node by node, a would be loaded first, for it comes first; b has the long path behind it."""
    models = (local("a", 6), local("b", 6))
    scheduler = Scheduler(models, [Device("cpu", 10, 4)])
    nodes = [
        ev.NodeAdded("r", 1, "?", (), assigned("a"), duration_s=1.0),
        ev.NodeAdded("r", 2, "?", (), assigned("b"), duration_s=5.0),
        ev.NodeAdded("r", 3, "?", (2,), assigned("b"), duration_s=5.0),
        ev.NodeAdded("r", 4, "?", (1, 3), assigned("a"), duration_s=1.0),
    ]
    assert scheduler.handle_all([*nodes, ev.PlanClosed("r")], 0.0) == [load("b")]


def test_models_go_where_cores_are_free() -> None:
    both = ("cpu", "gpu")
    models = (Model("a", 3, threads=2, devices=both), Model("b", 3, threads=2, devices=both))
    scheduler = Scheduler(models, [Device("cpu", 10, 2), Device("gpu", 10, 2)])
    first = scheduler.handle(ev.NodeAdded("r", 1, "?", (), assigned("a")), 0.0)
    assert first + scheduler.handle(ev.NodeAdded("r", 2, "?", (), assigned("b")), 0.0) == [load("a"), load("b", "gpu")]


def test_the_faster_of_two_free_devices_is_taken() -> None:
    model = Model("a", 3, devices=("cpu", "gpu"))
    scheduler = Scheduler([model], [Device("cpu", 10, 2), Device("gpu", 10, 2, speed=4.0)])
    assert scheduler.handle(ev.NodeAdded("r", 1, "?", (), assigned("a")), 0.0) == [load("a", "gpu")]


def test_a_node_of_a_model_that_is_there_starts_while_another_loads() -> None:
    bench = Bench(local("a"), local("b"))
    bench.add(1, "a")
    bench.loaded("a")
    bench.done(1)
    assert bench.add(2, "b") == [load("b")]
    assert bench.add(3, "a") == [run(3, "a")]


# --- priorities ------------------------------------------------------------------------------------------------------


def backlog(bench: Bench, model: str, name: str, nodes: int, priority: int = 0) -> None:
    bench.send(ev.RunOpened(name, priority=priority))
    for node in range(1, nodes + 1):
        bench.add(node, model, run=name)


def test_a_replica_takes_no_more_nodes_when_a_higher_priority_wants_its_room() -> None:
    bench = Bench(local("a", 6), local("b", 6))
    backlog(bench, "a", "low", 3)
    bench.loaded("a", 6)
    backlog(bench, "b", "high", 2, priority=1)
    assert bench.done(1, run="low") == [evict("a")]
    assert bench.evicted("a") == [load("b")]
    assert bench.loaded("b", 6) == [run(1, "b", of="high")]
    assert bench.done(1, run="high") == [run(2, "b", of="high")]
    assert bench.done(2, run="high") == [evict("b")]
    assert bench.evicted("b") == [load("a")]


def test_of_equal_priority_none_takes_the_model_of_another_that_waits() -> None:
    bench = Bench(local("a", 6), local("b", 6))
    for name, model in (("r", "a"), ("s", "b")):
        backlog(bench, model, name, 3, priority=1)
    bench.loaded("a", 6)
    assert [bench.done(node, run="r") for node in (1, 2)] == [[run(node, "a", of="r")] for node in (2, 3)]
    assert bench.done(3, run="r") == [evict("a")]


def test_a_replica_goes_on_where_its_room_would_not_help() -> None:
    """The other one, of the same priority as who waits, would have to leave too."""
    bench = Bench(local("a", 4), local("c", 4), local("b", 8))
    backlog(bench, "a", "low", 3)
    backlog(bench, "c", "high", 3, priority=1)
    for name in "ac":
        bench.loaded(name)
    backlog(bench, "b", "other", 1, priority=1)
    assert bench.done(1, run="low") == [run(2, "a", of="low")]


def test_a_pinned_replica_goes_on() -> None:
    bench = Bench(local("pin", 2, pinned=True), local("a", 6), local("b", 6))
    backlog(bench, "pin", "pins", 3)
    bench.loaded("pin", 2)
    backlog(bench, "a", "low", 1)
    bench.loaded("a", 6)
    backlog(bench, "b", "high", 1, priority=1)
    assert bench.done(1, run="pins") == [run(2, "pin", of="pins")]
    assert bench.done(1, run="low") == [evict("a")]


def test_a_replica_that_made_way_goes_on_when_nobody_wants_its_room_any_more() -> None:
    bench = Bench(local("a", 6, slots=2), local("b", 6))
    backlog(bench, "a", "low", 4)
    bench.loaded("a", 6)
    backlog(bench, "b", "high", 1, priority=1)
    assert bench.done(1, run="low") == []  # the second slot is still at work
    assert bench.send(ev.RunCancelled("high", "left")) == [FinishRun("high"), run(3, "a", of="low")]


def test_one_that_has_starved_is_not_made_to_wait_for_a_higher_priority() -> None:
    bench = Bench(local("a", 6), local("b", 6), rules=Rules(max_overtakes=2))
    backlog(bench, "a", "low", 2)
    bench.loaded("a", 6)
    for number in range(2):
        backlog(bench, "a", f"chat{number}", 1, priority=1)
    assert bench.done(1, run="low") == [run(1, "a", of="chat0")]
    assert bench.done(1, run="chat0") == [run(1, "a", of="chat1")]
    backlog(bench, "b", "high", 1, priority=2)
    assert bench.done(1, run="chat1") == [run(2, "a", of="low")]
    assert bench.done(2, run="low") == [evict("a")]


def test_room_that_is_being_made_for_a_lower_priority_goes_to_a_higher_one() -> None:
    bench = Bench(local("a", 6), local("b", 6), local("c", 6))
    bench.add(1, "a")
    bench.loaded("a", 6)
    bench.done(1)
    assert bench.add(2, "b") == [evict("a")]
    backlog(bench, "c", "high", 1, priority=1)
    assert bench.evicted("a") == [load("c")]


def test_a_swap_for_a_higher_priority_waits_for_no_company() -> None:
    bench = Bench(local("a", 4, slots=9), local("b", 6), local("c", 6))
    backlog(bench, "a", "r", 1)
    bench.loaded("a", 4)
    backlog(bench, "b", "s", 1)
    bench.loaded("b", 6)
    bench.done(1, run="s")
    bench.send(ev.RunOpened("t", priority=1))
    assert bench.add(1, "c", run="t") == [evict("b")]


@pytest.mark.parametrize(("priority", "loads"), [(1, {"a": 6, "b": 5}), (0, {"a": 1, "b": 1})])
def test_each_arrival_of_a_higher_priority_costs_one_swap_and_of_an_equal_one_none(
    priority: int, loads: dict[str, int]
) -> None:
    models, devices = [local("a", 6), local("b", 6)], [Device("cpu", 10, 4)]
    many = [WorkRun(f"low{n}", 0.0, (WorkNode(1, (), "a", "a", 1.0, 1.0),)) for n in range(100)]
    few = [WorkRun(f"h{n}", 5.5 + 15 * n, (WorkNode(1, (), "b", "b", 1.0, 1.0),), "", priority) for n in range(5)]
    result = simulate(Workload((*many, *few)), models, devices, Scheduler(models, devices))
    assert Counter(stay.model for stay in result.stays) == loads
    slowest_s = max(run.ended_s - run.arrived_s for run in result.runs if run.id.startswith("h"))
    assert (slowest_s < 4.0) is (priority == 1)
