"""The rules of residency, each broken on purpose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compllm.bench.residency.instances import Instance
from compllm.bench.residency.schedule import Placed, Schedule, Stay, violations
from compllm.core.ledger import Device, Model
from compllm.core.workload import WorkNode, WorkRun

MODELS = tuple(Model(name, 4, slots=1, threads=2, devices=("d",), load_s=3.0) for name in "ab")
NODES = (WorkNode(1, (), "e", "a", 2.0), WorkNode(2, (1,), "e", "b", 2.0))
GIVEN = Instance(0, MODELS, (Device("d", 8, cores=2), Device("e", 8)), WorkRun("plan", 0.0, NODES))
VALID = Schedule(
    (Placed(1, "d", 3.0, 5.0), Placed(2, "d", 5.0, 7.0)),
    (Stay("a", "d", 0.0, 3.0, 5.0), Stay("b", "d", 0.0, 3.0, 7.0)),
)


def moved(*placed: Placed) -> Schedule:
    return replace(VALID, placed=placed)


def staying(*stays: Stay) -> Schedule:
    return replace(VALID, stays=stays)


def test_a_valid_schedule_breaks_nothing() -> None:
    assert violations(GIVEN, VALID) == []
    assert VALID.makespan_s == 7.0


def test_what_leaves_makes_room_for_what_comes_in_the_same_moment() -> None:
    small = replace(GIVEN, devices=(Device("d", 4, cores=2),))
    swapped = Schedule(
        (Placed(1, "d", 3.0, 5.0), Placed(2, "d", 8.0, 10.0)),
        (Stay("a", "d", 0.0, 3.0, 5.0), Stay("b", "d", 5.0, 8.0, 10.0)),
    )
    assert violations(small, swapped) == []


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        (moved(VALID.placed[0]), "not every node"),
        (moved(Placed(1, "d", 3.0, 4.0), VALID.placed[1]), "runs for 1.0 s"),
        (moved(Placed(1, "d", 3.0, 5.0), Placed(2, "d", 4.0, 6.0)), "before a parent ends"),
        (moved(Placed(1, "d", 3.0, 5.0), Placed(2, "d", 4.0, 6.0)), "computes with 4 threads"),
        (moved(Placed(1, "e", 3.0, 5.0), VALID.placed[1]), "without its model"),
        (staying(Stay("a", "d", 0.0, 2.0, 5.0), VALID.stays[1]), "loads in 2.0 s"),
        (staying(Stay("a", "e", 0.0, 3.0, 5.0), VALID.stays[1]), "may not live on e"),
        (staying(*VALID.stays, Stay("a", "d", 1.0, 4.0, 6.0)), "two replicas"),
        (staying(Stay("a", "d", 0.0, 3.0, 4.0), VALID.stays[1]), "without its model"),
    ],
)
def test_every_rule_is_noticed(schedule: Schedule, fault: str) -> None:
    assert any(fault in line for line in violations(GIVEN, schedule))


def test_bytes_and_slots_are_noticed() -> None:
    assert any("holds 8 bytes" in line for line in violations(replace(GIVEN, devices=(Device("d", 7, 2),)), VALID))
    same = replace(GIVEN, run=WorkRun("plan", 0.0, (NODES[0], WorkNode(2, (), "e", "a", 2.0))))
    both = Schedule((Placed(1, "d", 3.0, 5.0), Placed(2, "d", 3.0, 5.0)), VALID.stays)
    assert any("a serves 2 nodes" in line for line in violations(same, both))
