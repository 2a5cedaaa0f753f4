"""Which models the open plans will need, and when: what look-ahead eviction and prefetch go by."""

from __future__ import annotations

import heapq
import math
from collections import Counter

from compllm.core.nodes import Node


class Demand:
    """Unfinished nodes by model, the next expected start first.

    A node counts for the model of the expert that is next to be tried. Entries that no longer hold are dropped when
    they surface, so every operation is O(log n) amortised.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._next: dict[str, list[tuple[float, int, Node]]] = {}
        self._entries = 0

    def add(self, node: Node) -> None:
        """Count a node for its present model."""
        self._count[node.model] += 1
        self.expect(node)

    def expect(self, node: Node) -> None:
        """Note a counted node's expected start, which has changed."""
        self._entries += 1
        entry = (node.expected_s, self._entries, node)
        heapq.heappush(self._next.setdefault(node.model, []), entry)

    def remove(self, node: Node) -> None:
        """Count a node no longer: it has ended, or is about to change its model."""
        self._count[node.model] -= 1
        if not self._count[node.model]:
            del self._count[node.model]
            self._next.pop(node.model, None)

    def of(self, model: str) -> int:
        """Return how many unfinished nodes the model has."""
        return self._count[model]

    def next_node(self, model: str) -> Node | None:
        """Return the model's node that is expected to start next; None when none is left to start."""
        heap = self._next.get(model, [])
        while heap:
            expected_s, _, node = heap[0]
            if node.model == model and node.expected_s == expected_s and node.may_start:
                return node
            heapq.heappop(heap)
        return None

    def next_use_s(self, model: str) -> float:
        """Return when the model is expected to be needed next, infinity for never."""
        node = self.next_node(model)
        return node.expected_s if node is not None else math.inf
