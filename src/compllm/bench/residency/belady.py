"""What could be known by looking back: evictions by the future of the very requests that are served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from compllm.bench.residency.servers import Policy, Usage
from compllm.core.ledger import Model


def clairvoyant(order: Sequence[str]) -> Policy:
    """Return Belady's rule for a known order of requests (models by name), weighted by what a load costs per byte.

    The farthest next use leaves first (Belady 1966, A study of replacement algorithms for a virtual-storage computer);
    of different costs and sizes, the least seconds of reload per byte and request until then.
    """
    positions: dict[str, list[int]] = {}
    for position, model in enumerate(order):
        positions.setdefault(model, []).append(position)

    def value(usage: Usage, sent: int) -> float:
        mine = positions.get(usage.model.name, ())
        if usage.uses_ever >= len(mine):
            return 0.0
        return usage.reload_s_per_byte / max(mine[usage.uses_ever] - sent, 1)

    return value


def _as_told(model: Model, _number: int) -> float:
    return model.load_s


def replay_load_s(
    order: Sequence[str],
    models: Mapping[str, Model],
    capacity_bytes: int,
    took_s: Callable[[Model, int], float] = _as_told,
) -> float:
    """Return the seconds of loading that Belady's rule needs for a fixed order of requests on one device.

    Requests take no time and none overlap, so that nothing but the order and the bytes limit what may leave: whoever
    served the requests in this order has hardly needed less. The rule goes by what a load is said to take; `took_s` is
    what the n-th one (from 1) of a model took, where that differs. O(requests x models).
    """
    value = clairvoyant(order)
    inside: dict[str, Usage] = {}
    seen: dict[str, int] = {}
    loads: Counter[str] = Counter()
    loaded_s = 0.0
    for sent, name in enumerate(order):
        if name not in inside:
            loads[name] += 1
            loaded_s += took_s(models[name], loads[name])
            usage = Usage(models[name], models[name].footprint_bytes, sent, uses_ever=seen.get(name, 0))
            _make_room(inside, capacity_bytes - usage.bytes, lambda each, now=sent: value(each, now))  # type: ignore[misc]
            inside[name] = usage
        seen[name] = inside[name].uses_ever = seen.get(name, 0) + 1
    return loaded_s


def _make_room(inside: dict[str, Usage], left_bytes: int, value: Callable[[Usage], float]) -> None:
    """Take out the least valuable until the rest holds no more than `left_bytes`."""
    while sum(usage.bytes for usage in inside.values()) > left_bytes:
        del inside[min(inside, key=lambda name: (value(inside[name]), name))]
