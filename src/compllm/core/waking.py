"""Nodes that wait for a time, and the wakes that the scheduler asks for."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from compllm.core.nodes import Node, NodeKey


class Waking:
    """Parked nodes by time, and the wakes that are on their way, of which there is never one too many.

    Whoever drives the scheduler answers each wake once, at its time or a rounding error earlier.
    """

    def __init__(self) -> None:
        self._parked: list[tuple[float, NodeKey, Node]] = []
        self._ordered: list[float] = []

    def __bool__(self) -> bool:
        """Whether a wake is on its way."""
        return bool(self._ordered)

    def park(self, node: Node, until_s: float) -> None:
        """Keep a node in state parked until a time."""
        heapq.heappush(self._parked, (until_s, node.key, node))

    def due(self, now_s: float) -> Iterator[Node]:
        """Yield the nodes whose time has come, taking them out; those that are parked no longer are dropped."""
        while self._parked and (self._parked[0][0] <= now_s or self._parked[0][2].state != "parked"):
            node = heapq.heappop(self._parked)[2]
            if node.state == "parked":
                yield node

    def answered(self) -> None:
        """Note that the earliest ordered wake has come."""
        if self._ordered:
            heapq.heappop(self._ordered)

    def order(self, other_s: float, now_s: float) -> float | None:
        """Return when to be woken, for a parked node or for `other_s`; None if no further wake is needed."""
        parked_s = self._parked[0][0] if self._parked else math.inf
        next_s = max(min(parked_s, other_s), now_s)
        if next_s == math.inf or (self._ordered and self._ordered[0] <= next_s):
            return None
        heapq.heappush(self._ordered, next_s)
        return next_s
