"""Processor sharing: jobs on one server that all progress at the same rate.

All jobs receive the same service, so one clock of service received is enough: a job that joins when the clock shows v
and needs w ends when it shows v + w (the virtual time of Parekh and Gallager 1993). Joining, leaving and a change of
the rate cost O(log jobs), however many jobs progress.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

Job = TypeVar("Job", bound=Hashable)


class SharedServer(Generic[Job]):
    """Jobs and the clock of the service that each of them has received; `rate` is service per second for each job."""

    __slots__ = ("_ends", "_heap", "_order", "_received_s", "_seen_s", "rate", "version")

    def __init__(self) -> None:
        self.rate = 0.0
        self.version = 0
        self._received_s = 0.0
        self._seen_s = 0.0
        self._ends: dict[Job, float] = {}
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, job: Job) -> bool:
        return job in self._ends

    def add(self, job: Job, work_s: float, now_s: float) -> None:
        """Let a job join that needs `work_s` seconds at rate 1."""
        self._advance(now_s)
        if not self._ends:
            # A clock that starts anew keeps its full precision however long the server lives.
            self._received_s = 0.0
            self._heap.clear()
        self._ends[job] = self._received_s + work_s
        heapq.heappush(self._heap, (self._ends[job], next(self._order), job))

    def remove(self, job: Job, now_s: float) -> None:
        """Let a job leave before its end."""
        self._advance(now_s)
        del self._ends[job]

    def set_rate(self, rate: float, now_s: float) -> None:
        """Change the service per second that each job receives from now on."""
        self._advance(now_s)
        self.rate = rate

    def next_end_s(self) -> float | None:
        """Return when the first job ends if nothing changes; None while there is none or nothing progresses."""
        while self._heap and self._is_stale(*self._heap[0]):
            heapq.heappop(self._heap)
        if not self._heap or self.rate <= 0:
            return None
        return self._seen_s + max(0.0, self._heap[0][0] - self._received_s) / self.rate

    def end_next(self, now_s: float) -> Job:
        """Take out the first job to end, at the time that `next_end_s` has said."""
        end_s, _, job = heapq.heappop(self._heap)
        self._seen_s, self._received_s = now_s, end_s
        del self._ends[job]
        return job

    def _advance(self, now_s: float) -> None:
        self._received_s += self.rate * (now_s - self._seen_s)
        self._seen_s = now_s

    def _is_stale(self, end_s: float, _order: int, job: Job) -> bool:
        return self._ends.get(job) != end_s
