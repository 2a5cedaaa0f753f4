"""A broken scheduler must be caught by the world's own books: one deliberate defect for every invariant."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import pytest

from compllm.core import placement
from compllm.core import scheduler as core
from compllm.core.dispatch import Dispatch
from compllm.core.ledger import Device, Ledger, Model, Replica
from compllm.core.nodes import Node, NodeGraph, Run
from compllm.core.places import Places
from compllm.core.policy import Victim
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import InvalidTransition
from tests.properties.books import Broken, Team
from tests.properties.world import World, crowded_team, drive, working_team


def first_broken(
    make: type[Scheduler] = Scheduler, seeds: int = 400, team_from: Callable[[random.Random], Team] = working_team
) -> int | None:
    """Return the number of the first invariant that the world finds broken, without help from `Scheduler.check`."""
    for seed in range(seeds):
        try:
            drive(seed, make, self_check=False, team_from=team_from)
        except Broken as broken:
            return broken.invariant
        except InvalidTransition:
            continue
    return None


def test_nothing_is_broken_without_a_mutation() -> None:
    assert first_broken(seeds=25) is None


def test_1_free_bytes_that_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    class Generous(Ledger):
        def free_bytes(self, device: str) -> int:
            return super().free_bytes(device) + 5

    monkeypatch.setattr(core, "Ledger", Generous)
    assert first_broken() == 1


def test_1_an_eviction_that_frees_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(Ledger):
        def free_bytes(self, device: str) -> int:
            leaving = sum(replica.bytes for replica in self.on(device) if replica.state == "evicting")
            return super().free_bytes(device) + leaving

    monkeypatch.setattr(core, "Ledger", Hasty)
    assert first_broken() == 1


def test_2_nodes_that_do_not_wait_for_their_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(NodeGraph):
        def add(self, node: Node) -> Run:
            run = super().add(node)
            node.unfinished_parents = 0
            return run

    monkeypatch.setattr(core, "NodeGraph", Impatient)
    assert first_broken() == 2


def test_2_work_that_is_forgotten() -> None:
    class Forgetful(Scheduler):
        def _park(self, node: Node, until_s: float) -> None:
            node.move("parked", self._now_s)

    assert first_broken(Forgetful) == 2


@pytest.mark.parametrize("ignored", ["leases", "owed_to", "pinned"])
def test_3_victims_that_may_not_be_evicted(monkeypatch: pytest.MonkeyPatch, ignored: str) -> None:
    def evictable(replica: Replica) -> bool:
        busy = {"leases": bool(replica.leases), "owed_to": bool(replica.owed_to), "pinned": replica.model.pinned}
        return replica.state == "resident" and not any(busy[reason] for reason in busy if reason != ignored)

    monkeypatch.setattr(Replica, "evictable", property(evictable))
    assert first_broken(team_from=crowded_team if ignored == "owed_to" else working_team) == 3


def test_4_teams_that_are_not_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "place_models", lambda models, devices: {model.name: model.devices for model in models})
    too_large = Team((Model("m", 11, devices=("cpu",)),), (Device("cpu", 10),), Rules())
    beside_pin = (Model("pin", 6, devices=("cpu",), pinned=True), Model("m", 5, devices=("cpu",)))
    for team in (too_large, Team(beside_pin, (Device("cpu", 10),), Rules())):
        with pytest.raises(Broken, match="invariant 4"):
            World(team)


@pytest.mark.parametrize("blind", ["starving", "note_start"])
def test_5_overtaking_that_is_not_bounded(monkeypatch: pytest.MonkeyPatch, blind: str) -> None:
    monkeypatch.setattr(Places, blind, lambda *_: None)
    assert first_broken(team_from=crowded_team) == 5


def test_6_victims_in_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def any_victims(candidates: Iterable[Victim], need_bytes: int) -> Sequence[Replica]:
        replicas = [victim.replica for victim in candidates]
        dice.shuffle(replicas)
        while replicas and sum(replica.bytes for replica in replicas[1:]) >= need_bytes:
            del replicas[0]
        return replicas if sum(replica.bytes for replica in replicas) >= need_bytes else ()

    dice = random.Random(1)
    monkeypatch.setattr(placement, "choose_victims", any_victims)
    assert first_broken() == 6


def test_6_turns_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(1)
    monkeypatch.setattr(Dispatch, "_gain", lambda *_: dice.random() + 0.1)
    assert first_broken() == 6


def test_7_cores_that_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "can_compute", lambda ledger, replica: True)
    assert first_broken() == 7


def test_7_slots_that_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = property(lambda replica: 9 if replica.state == "resident" else 0)
    monkeypatch.setattr(Replica, "free_slots", endless)
    assert first_broken() == 7
