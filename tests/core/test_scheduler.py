"""The scheduler in small scenarios, event by event."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.events import (
    CancelNode,
    EvictModel,
    FinishRun,
    GiveUpNode,
    LoadModel,
    ResolveNode,
    RunNode,
    SkipNode,
    WakeAt,
)
from compllm.core.health import Backoff
from compllm.core.ledger import Device, Model
from compllm.core.routing import Assignment, Candidate
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import InvalidTransition, ModelTooLargeError, SchedulerStalledError

ANSWER = SubAnswer("yes", "expert", "model")
BACKOFF = Backoff(first_s=1.0, longest_s=8.0, breaker_failures=2, breaker_s=10.0)


def assigned(*models: str) -> Assignment:
    candidates = tuple(Candidate(f"expert-{model}", model) for model in models)
    return Assignment(candidates, "given", 1.0, 1.0, passed=bool(models), reason="nobody knows")


class Bench:
    """A scheduler, the time, and short words for events; every event is followed by `check`."""

    def __init__(self, *models: Model, capacity_bytes: int = 10, cores: int = 4, rules: Rules | None = None) -> None:
        devices = (Device("cpu", capacity_bytes, cores), Device("gpu", capacity_bytes, cores))
        self.scheduler = Scheduler(models, devices, rules or Rules(backoff=BACKOFF))
        self.now_s = 0.0

    def send(self, event: ev.SchedulerEvent) -> list[ev.Command]:
        commands = self.scheduler.handle(event, self.now_s)
        self.scheduler.check()
        return commands

    def add(
        self, node: int, *models: str, parents: tuple[int, ...] = (), final: bool = True, s: float = 1.0, run: str = "r"
    ) -> list[ev.Command]:
        return self.send(ev.NodeAdded(run, node, "?", parents, assigned(*models), final, duration_s=s))

    def close(self, run: str = "r") -> list[ev.Command]:
        return self.send(ev.PlanClosed(run))

    def loaded(self, model: str, footprint_bytes: int = 4, device: str = "cpu") -> list[ev.Command]:
        return self.send(ev.ModelLoaded(model, device, footprint_bytes, 1.0))

    def load_failed(self, model: str, *, retryable: bool = True, needed: int | None = None) -> list[ev.Command]:
        return self.send(ev.ModelLoadFailed(model, "cpu", "no luck", retryable, needed))

    def evicted(self, model: str) -> list[ev.Command]:
        return self.send(ev.ModelEvicted(model, "cpu"))

    def crashed(self, model: str) -> list[ev.Command]:
        return self.send(ev.ModelCrashed(model, "cpu", "killed"))

    def done(self, node: int, attempt: int = 1, run: str = "r") -> list[ev.Command]:
        return self.send(ev.NodeCompleted(run, node, ANSWER, attempt))

    def failed(self, node: int, attempt: int = 1, *, retryable: bool = False, run: str = "r") -> list[ev.Command]:
        return self.send(ev.NodeFailed(run, node, "no", retryable, attempt))

    def wake(self, at_s: float) -> list[ev.Command]:
        self.now_s = at_s
        return self.send(ev.Woken())


def local(name: str, footprint_bytes: int = 4, slots: int = 1, threads: int = 1, *, pinned: bool = False) -> Model:
    return Model(name, footprint_bytes, slots, threads, ("cpu",), pinned)


def run(node: int, model: str, attempt: int = 1, *, of: str = "r", device: str = "cpu") -> RunNode:
    return RunNode(of, node, f"expert-{model}", model, device, attempt)


def load(model: str, device: str = "cpu") -> LoadModel:
    return LoadModel(model, device, 0)


def evict(model: str) -> EvictModel:
    return EvictModel(model, "cpu")


# --- plans -----------------------------------------------------------------------------------------------------------


def test_a_diamond_runs_in_the_order_of_its_edges() -> None:
    bench = Bench(local("a", slots=2))
    assert bench.add(1, "a") == [load("a")]
    assert bench.add(2, "a", parents=(1,)) == []
    assert bench.add(3, "a", parents=(1,)) == []
    assert bench.add(4, "a", parents=(2, 3)) == []
    assert bench.close() == []
    assert bench.loaded("a") == [run(1, "a")]
    assert bench.done(1) == [run(2, "a"), run(3, "a")]
    assert bench.done(3) == []
    assert bench.done(2) == [run(4, "a")]
    assert bench.done(4) == [FinishRun("r")]
    assert not bench.scheduler.graph.runs


def test_a_node_added_after_its_parent_has_ended_starts_at_once() -> None:
    bench = Bench(Model("far"))
    bench.add(1, "far")
    bench.done(1)
    assert bench.add(2, "far", parents=(1,)) == [run(2, "far", device="remote")]


def test_a_run_ends_only_when_its_plan_is_closed() -> None:
    bench = Bench(Model("far"))
    bench.add(1, "far")
    assert bench.done(1) == []
    assert bench.close() == [FinishRun("r")]


def test_an_empty_plan_ends_at_once() -> None:
    assert Bench().close() == [FinishRun("r")]


def test_a_dependent_node_is_resolved_when_its_parents_have_ended() -> None:
    bench = Bench(Model("far", slots=2), Model("other"))
    bench.add(1, "far")
    assert bench.add(2, "far", parents=(1,), final=False) == []
    assert bench.done(1) == [ResolveNode("r", 2)]
    assert bench.send(ev.NodeRouted("r", 2, "now known", assigned("other"))) == [run(2, "other", device="remote")]


def test_events_that_cannot_follow_are_refused() -> None:
    bench = Bench(Model("far"))
    bench.add(1, "far")
    for event, message in (
        (ev.NodeAdded("r", 1, "?", (), assigned("far")), "added twice"),
        (ev.NodeAdded("r", 2, "?", (7,), assigned("far")), "node 7 of run r is not known"),
        (ev.NodeAdded("r", 3, "?", (), assigned("nobody")), "unknown models"),
        (ev.NodeCompleted("r", 9, ANSWER), "node 9 of run r is not known"),
        (ev.ModelEvicted("ghost", "cpu"), "ghost has no replica"),
    ):
        with pytest.raises(InvalidTransition, match=message):
            bench.scheduler.handle(event, 0.0)
    bench.close()
    with pytest.raises(InvalidTransition, match="run that is over"):
        bench.add(4, "far")


def test_nobody_eligible_is_given_up_with_the_reason() -> None:
    bench = Bench(Model("far"))
    assert bench.add(1) == [GiveUpNode("r", 1, "nobody knows")]
    assert bench.add(2, "far", parents=(1,)) == [SkipNode("r", 2, 1)]
    assert bench.close() == [FinishRun("r")]


# --- loads and evictions ---------------------------------------------------------------------------------------------


def test_a_model_is_loaded_once_for_all_who_ask() -> None:
    bench = Bench(local("a", slots=3))
    assert bench.add(1, "a") == [load("a")]
    assert bench.add(2, "a") == []
    assert bench.loaded("a") == [run(1, "a"), run(2, "a")]


def test_models_that_fit_are_loaded_side_by_side() -> None:
    bench = Bench(local("a"), local("b"), local("c"))
    assert [bench.add(1, "a"), bench.add(2, "b"), bench.add(3, "c")] == [[load("a")], [load("b")], []]


def test_evict_and_reload_where_only_one_fits() -> None:
    bench = Bench(local("a", 6), local("b", 6))
    bench.add(1, "a")
    bench.loaded("a", 6)
    assert bench.add(2, "b", parents=(1,)) == []
    assert bench.add(3, "a", parents=(2,)) == []
    assert bench.done(1) == [evict("a")]
    assert bench.evicted("a") == [load("b")]
    assert bench.loaded("b", 6) == [run(2, "b")]
    assert bench.done(2) == [evict("b")]
    assert bench.evicted("b") == [load("a")]
    assert bench.loaded("a", 6) == [run(3, "a")]


def test_the_replica_that_no_open_node_names_goes_first() -> None:
    bench = Bench(local("a"), local("b"), local("c"))
    for number, name in enumerate("ab"):
        bench.add(1, name, run=name)
        bench.now_s = number
        bench.loaded(name)
        bench.done(1, run=name)
    bench.add(1, "c", run="slow", parents=(), s=1.0)
    assert "b" not in {r.model.name for r in bench.scheduler.ledger if r.state == "evicting"}
    assert bench.evicted("a") == [load("c")]


def test_a_pinned_replica_stays() -> None:
    bench = Bench(local("pin", pinned=True), local("b", 6), local("c", 6))
    bench.add(1, "pin")
    bench.loaded("pin")
    bench.done(1)
    bench.add(2, "b")
    bench.loaded("b", 6)
    bench.done(2)
    assert bench.add(3, "c") == [evict("b")]


def test_a_leased_replica_stays() -> None:
    bench = Bench(local("a", 6), local("b", 6))
    bench.add(1, "a")
    bench.loaded("a", 6)
    assert bench.add(2, "b") == []
    assert bench.done(1) == [evict("a")]


def test_impossible_teams_are_refused() -> None:
    with pytest.raises(ModelTooLargeError):
        Bench(local("a", 11))
    with pytest.raises(ModelTooLargeError):
        Bench(local("a", 6, pinned=True), local("b", 5))


def test_several_devices_are_filled_best_first() -> None:
    anywhere = ("gpu", "cpu")
    bench = Bench(Model("a", 6, devices=anywhere), Model("b", 6, devices=anywhere), Model("c", 6, devices=anywhere))
    assert bench.add(1, "a") == [load("a", "gpu")]
    assert bench.add(2, "b") == [load("b")]
    assert bench.add(3, "c") == []
    bench.loaded("b", 6)
    assert bench.done(2) == [evict("b")]
    assert bench.evicted("b") == [load("c")]


def test_room_that_is_being_made_on_one_device_is_not_made_on_another_too() -> None:
    anywhere = ("gpu", "cpu")
    bench = Bench(Model("a", 6, devices=anywhere), Model("b", 6, devices=anywhere), Model("c", 6, devices=anywhere))
    bench.add(1, "a")
    bench.add(2, "b")
    bench.loaded("a", 6, "gpu")
    bench.loaded("b", 6)
    bench.done(2)
    assert bench.add(3, "c") == [evict("b")]
    assert bench.done(1) == []
    assert bench.evicted("b") == [load("c")]


def test_remote_models_need_neither_load_nor_cores() -> None:
    bench = Bench(Model("far", slots=2, threads=99))
    assert [bench.add(n, "far") for n in (1, 2, 3)] == [
        [run(1, "far", device="remote")],
        [run(2, "far", device="remote")],
        [],
    ]
    assert bench.done(2) == [run(3, "far", device="remote")]


# --- compute and order -----------------------------------------------------------------------------------------------


def resident_pair(threads: int) -> Bench:
    bench = Bench(local("a", slots=2, threads=threads), local("b", slots=2, threads=threads), cores=2)
    for name in "ab":
        bench.add(1, name, run=name)
        bench.loaded(name)
        bench.done(1, run=name)
    return bench


def test_two_models_of_two_threads_take_turns_on_two_cores() -> None:
    bench = resident_pair(threads=2)
    assert bench.add(1, "a") == [run(1, "a")]
    assert bench.add(2, "b") == []
    assert bench.add(3, "a") == [run(3, "a")]
    assert bench.done(1) == []
    assert bench.done(3) == [run(2, "b")]


def test_two_models_of_one_thread_run_side_by_side_on_two_cores() -> None:
    bench = resident_pair(threads=1)
    assert bench.add(1, "a") == [run(1, "a")]
    assert bench.add(2, "b") == [run(2, "b")]


def test_a_running_batch_is_filled_before_another_begins() -> None:
    bench = Bench(local("a", slots=2), local("b", slots=2), cores=1)
    bench.add(1, "a", s=1.0)
    bench.add(2, "b", s=9.0)
    bench.add(3, "a", s=1.0)
    bench.loaded("b")
    assert bench.loaded("a") == []
    assert bench.done(2) == [run(1, "a"), run(3, "a")]


def test_the_longest_remaining_path_goes_first() -> None:
    bench = Bench(local("a"))
    bench.add(1, "a")
    bench.loaded("a")
    bench.add(2, "a", s=2.0)
    bench.add(3, "a", s=1.0)
    bench.add(4, "a", parents=(3,), s=5.0)
    assert bench.done(1) == [run(3, "a")]


def test_a_path_that_grows_while_the_plan_is_written_moves_its_head_forward() -> None:
    bench = Bench(local("a"))
    for node, seconds in ((1, 1.0), (2, 2.0), (3, 1.0), (4, 1.5)):
        bench.add(node, "a", s=seconds)
    bench.loaded("a")
    bench.add(5, "a", parents=(3,), s=4.0)
    assert bench.done(1) == [run(3, "a")]
    assert bench.done(3) == [run(5, "a")]


@pytest.mark.parametrize("max_overtakes", [0, 1, 3])
def test_a_stream_of_urgent_nodes_cannot_starve_a_model_that_must_be_loaded(max_overtakes: int) -> None:
    bench = Bench(local("a", 6), local("b", 6), rules=Rules(max_overtakes=max_overtakes))
    bench.add(1, "a", s=9.0)
    bench.loaded("a", 6)
    bench.add(1, "b", run="patient", s=0.1)
    younger_starts = 0
    for node in range(2, 50):
        bench.add(node, "a", s=9.0)
        commands = bench.done(node - 1)
        if commands == [evict("a")]:
            break
        younger_starts += commands == [run(node, "a")]
    assert younger_starts == max_overtakes
    bench.evicted("a")
    assert bench.loaded("b", 6) == [run(1, "b", of="patient")]


def test_loads_for_others_cannot_starve_a_node_that_waits_for_all_cores() -> None:
    """One small model after the other is loaded and takes a core; the node that needs both must get its turn."""
    small = [local(f"s{n}", 2) for n in range(4)]
    bench = Bench(local("wide", 5, threads=2), *small, cores=2, capacity_bytes=9, rules=Rules(max_overtakes=2))
    bench.add(1, "wide", run="first")
    bench.loaded("wide", 5)
    bench.done(1, run="first")
    bench.add(1, "s0")
    bench.loaded("s0", 2)
    assert bench.add(1, "wide", run="patient", s=0.1) == []
    running = 1
    for node in range(2, 30):
        pending = bench.add(node, f"s{node % 4}", s=5.0)
        pending += [c for model in in_state(bench, "evicting") for c in bench.evicted(model)]
        pending += [c for model in in_state(bench, "loading") for c in bench.loaded(model, 2)]
        pending += bench.done(running)
        if run(1, "wide", of="patient") in pending:
            return
        running = next((c.node for c in pending if isinstance(c, RunNode)), running)
    pytest.fail("the patient node never ran")


def in_state(bench: Bench, state: str) -> list[str]:
    return [replica.model.name for replica in bench.scheduler.ledger if replica.state == state]


def test_bytes_claimed_for_a_younger_node_do_not_block_a_starving_one() -> None:
    bench = Bench(local("a", 3), local("b", 6), local("c", 7), local("d", 8), rules=Rules(max_overtakes=1, patience=0))
    bench.add(1, "b")
    bench.loaded("b", 6)
    bench.add(2, "a")
    bench.loaded("a", 3)
    bench.done(1)
    assert bench.add(1, "d", run="old") == []
    assert bench.add(1, "c", run="young") == [evict("b")]
    bench.add(3, "a")
    assert bench.done(2) == [run(3, "a")]
    assert bench.evicted("b") == []
    assert bench.done(3) == [evict("a")]
    assert bench.evicted("a") == [load("d")]


# --- failure ---------------------------------------------------------------------------------------------------------


def far(*names: str, skip: bool = True) -> Bench:
    return Bench(*(Model(name, slots=9) for name in names), rules=Rules(backoff=BACKOFF, skip_descendants=skip))


def test_retry_then_failover_then_give_up_and_skip_descendants() -> None:
    bench = far("a", "b")
    bench.add(1, "a", "b")
    bench.add(2, "a", parents=(1,))
    bench.add(3, "a", parents=(2,))
    bench.add(4, "a")
    bench.close()
    assert bench.failed(1, retryable=True) == [WakeAt(1.0)]
    assert bench.wake(0.5) == [WakeAt(1.0)]
    assert bench.wake(1.0) == [run(1, "a", 2, device="remote")]
    assert bench.failed(1, 2, retryable=True) == [run(1, "b", 3, device="remote")]
    assert bench.failed(1, 3) == [GiveUpNode("r", 1, "no"), SkipNode("r", 2, 1), SkipNode("r", 3, 2)]
    assert bench.done(4) == [FinishRun("r")]


def test_descendants_may_run_with_the_gap() -> None:
    bench = far("a", skip=False)
    bench.add(1, "a")
    bench.add(2, "a", parents=(1,), final=False)
    assert bench.failed(1) == [GiveUpNode("r", 1, "no"), ResolveNode("r", 2)]
    assert bench.send(ev.NodeRouted("r", 2, "?", assigned("a"))) == [run(2, "a", device="remote")]
    assert bench.add(3, "a", parents=(1,)) == [run(3, "a", device="remote")]


def test_a_node_with_another_unfinished_parent_is_skipped_at_once_and_once() -> None:
    bench = far("a")
    bench.add(1, "a")
    bench.add(2, "a")
    bench.add(3, "a", parents=(1, 2))
    bench.close()
    assert bench.failed(1) == [GiveUpNode("r", 1, "no"), SkipNode("r", 3, 1)]
    assert bench.failed(2) == [GiveUpNode("r", 2, "no"), FinishRun("r")]


def test_news_of_an_attempt_that_is_over_is_ignored() -> None:
    bench = far("a")
    bench.add(1, "a")
    bench.failed(1, retryable=True)
    bench.wake(1.0)
    assert bench.done(1, attempt=1) == bench.failed(1, attempt=1) == []
    assert bench.send(ev.NodeCancelled("r", 1, 1)) == []
    assert bench.done(1, attempt=2) == []
    assert bench.done(1, attempt=2) == []
    assert bench.close() == [FinishRun("r")]


def test_a_crash_fails_the_leases_backs_off_and_restarts() -> None:
    bench = Bench(local("a", slots=2))
    bench.add(1, "a")
    bench.add(2, "a")
    bench.loaded("a")
    assert bench.crashed("a") == [WakeAt(1.0)]
    assert bench.add(3, "a") == []
    assert bench.wake(1.0) == [load("a")]
    assert bench.loaded("a") == [run(1, "a", 2), run(2, "a", 2)]
    assert bench.done(1, 2) == [run(3, "a")]


def test_late_news_of_a_crashed_attempt_whose_run_is_over_is_ignored() -> None:
    bench = Bench(local("a"), rules=Rules(max_tries=1))
    bench.add(1, "a")
    bench.close()
    bench.loaded("a")
    assert bench.crashed("a") == [GiveUpNode("r", 1, "killed"), FinishRun("r")]
    assert bench.failed(1) == bench.done(1) == []


def test_the_circuit_opens_is_half_open_and_closes() -> None:
    bench = Bench(local("a"), Model("far"))
    bench.add(1, "a", "far")
    assert bench.load_failed("a") == [WakeAt(1.0)]
    assert bench.wake(1.0) == [load("a")]
    assert bench.load_failed("a") == [run(1, "far", device="remote")]
    assert bench.add(2, "a") == [GiveUpNode("r", 2, "no luck")]
    bench.now_s = 11.0
    assert bench.add(3, "a") == [load("a")]
    assert bench.load_failed("a") == [GiveUpNode("r", 3, "no luck")]
    bench.now_s = 21.0
    assert bench.add(4, "a") == [load("a")]
    assert bench.loaded("a") == [run(4, "a")]
    bench.done(4)
    bench.crashed("a")
    assert bench.add(5, "a") == [WakeAt(22.0)]


def test_the_death_of_what_is_being_evicted_is_no_news() -> None:
    bench = Bench(local("a", 6), local("b", 6))
    bench.add(1, "a")
    bench.loaded("a", 6)
    bench.add(2, "b")
    assert bench.done(1) == [evict("a")]
    assert bench.add(3, "a") == bench.crashed("a") == []
    assert bench.evicted("a") == [load("b")]
    assert bench.crashed("a") == bench.crashed("b") == []
    assert bench.loaded("b", 6) == [run(2, "b")]


def test_a_load_that_need_not_be_tried_again_fails_over_at_once() -> None:
    bench = Bench(local("a"), Model("far"))
    bench.add(1, "a", "a", "far")
    assert bench.load_failed("a", retryable=False) == [run(1, "far", device="remote")]


def test_running_out_of_memory_corrects_the_footprint_and_evicts() -> None:
    bench = Bench(local("a"), local("b"))
    bench.add(1, "b")
    bench.loaded("b")
    bench.done(1)
    bench.add(2, "a")
    assert bench.load_failed("a", needed=8) == [WakeAt(1.0)]
    assert bench.wake(1.0) == [evict("b")]
    assert bench.evicted("b") == [load("a")]
    assert bench.scheduler.ledger.free_bytes("cpu") == 2


def test_running_out_of_memory_never_lowers_the_footprint() -> None:
    bench = Bench(local("a", 6))
    bench.add(1, "a")
    bench.load_failed("a", needed=3)
    assert bench.scheduler.models["a"].footprint_bytes == 6


def test_what_turns_out_larger_than_the_device_is_given_up() -> None:
    bench = Bench(local("a"), Model("far"))
    bench.add(1, "a", "far")
    bench.add(2, "a")
    reason = "a turned out to need 11 bytes, more than there is room for"
    assert bench.load_failed("a", needed=11) == [GiveUpNode("r", 2, reason), run(1, "far", device="remote")]
    assert bench.add(3, "a") == [GiveUpNode("r", 3, reason)]


def test_after_a_rest_it_is_tried_again_with_the_first_estimate() -> None:
    """Another program may have held the memory."""
    bench = Bench(local("a"))
    bench.add(1, "a")
    bench.load_failed("a", needed=11)
    bench.now_s = 10.0
    assert bench.add(2, "a") == [load("a")]
    assert bench.scheduler.ledger.free_bytes("cpu") == 6
    assert bench.loaded("a") == [run(2, "a")]


def test_what_a_pin_leaves_no_room_for_is_loaded_when_the_pin_has_shrunk() -> None:
    bench = Bench(local("pin", pinned=True), local("b", 5))
    bench.add(1, "pin")
    bench.loaded("pin", 6)
    bench.done(1)
    assert [type(command) for command in bench.add(2, "b")] == [GiveUpNode]
    bench.crashed("pin")
    bench.wake(1.0)
    bench.add(3, "pin")
    bench.loaded("pin", 4)
    assert bench.add(4, "b") == [load("b")]


def test_models_are_added_beside_one_that_has_become_too_large() -> None:
    bench = Bench(local("pin", 1, pinned=True), local("a"))
    bench.add(1, "a")
    bench.loaded("a", 11)
    bench.evicted("a")
    bench.scheduler.add_models([])
    with pytest.raises(ModelTooLargeError, match="'c'"):
        bench.scheduler.add_models([local("b"), local("c", 10)])
    assert "b" not in bench.scheduler.models
    bench.scheduler.add_models([local("b")])
    assert bench.add(2, "b") == [load("b")]


def test_an_overrun_is_evicted_at_once_and_loaded_when_there_is_room() -> None:
    bench = Bench(local("a"), local("b", 6))
    bench.add(1, "b")
    bench.loaded("b", 6)
    bench.add(2, "a")
    assert bench.loaded("a", 5) == [evict("a")]
    assert bench.evicted("a") == []
    assert bench.done(1) == [evict("b")]
    assert bench.evicted("b") == [load("a")]
    assert bench.loaded("a", 5) == [run(2, "a")]


def test_a_growing_pin_does_not_orphan_a_replica_that_is_still_owed() -> None:
    """What is in memory serves those who asked for it, even when it could not be loaded again."""
    bench = Bench(local("pin", pinned=True), local("b", 5))
    bench.add(1, "b")
    bench.add(2, "pin")
    assert bench.load_failed("pin", needed=6) == [WakeAt(1.0)]
    assert bench.loaded("b", 5) == [run(1, "b")]
    assert bench.wake(1.0) == []
    assert bench.done(1) == [evict("b")]
    assert bench.evicted("b") == [load("pin")]
    assert bench.loaded("pin", 6) == [run(2, "pin")]
    assert [type(command) for command in bench.add(3, "b")] == [GiveUpNode]


# --- cancellation ----------------------------------------------------------------------------------------------------


def test_a_cancelled_run_keeps_its_slot_until_the_node_has_stopped() -> None:
    bench = Bench(local("a"))
    bench.add(1, "a")
    bench.add(2, "a")
    bench.loaded("a")
    bench.add(1, "a", run="other")
    assert bench.send(ev.RunCancelled("r", "left")) == [CancelNode("r", 1)]
    assert bench.send(ev.NodeCancelled("r", 1)) == [FinishRun("r"), run(1, "a", of="other")]


@pytest.mark.parametrize("news", [Bench.done, Bench.failed])
def test_a_cancelled_node_may_end_first(news: Callable[[Bench, int], list[ev.Command]]) -> None:
    bench = far("a")
    bench.add(1, "a")
    bench.send(ev.RunCancelled("r", "left"))
    assert news(bench, 1) == [FinishRun("r")]
    assert bench.send(ev.NodeCancelled("r", 1)) == []


def test_a_cancelled_run_leaves_nothing_behind() -> None:
    bench = far("a")
    bench.add(1, "a")
    bench.add(2, "a", parents=(1,), final=False)
    bench.done(1)
    assert bench.send(ev.RunCancelled("r", "left")) == [FinishRun("r")]
    assert not bench.scheduler.graph.runs
    assert bench.send(ev.NodeRouted("r", 2, "?", assigned("a"))) == []


def test_a_run_cancelled_before_its_plan_ends_at_once() -> None:
    assert far("a").send(ev.RunCancelled("r", "left")) == [FinishRun("r")]


def test_no_node_joins_a_cancelled_run() -> None:
    bench = far("a")
    bench.add(1, "a")
    bench.send(ev.RunCancelled("r", "left"))
    with pytest.raises(InvalidTransition, match="run that is over"):
        bench.add(2, "a")


def test_a_load_for_a_cancelled_run_ends_and_may_be_evicted() -> None:
    bench = Bench(local("a", 6), local("b", 6))
    bench.add(1, "a")
    bench.add(1, "b", run="other")
    assert bench.send(ev.RunCancelled("r", "left")) == [FinishRun("r")]
    assert bench.loaded("a", 6) == [evict("a")]
    assert bench.evicted("a") == [load("b")]


def test_a_node_that_waits_for_a_retry_can_be_cancelled() -> None:
    bench = far("a")
    bench.add(1, "a")
    bench.failed(1, retryable=True)
    assert bench.send(ev.RunCancelled("r", "left")) == [FinishRun("r")]
    assert bench.wake(1.0) == []


# --- the whole -------------------------------------------------------------------------------------------------------


def test_time_never_runs_backwards() -> None:
    bench = far("a")
    bench.now_s = 5.0
    bench.add(1, "a")
    bench.now_s = 1.0
    assert bench.failed(1, retryable=True) == [WakeAt(6.0)]


def test_a_stall_is_an_error_with_a_snapshot() -> None:
    bench = Bench(local("a", slots=0))
    bench.add(1, "a")
    with pytest.raises(SchedulerStalledError, match=r"node \('r', 1\) ready on a") as caught:
        bench.loaded("a")
    assert "a resident on cpu: 4 bytes, 0 leases, owed to ('r', 1)" in caught.value.snapshot


def test_many_ready_nodes_of_one_model_all_run() -> None:
    bench = Bench(local("a", slots=8))
    handle = bench.scheduler.handle
    for node in range(1_000):
        handle(ev.NodeAdded("r", node, "?", (), assigned("a")), 0.0)
    handle(ev.PlanClosed("r"), 0.0)
    started = [c for c in handle(ev.ModelLoaded("a", "cpu", 4, 1.0), 0.0) if isinstance(c, RunNode)]
    for command in started:
        found = handle(ev.NodeCompleted("r", command.node, ANSWER), 1.0)
        started += [c for c in found if isinstance(c, RunNode)]
    assert sorted(command.node for command in started) == list(range(1_000))
    assert found == [FinishRun("r")]
