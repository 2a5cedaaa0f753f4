"""Rules that order work and choose victims; pure functions, so that another rule is another function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compllm.core.ledger import Replica


def priority(remaining_path_s: float, load_s: float) -> float:
    """Return how urgent a ready node is: the seconds from its start to the end of its run, its load included.

    Larger is more urgent (longest remaining path; in the project-scheduling literature the rule is known as greatest
    rank or, mirrored, as latest finish time: Kolisch 1996).
    """
    return remaining_path_s + load_s


@dataclass(frozen=True, slots=True)
class Victim:
    """A replica that could be evicted and how many unfinished nodes name its model."""

    replica: Replica
    demand: int


def choose_victims(candidates: Iterable[Victim], need_bytes: int) -> Sequence[Replica]:
    """Return a smallest sufficient set of idle replicas, least valuable first, or nothing when all do not suffice.

    Least valuable: named by the fewest unfinished nodes, then cheapest to reload per byte, then idle longest, then by
    name. A victim that later, larger ones have made superfluous is spared. O(n log n).
    """
    chosen: list[Replica] = []
    for victim in sorted(candidates, key=_value):
        if sum(replica.bytes for replica in chosen) >= need_bytes:
            break
        chosen.append(victim.replica)
    surplus = sum(replica.bytes for replica in chosen) - need_bytes
    if surplus < 0:
        return ()
    for replica in reversed(chosen[:-1]):
        if replica.bytes <= surplus:
            surplus -= replica.bytes
            chosen.remove(replica)
    return chosen


def _value(victim: Victim) -> tuple[int, float, float, str]:
    replica = victim.replica
    return victim.demand, replica.model.load_s / max(replica.bytes, 1), replica.used_at_s, replica.model.name
