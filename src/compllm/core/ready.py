"""The queue of ready nodes: by urgency within each model, and by age over all of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from compllm.core.nodes import Node


class ReadyQueue:
    """Ready nodes by model, in two orders: most urgent first and oldest first.

    Entries that no longer hold are dropped when they surface, so every operation is O(log n) amortised.
    """

    def __init__(self) -> None:
        self._urgent: dict[str, list[tuple[float, int, Node]]] = {}
        self._old: dict[str, list[tuple[int, Node]]] = {}
        self._count: dict[str, int] = {}
        self._arrivals = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, node: Node) -> None:
        """Enter a node that has just become ready; it keeps its age if it had been ready before."""
        if node.ready_order == 0:
            self._arrivals += 1
            node.ready_order = self._arrivals
        heapq.heappush(self._old.setdefault(node.model, []), (node.ready_order, node))
        self._count[node.model] = self._count.get(node.model, 0) + 1
        self._size += 1
        self.reorder(node)

    def reorder(self, node: Node) -> None:
        """Note that a ready node's urgency has changed."""
        heapq.heappush(self._urgent.setdefault(node.model, []), (-node.tail_s, node.ready_order, node))

    def remove(self, node: Node) -> None:
        """Note that a node is about to leave the ready state or to change its model."""
        self._count[node.model] -= 1
        self._size -= 1
        if self._count[node.model] == 0:
            del self._count[node.model], self._urgent[node.model], self._old[node.model]

    def models(self) -> Iterator[str]:
        """Return the models that ready nodes ask for, in order of first request."""
        return iter(self._count)

    def waits_for(self, model: str) -> bool:
        """Whether a ready node asks for the model."""
        return model in self._count

    def urgent(self, model: str) -> Node:
        """Return the model's most urgent ready node: longest remaining path, then first come."""
        heap = self._urgent[model]
        while True:
            tail, _, node = heap[0]
            if node.state == "ready" and node.model == model and -tail == node.tail_s:
                return node
            heapq.heappop(heap)

    def oldest(self, model: str) -> Node:
        """Return the model's node that has been ready for longest."""
        heap = self._old[model]
        while heap[0][1].state != "ready" or heap[0][1].model != model:
            heapq.heappop(heap)
        return heap[0][1]

    def drain(self, model: str) -> list[Node]:
        """Take out all ready nodes of a model, oldest first."""
        found = {node.key: node for _, node in sorted(self._old.get(model, []), key=lambda entry: entry[0])}
        nodes = [node for node in found.values() if node.state == "ready" and node.model == model]
        for node in nodes:
            self.remove(node)
        return nodes
