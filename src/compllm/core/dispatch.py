"""Which ready node starts next on a resident replica: where it gets most done, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from compllm.core.learning import Estimates
from compllm.core.ledger import REMOTE, Ledger, Replica
from compllm.core.nodes import Node, NodeGraph
from compllm.core.places import Places
from compllm.core.ready import ReadyQueue
from compllm.core.shares import Shares, Spent

# A start must not lower what the device gets done by more than this, in requests served as if alone. Measurements are
# too noisy to hold a node back for less.
_LARGEST_LOSS = 0.1
_GAIN_DECIMALS = 1


class Dispatch:
    """Offers one start after another for the replicas that events have touched.

    A replica that `makes_way` for a higher priority gets no more nodes; its device is looked at again at every event.
    """

    def __init__(
        self,
        ledger: Ledger,
        graph: NodeGraph,
        queue: ReadyQueue,
        places: Places,
        shares: Shares,
        estimates: Estimates,
        makes_way: Callable[[Replica], bool],
    ) -> None:
        self._ledger = ledger
        self._graph = graph
        self._queue = queue
        self._places = places
        self._shares = shares
        self._estimates = estimates
        self._makes_way = makes_way
        self._touched: dict[tuple[str, str], None] = {}
        self._held: dict[tuple[str, str], None] = {}

    def touch(self, device: str, model: str) -> None:
        """Note that something may start on a device (on the remote one: on a model)."""
        self._touched[device, model if device == REMOTE else ""] = None

    def next_start(self) -> tuple[Node, Replica] | None:
        """Return a ready node and the replica that should serve it now; None when nothing touched can start.

        Call it again after every start. O(replicas on the device + log n).
        """
        self._touched |= self._held
        self._held.clear()
        while self._touched:
            device, model = next(iter(self._touched))
            options = [option for r in self._replicas(device, model) if (option := self._option(r)) is not None]
            if options:
                *_, node, replica = min(options, key=lambda option: option[:6])
                return node, replica
            del self._touched[device, model]
        return None

    def _replicas(self, device: str, model: str) -> Iterable[Replica]:
        if device != REMOTE:
            return self._ledger.on(device)
        replica = self._ledger.get(model)
        return (replica,) if replica is not None else ()

    def _option(self, replica: Replica) -> tuple[int, Spent, float, bool, float, int, Node, Replica] | None:
        """Return a possible start behind what orders it; smaller is better."""
        if not replica.free_slots or not self._ledger.can_compute(replica):
            return None
        if not self._queue.waits_for(replica.model.name):
            return None
        node = self._next_node(replica)
        if node is None:
            return None
        gain = self._gain(replica)
        if gain < -_LARGEST_LOSS and not self._places.has_starved(node):
            return None
        spent = self._shares.spent(node.user)
        rounded = -round(gain, _GAIN_DECIMALS)
        return -node.priority, spent, rounded, not replica.leases, -node.urgency_s, node.ready_order, node, replica

    def _next_node(self, replica: Replica) -> Node | None:
        """Return the node that the replica should serve next, unless a starving or more urgent one wants its room."""
        model = replica.model.name
        if replica.owed_to is not None:
            return self._graph.node(*replica.owed_to)  # type: ignore[misc]
        starving = self._places.starving(replica.device, model)
        if starving is not None:
            node = self._queue.oldest(model)
            return node if node.ready_order <= starving.ready_order else None
        if self._makes_way(replica):
            self._held[replica.device, ""] = None
            return None
        return self._queue.urgent(model)

    def _gain(self, replica: Replica) -> float:
        """Return by how much one more request on the replica raises what its device gets done.

        In requests served as if alone: filling a batch brings what the model's curve says and never harms, one more
        computing replica what the device's co-run factor leaves for all that waits for it, less what it takes from the
        others.
        """
        in_flight = len(replica.leases)
        own = max(0.0, self._speedup(replica, in_flight + 1) - self._speedup(replica, in_flight))
        if replica.device == REMOTE:
            return own
        others = [r for r in self._ledger.on(replica.device) if r.leases and r is not replica]
        computing = len(others) + (in_flight > 0)
        before = self._estimates.corun(replica.device, computing)
        after = self._estimates.corun(replica.device, len(others) + 1)
        if before == after:
            return after * own
        done = sum(self._speedup(r, len(r.leases)) for r in others) + self._speedup(replica, in_flight)
        if not in_flight:
            own = self._speedup(replica, min(replica.free_slots, self._queue.count(replica.model.name)))
        return after * (done + own) - before * done

    def _speedup(self, replica: Replica, in_flight: int) -> float:
        if in_flight == 0:
            return 0.0
        return self._estimates.speedup(replica.model.name, in_flight, replica.model.curve)
