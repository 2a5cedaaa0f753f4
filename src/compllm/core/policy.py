"""Rules that order work and choose victims; pure functions, so that another rule is another function."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compllm.core.ledger import Replica

# What is needed this soon is as good as needed now.
_SOON_S = 1e-3


def priority(remaining_path_s: float, load_s: float) -> float:
    """Return how urgent a ready node is: the seconds from its start to the end of its run, its load included.

    Larger is more urgent (longest remaining path; in the project-scheduling literature the rule is known as greatest
    rank or, mirrored, as latest start time: Kolisch 1996).
    """
    return remaining_path_s + load_s


@dataclass(frozen=True, slots=True)
class Victim:
    """A replica that could be evicted.

    `idle_s` is how long the open plans can do without it, infinity for ever; `reload_s` is what it takes to bring it
    back; `credit` is what its past use says of the time after the plans (`Credits`).
    """

    replica: Replica
    idle_s: float
    reload_s: float
    credit: float = 0.0


def choose_victims(candidates: Iterable[Victim], need_bytes: int) -> Sequence[Replica]:
    """Return a smallest sufficient set of idle replicas, least valuable first, or nothing when all do not suffice.

    Least valuable: not needed by the open plans, the smallest credit first; then the one whose next use is farthest,
    weighted by reload seconds per byte (Belady 1966, weighted by cost); then by name. A victim that later, larger ones
    have made superfluous is spared. O(n log n).
    """
    chosen: list[Replica] = []
    for victim in sorted(candidates, key=_worth):
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


def _worth(victim: Victim) -> tuple[bool, float, float, str]:
    replica = victim.replica
    needed = victim.idle_s < math.inf
    per_byte_s = victim.reload_s / max(replica.bytes, 1)
    value = per_byte_s / max(victim.idle_s, _SOON_S) if needed else victim.credit
    return needed, value, replica.used_at_s, replica.model.name


class Credits:
    """What past use says of models that no open plan needs (GreedyDual-Size-Frequency; Cherkasova 1998).

    The credit of a model is its uses times its reload seconds per byte, on top of the credit of the last victim at the
    time of its latest use: what has not been used for long falls behind whatever its frequency was.
    """

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}
        self._credit: dict[str, float] = {}
        self._age = 0.0

    def note_use(self, model: str, reload_s: float, size_bytes: int) -> None:
        """Count a use of a model."""
        self._uses[model] = self._uses.get(model, 0) + 1
        self._credit[model] = self._age + self._uses[model] * reload_s / max(size_bytes, 1)

    def note_eviction(self, model: str) -> None:
        """Let everything that stays grow older by the credit of what goes."""
        self._age = max(self._age, self.of(model))

    def of(self, model: str) -> float:
        """Return a model's credit."""
        return self._credit.get(model, 0.0)
