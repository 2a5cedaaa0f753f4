"""Looks at the open plans as a whole when one is closed, and gives every node its place in the best order."""

from __future__ import annotations

from collections.abc import Mapping

from compllm.core.demand import Demand
from compllm.core.ledger import REMOTE, Ledger, Model
from compllm.core.nodes import Node, NodeGraph
from compllm.core.placement import Placement
from compllm.core.ready import ReadyQueue
from compllm.core.rollout import Capacity, Outlook, Residency, Situation, Step, plan_ahead

# A search over more nodes than this would find little in its time; the rules do well on many.
_MOST_STEPS = 64
_LEAST_TRIES = 2


class OutlookPlanner:
    """Turns the scheduler's state into a situation for `plan_ahead`, and what that finds into urgencies.

    `steps` bounds the search: how many nodes it may place over all attempts.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        ledger: Ledger,
        graph: NodeGraph,
        queue: ReadyQueue,
        demand: Demand,
        placement: Placement,
        steps: int,
    ) -> None:
        self._models = models
        self._ledger = ledger
        self._graph = graph
        self._queue = queue
        self._demand = demand
        self._placement = placement
        self._steps = steps

    def plan(self, now_s: float) -> None:
        """Order all nodes that have not started, if there are not too many."""
        nodes = self._open_nodes()
        if not any(node.may_start for node in nodes):
            return
        tries = self._steps // len(nodes)
        if tries < _LEAST_TRIES:
            return
        outlook = plan_ahead(self._situation(nodes, now_s), tries)
        self._adopt(nodes, outlook, now_s)

    def _open_nodes(self) -> list[Node]:
        """Return all unfinished nodes, parents first; none where they are too many or nobody is eligible for one."""
        if self._graph.open_nodes > _MOST_STEPS:
            return []
        nodes = [node for node in self._graph if not node.ended]
        return nodes if all(node.candidates for node in nodes) else []

    def _situation(self, nodes: list[Node], now_s: float) -> Situation:
        names = dict.fromkeys(node.model for node in nodes)
        names |= dict.fromkeys(r.model.name for r in self._ledger if r.device != REMOTE)
        places = {name: place for place, name in enumerate(names)}
        devices = {name: place for place, name in enumerate(self._ledger.devices)}
        index = {node.key: place for place, node in enumerate(nodes)}
        runs = {run: place for place, run in enumerate(self._graph.runs)}
        steps = tuple(self._step(node, places[node.model], index, runs, now_s) for node in nodes)
        models = tuple(self._residency(name, devices, now_s) for name in names)
        return Situation(steps, models, tuple(self._capacity(name) for name in devices))

    def _step(
        self, node: Node, model: int, index: Mapping[tuple[str, int], int], runs: Mapping[str, int], now_s: float
    ) -> Step:
        left_s = None if node.may_start else max(0.0, node.duration_s - (now_s - node.started_s))
        parents = tuple(index[parent] for parent in node.parents if parent in index)
        return Step(model, node.duration_s, parents, runs[node.key[0]], left_s)

    def _residency(self, name: str, devices: Mapping[str, int], now_s: float) -> Residency:
        model, replica = self._models[name], self._ledger.get(name)
        home, ready_s = None, 0.0
        if replica is not None and replica.device != REMOTE and replica.state != "evicting":
            home = devices[replica.device]
            if replica.state == "loading":
                speed = self._ledger.speed(replica.device)
                ready_s = max(0.0, model.load_s / speed - (now_s - replica.used_at_s))
        homes = tuple(devices[device] for device in model.devices)
        size_bytes = replica.bytes if replica is not None and home is not None else model.footprint_bytes
        return Residency(
            size_bytes,
            model.load_s,
            model.slots,
            model.threads,
            homes,
            home,
            ready_s,
            model.pinned,
            is_loading=home is not None and replica is not None and replica.state == "loading",
        )

    def _capacity(self, name: str) -> Capacity:
        device = self._ledger.devices[name]
        leaving_bytes = sum(r.bytes for r in self._ledger.on(name) if r.state == "evicting")
        return Capacity(self._ledger.free_bytes(name) + leaving_bytes, device.cores, device.speed)

    def _adopt(self, nodes: list[Node], outlook: Outlook, now_s: float) -> None:
        shift_s = outlook.end_s - max(outlook.urgency_s)
        for node, urgency_s, start_s in zip(nodes, outlook.urgency_s, outlook.start_s, strict=True):
            if not node.may_start:
                continue
            node.planned_s = urgency_s + shift_s
            node.expected_s = now_s + start_s
            self._demand.expect(node)
            absent = self._ledger.get(node.model) is None
            if node.state == "ready":
                self._queue.reorder(node)
                if absent:
                    self._placement.want(node.model)
            elif absent:
                self._placement.expect(node)
