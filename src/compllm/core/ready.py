"""The queue of ready nodes: by share and urgency within each model, and by age within each model."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TypeAlias

from compllm.core.nodes import Node
from compllm.core.shares import Shares, Spent

_Line: TypeAlias = tuple[str, int, str]  # model, priority, user


class ReadyQueue:
    """Ready nodes by model, in two orders: whose turn it is, and oldest first.

    It is the turn of the highest priority, then of the user served least, then of the most urgent node. Entries that no
    longer hold are dropped when they surface, so every operation is O(log n) amortised.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._users: dict[str, list[tuple[int, Spent, str]]] = {}
        self._lines: dict[_Line, list[tuple[float, int, Node]]] = {}
        self._old: dict[str, list[tuple[int, Node]]] = {}
        self._count: dict[str, int] = {}
        self._since_s: dict[str, float] = {}
        self._arrivals = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, node: Node) -> None:
        """Enter a node that has just become ready; it keeps its age if it had been ready before."""
        if node.ready_order == 0:
            self._arrivals += 1
            node.ready_order = self._arrivals
        self._shares.enter(node.user)
        heapq.heappush(self._old.setdefault(node.model, []), (node.ready_order, node))
        self._count[node.model] = self._count.get(node.model, 0) + 1
        self._since_s[node.model] = self._since_s.get(node.model, 0.0) + node.since_s
        self._size += 1
        self.reorder(node)

    def reorder(self, node: Node) -> None:
        """Note that a ready node's urgency has changed."""
        line = (node.model, node.priority, node.user)
        if line not in self._lines:
            self._lines[line] = []
            turn = (-node.priority, self._shares.spent(node.user), node.user)
            heapq.heappush(self._users.setdefault(node.model, []), turn)
        heapq.heappush(self._lines[line], (-node.urgency_s, node.ready_order, node))

    def remove(self, node: Node) -> None:
        """Note that a node is about to leave the ready state or to change its model."""
        self._shares.leave(node.user)
        self._count[node.model] -= 1
        self._since_s[node.model] -= node.since_s
        self._size -= 1
        if self._count[node.model] == 0:
            del self._count[node.model], self._since_s[node.model], self._old[node.model]
            for negative_priority, _, user in self._users.pop(node.model):
                self._lines.pop((node.model, -negative_priority, user), None)

    def models(self) -> Iterator[str]:
        """Return the models that ready nodes ask for, in order of first request."""
        return iter(self._count)

    def waits_for(self, model: str) -> bool:
        """Whether a ready node asks for the model."""
        return model in self._count

    def count(self, model: str) -> int:
        """Return how many ready nodes ask for the model."""
        return self._count.get(model, 0)

    def waited_until_s(self, model: str, wait_s: float) -> float:
        """Return when the waits of the model's ready nodes, as they are now, will add up to `wait_s`."""
        return (self._since_s[model] + wait_s) / self._count[model]

    def urgent(self, model: str) -> Node:
        """Return the model's ready node whose turn it is."""
        users = self._users[model]
        while True:
            negative_priority, counted, user = users[0]
            node = self._first((model, -negative_priority, user))
            spent = self._shares.spent(user)
            if node is None:
                heapq.heappop(users)
            elif spent > counted:
                heapq.heapreplace(users, (negative_priority, spent, user))
            else:
                return node

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

    def _first(self, line: _Line) -> Node | None:
        """Return the most urgent node of a line: longest remaining path, then first come; None when it is empty."""
        heap = self._lines.get(line, [])
        while heap:
            negative_urgency_s, _, node = heap[0]
            if node.state == "ready" and node.model == line[0] and -negative_urgency_s == node.urgency_s:
                return node
            heapq.heappop(heap)
        self._lines.pop(line, None)
        return None
