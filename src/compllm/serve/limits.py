"""How often and how much at once: pure counting on a clock that is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

# When a slot of somebody else's request is free, nobody knows; this is a fair guess.
_BUSY_S = 1.0


@dataclass(slots=True)
class Bucket:
    """A token bucket (Turner 1986): a rest of a minute saves up a minute's requests, and no more than that."""

    per_minute: float = inf
    _tokens: float = field(init=False)
    _at_s: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.per_minute

    def take(self, now_s: float) -> float:
        """Take a request out and return 0, or take none and return the seconds until there will be one."""
        if self.per_minute == inf:
            return 0.0
        refilled = self._tokens + (now_s - self._at_s) * self.per_minute / 60
        self._tokens, self._at_s = min(self.per_minute, refilled), now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) * 60 / self.per_minute

    def allow(self, per_minute: float) -> None:
        """Go on with another rate; what was saved up beyond it is gone."""
        self._tokens, self.per_minute = min(self._tokens, per_minute), per_minute


@dataclass(slots=True)
class Slots:
    """So many requests at once."""

    at_most: float = inf
    taken: int = 0

    @property
    def are_full(self) -> bool:
        """Whether there is no room for another one."""
        return self.taken >= self.at_most


@dataclass(slots=True)
class Limit:
    """What one caller may: a rate and a number at once; seconds on the clock of `now_s`."""

    bucket: Bucket = field(default_factory=Bucket)
    slots: Slots = field(default_factory=Slots)

    def enter(self, now_s: float) -> float:
        """Take a slot and return 0, or take nothing and return the seconds after which to try again."""
        if self.slots.are_full:
            return _BUSY_S
        wait_s = self.bucket.take(now_s)
        if not wait_s:
            self.slots.taken += 1
        return wait_s

    def leave(self) -> None:
        """Give the slot back."""
        self.slots.taken -= 1

    def allow(self, per_minute: float | None, at_once: float | None) -> None:
        """Go on with other bounds, none where None is given; what is under way stays."""
        self.bucket.allow(per_minute or inf)
        self.slots.at_most = at_once or inf
