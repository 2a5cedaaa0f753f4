"""Which models are left alone for a while: backoff after a failure, a circuit breaker after several in a row."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after failures: `first_s` doubles with each one in a row, up to `longest_s`.

    After `breaker_failures` in a row the circuit opens: the model is given up for `breaker_s`, then tried again.
    """

    first_s: float = 0.2
    longest_s: float = 30.0
    breaker_failures: int = 3
    breaker_s: float = 30.0

    def pause_s(self, failures: int) -> float:
        """Return the pause after the n-th failure in a row."""
        return min(self.longest_s, self.first_s * 2.0 ** min(max(failures - 1, 0), 64))


@dataclass(slots=True)
class Health:
    """One model's record: failures in a row, and until when it rests; `broken` says that it is given up till then."""

    failures: int = 0
    rests_until_s: float = -math.inf
    broken: bool = False
    reason: str = ""

    def note_failure(self, backoff: Backoff, reason: str, now_s: float, *, retryable: bool) -> None:
        """Count a failure and set the rest that follows from it."""
        self.failures += 1
        self.reason = reason
        self.broken = self.broken or not retryable or self.failures >= backoff.breaker_failures
        pause_s = backoff.breaker_s if self.broken else backoff.pause_s(self.failures)
        self.rests_until_s = max(self.rests_until_s, now_s + pause_s)

    def note_success(self) -> None:
        """Start a new record."""
        self.failures, self.rests_until_s, self.broken = 0, -math.inf, False
