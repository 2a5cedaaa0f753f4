"""Places: sets of devices that models share, and the bound on how often younger nodes go first there.

Of those who wait at a place only the oldest is sure of its turn: while it is the oldest, no more than the place's bound
of younger nodes start there. With its start that is paid, and the count begins anew for the next oldest; so a long
backlog costs the order by priority and fair share one start in `bound`, and the others wait no longer than in a queue.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from compllm.core.ledger import REMOTE, Model
from compllm.core.nodes import Node


@dataclass(slots=True, eq=False)
class Place:
    """Where a group of models may live: the same devices; or where one remote model does.

    `bound` is how many younger nodes may start here before the oldest one. `young` holds the latest arrivals among the
    nodes that have started since a starved one did, `bound` of them at most, so the smallest tells who has waited for
    too long.
    """

    devices: tuple[str, ...]
    bound: int
    young: list[int] = field(default_factory=list)
    waiting: list[tuple[int, Node]] = field(default_factory=list)

    def note_start(self, ready_order: int) -> None:
        """Count the start of a node by its order of arrival; O(log bound)."""
        if len(self.young) < self.bound:
            heapq.heappush(self.young, ready_order)
        elif self.young and ready_order > self.young[0]:
            heapq.heapreplace(self.young, ready_order)

    def has_starved(self, node: Node) -> bool:
        """Whether as many younger nodes as allowed have started here since a starved one did."""
        if len(self.young) < self.bound:
            return False
        return not self.young or node.ready_order < self.young[0]


class Places:
    """Finds, for a device, the node that has been passed over too often there; amortised O(log n)."""

    def __init__(self, max_overtakes: int) -> None:
        self._max_overtakes = max_overtakes
        self._places: dict[tuple[str, ...], Place] = {}
        self._of: dict[str, Place] = {}
        self._on: dict[str, list[Place]] = {}

    def add(self, model: Model) -> None:
        """Give a model its place, a new one if no other model shares it."""
        devices = model.devices or (f"{REMOTE}:{model.name}",)
        if devices not in self._places:
            place = self._places[devices] = Place(devices, self._max_overtakes * len(devices))
            for device in devices:
                self._on.setdefault(device, []).append(place)
        self._of[model.name] = self._places[devices]

    def of(self, model: str) -> Place:
        """Return the place of a model."""
        return self._of[model]

    def on(self, device: str, model: str) -> Iterable[Place]:
        """Return the places that a device belongs to; on the remote one, the place of the model alone."""
        return (self._of[model],) if device == REMOTE else self._on.get(device, ())

    def note_ready(self, node: Node) -> None:
        """Enter a node that waits for its model."""
        heapq.heappush(self._of[node.model].waiting, (node.ready_order, node))

    def note_start(self, node: Node, device: str) -> None:
        """Count a ready node's start against all who wait for the device; that of a starved one settles its account."""
        own = self._of[node.model]
        if self.starving_at(own) is node:
            own.young.clear()
        for place in self.on(device, node.model):
            place.note_start(node.ready_order)

    def has_starved(self, node: Node) -> bool:
        """Whether nobody may overtake the ready node any more."""
        return self._of[node.model].has_starved(node)

    def starving(self, device: str, model: str) -> Node | None:
        """Return the oldest node that has starved for something on the device, or None."""
        found: Node | None = None
        for place in self.on(device, model):
            node = self.starving_at(place)
            if node is not None and (found is None or node.ready_order < found.ready_order):
                found = node
        return found

    def starving_at(self, place: Place) -> Node | None:
        """Return the oldest node of a place if it has starved."""
        node = self._oldest(place)
        return node if node is not None and place.has_starved(node) else None

    def _oldest(self, place: Place) -> Node | None:
        heap = place.waiting
        while heap:
            node = heap[0][1]
            if node.state == "ready" and self._of[node.model] is place:
                return node
            heapq.heappop(heap)
        return None
