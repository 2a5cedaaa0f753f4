"""The virtual clock: what is to happen, in order of time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from functools import partial

from compllm.core.simulation.sharing import Job, SharedServer


class Agenda:
    """Acts to come; those at one time happen in the order in which they were entered. O(log n) each."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._acts: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, at_s: float, act: Callable[[], None]) -> None:
        """Enter an act; one that is never to happen (at infinity) is left out."""
        if at_s < math.inf:
            heapq.heappush(self._acts, (max(at_s, self.now_s), next(self._order), act))

    def step(self) -> bool:
        """Let the next act happen at its time; False when there is none."""
        if not self._acts:
            return False
        self.now_s, _, act = heapq.heappop(self._acts)
        act()
        return True

    def follow(self, server: SharedServer[Job], ended: Callable[[Job], None]) -> None:
        """Call `ended` when the server's next job ends; to be called again after every change of the server."""
        server.version += 1
        end_s = server.next_end_s()
        if end_s is not None:
            self.at(end_s, partial(self._end_next, server, server.version, ended))

    def _end_next(self, server: SharedServer[Job], version: int, ended: Callable[[Job], None]) -> None:
        if server.version == version:
            ended(server.end_next(self.now_s))
