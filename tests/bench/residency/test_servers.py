"""Model servers and their eviction rules, event by event."""

from __future__ import annotations

import pytest

from compllm.bench.residency.belady import clairvoyant, replay_load_s
from compllm.bench.residency.policies import BASELINES, fifo, gdsf, keep_alive, lru
from compllm.bench.residency.servers import Policy, Servers, Usage
from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.ledger import Device, Model
from compllm.core.routing import Assignment, Candidate

ANSWER = SubAnswer("yes", "expert", "model")


class Bench:
    """Servers on one device, and short words for events; loads and evictions take effect when told."""

    def __init__(self, policy: Policy, sizes: dict[str, int], capacity: int, most_models: int | None = None) -> None:
        models = [Model(name, size, slots=1, devices=("d",), load_s=1.0) for name, size in sizes.items()]
        self.servers = Servers(models, [Device("d", capacity, cores=4)], policy, most_models)
        self.nodes = 0

    def send(self, event: ev.SchedulerEvent) -> list[ev.Command]:
        commands = self.servers.handle_all((event,), 0.0)
        self.servers.ledger.check()
        return commands

    def ask(self, model: str, *parents: int) -> list[ev.Command]:
        self.nodes += 1
        chosen = Assignment((Candidate("expert", model),), "given", 1.0, 1.0, passed=True, reason="test")
        return self.send(ev.NodeAdded("r", self.nodes, "?", parents, chosen, final=not parents))

    def done(self, node: int) -> list[ev.Command]:
        return self.send(ev.NodeCompleted("r", node, ANSWER))

    def loaded(self, model: str, size: int = 1) -> list[ev.Command]:
        return self.send(ev.ModelLoaded(model, "d", size, 1.0))

    def serve(self, model: str) -> list[ev.Command]:
        """Ask and let everything happen at once; return the commands that came first."""
        commands = first = self.ask(model)
        if isinstance(commands[0], ev.EvictModel):
            commands = [c for e in commands if isinstance(e, ev.EvictModel) for c in self.evicted(e.model)]
        if isinstance(commands[0], ev.LoadModel):
            self.loaded(model, self.servers.models[model].footprint_bytes)
        self.done(self.nodes)
        return first

    def evicted(self, model: str) -> list[ev.Command]:
        return self.send(ev.ModelEvicted(model, "d"))


def victims(commands: list[ev.Command]) -> list[str]:
    return [command.model for command in commands if isinstance(command, ev.EvictModel)]


def started(commands: list[ev.Command]) -> list[int]:
    return [command.node for command in commands if isinstance(command, ev.RunNode)]


def test_a_request_loads_its_model_and_starts_when_it_is_there() -> None:
    bench = Bench(lru, {"a": 1}, 1)
    assert bench.ask("a") == [ev.LoadModel("a", "d", 0)]
    assert started(bench.loaded("a")) == [1]


def test_more_requests_than_slots_wait_in_order() -> None:
    bench = Bench(lru, {"a": 1}, 1)
    for _ in range(3):
        bench.ask("a")
    assert started(bench.loaded("a")) == [1]
    assert started(bench.done(1)) == [2]
    assert started(bench.done(2)) == [3]


def test_a_request_that_waits_for_room_blocks_those_behind_it() -> None:
    bench = Bench(lru, {"a": 1, "b": 1}, 1)
    bench.ask("a")
    bench.loaded("a")
    assert bench.ask("b") == []
    assert bench.ask("a") == []
    assert victims(bench.done(1)) == ["a"]
    assert bench.evicted("a") == [ev.LoadModel("b", "d", 0)]


def test_a_model_with_requests_is_not_evicted() -> None:
    bench = Bench(lru, {"a": 1, "b": 1, "c": 1}, 2)
    bench.ask("a")
    bench.ask("b")
    bench.loaded("b")
    bench.done(2)
    assert victims(bench.ask("c")) == ["b"]


def test_dependent_nodes_are_resolved_when_their_parents_have_ended() -> None:
    bench = Bench(lru, {"a": 1}, 1)
    bench.ask("a")
    bench.ask("a", 1)
    bench.send(ev.PlanClosed("r"))
    bench.loaded("a")
    assert bench.done(1) == [ev.ResolveNode("r", 2)]
    routed = ev.NodeRouted("r", 2, "?", Assignment((Candidate("x", "a"),), "given", 1.0, 1.0, passed=True, reason=""))
    assert started(bench.send(routed)) == [2]
    assert bench.done(2) == [ev.FinishRun("r")]


def test_fifo_and_lru_differ_in_what_a_second_use_is_worth() -> None:
    for policy, victim in ((fifo, "a"), (lru, "b")):
        bench = Bench(policy, {"a": 1, "b": 1, "c": 1}, 2)
        for name in "aba":
            bench.serve(name)
        assert victims(bench.serve("c")) == [victim]


def test_equal_keep_alives_leave_by_name() -> None:
    bench = Bench(keep_alive, {"a": 1, "b": 1, "c": 1}, 2)
    for name in "bab":
        bench.serve(name)
    assert victims(bench.serve("c")) == ["a"]


def test_gdsf_keeps_what_is_used_often_and_forgets_it_in_time() -> None:
    bench = Bench(gdsf, {"a": 1, "b": 1, "c": 1, "d": 1}, 2)
    for name in "aaaab":
        bench.serve(name)
    assert [victims(bench.serve(name)) for name in "cdcdc"] == [["b"], ["c"], ["d"], ["a"], []]


def test_one_model_at_a_time_swaps_although_there_is_room() -> None:
    bench = Bench(lru, {"a": 1, "b": 1}, 2, most_models=1)
    bench.serve("a")
    assert victims(bench.serve("b")) == ["a"]


def test_as_many_victims_leave_as_are_needed() -> None:
    bench = Bench(lru, {"a": 1, "b": 1, "big": 2}, 2)
    bench.serve("a")
    bench.serve("b")
    assert victims(bench.ask("big")) == ["a", "b"]


def test_a_counting_operator_affords_what_always_fits() -> None:
    models = [Model(name, size, devices=("d",)) for name, size in {"a": 1, "b": 3, "c": 4}.items()]
    counting = next(baseline for baseline in BASELINES if baseline.counts)
    servers = counting.brain(models, [Device("d", 7)])
    assert servers.most_models == 2
    assert counting.brain(models, [Device("d", 6)]).most_models == 1


def test_a_failure_ends_the_measurement() -> None:
    bench = Bench(lru, {"a": 1}, 1)
    bench.ask("a")
    with pytest.raises(NotImplementedError):
        bench.send(ev.ModelLoadFailed("a", "d", "no luck"))


def usage(name: str, size: int = 1, load_s: float = 1.0, uses_ever: int = 0) -> Usage:
    return Usage(Model(name, size, load_s=load_s), size, 0, uses_ever=uses_ever)


def test_the_clairvoyant_rule_weighs_distance_cost_and_size() -> None:
    value = clairvoyant("xabcab")
    assert value(usage("a"), 0) > value(usage("b"), 0) > value(usage("c"), 0)
    assert value(usage("c", load_s=9.0), 0) > value(usage("b"), 0)
    assert value(usage("b", size=9), 0) < value(usage("c"), 0)
    assert value(usage("c", uses_ever=1), 4) == 0.0


def test_a_replay_needs_what_belady_needs() -> None:
    models = {name: Model(name, 1, load_s=1.0) for name in "abc"}
    assert replay_load_s("abcabc", models, 3) == 3.0
    assert replay_load_s("abcabc", models, 2) == 4.0
    assert replay_load_s("abcabc", models, 1) == 6.0
    assert replay_load_s("abcabc", models, 1, lambda model, number: 10.0 * number) == 90.0
