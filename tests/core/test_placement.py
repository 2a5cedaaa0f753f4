"""Residency: prefetch, what is spared and for how long, swaps that wait for company, whole plans."""

from __future__ import annotations

from compllm.core import events as ev
from compllm.core.events import WakeAt
from compllm.core.ledger import Device, Model
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
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
