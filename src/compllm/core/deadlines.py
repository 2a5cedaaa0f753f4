"""Which nodes are not worth starting any more, because their answers would come too late."""

from __future__ import annotations

from compllm.core.learning import Estimates
from compllm.core.nodes import Node


class Deadlines:
    """Refuses nodes whose answers would be late even if they took no longer than the shortest did lately.

    An expert that is never asked could never show that it has become faster: after a refusal, its next node is started.
    """

    def __init__(self, estimates: Estimates) -> None:
        self._estimates = estimates
        self._refused: set[str] = set()

    def refuses(self, node: Node, speed: float, now_s: float) -> bool:
        """Say, once, whether a node that could start now on a device of some speed is refused."""
        expert = node.candidates[0].expert
        if now_s + self._estimates.shortest_s(expert) / speed <= node.deadline_s:
            return False
        if now_s <= node.deadline_s and expert in self._refused:
            self._refused.remove(expert)
            return False
        self._refused.add(expert)
        return True
