"""Traces for residency: many runs that arrive over time, for more models than fit in memory."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from compllm.core.ledger import Device, Model
from compllm.core.workload import Mix, Shape, Workload, random_workload

GIB = 2**30
# Plans of several sub-queries; weights of their shapes.
_SHAPES: Mapping[Shape, float] = MappingProxyType({"chain": 0.2, "fan": 0.3, "diamond": 0.2, "layered": 0.3})
_LEAST_NODES, _MOST_NODES = 3, 12
_MEAN_NODES = 7.5
_LOAD_GIB_PER_S = 1.5
_SPREAD = 0.5


@dataclass(frozen=True, slots=True)
class Trace:
    """Runs, models, one device; `skewed` says that few models are popular, `share` how much of all models fits."""

    seed: int
    skewed: bool
    share: float
    models: tuple[Model, ...]
    devices: tuple[Device, ...]
    workload: Workload


def random_trace(seed: int, runs: int = 60) -> Trace:
    """Return a trace of plans of 3 to 12 nodes on 8 to 14 models, of which 20 to 60 % of all bytes fit at a time.

    Loads take as long as reading the weights from a disk does, nodes about as long as a load. The nodes alone would
    keep every core busy if each were served by itself; batches leave room for loads. The two largest models always fit
    together, or the traces would be hopeless. Odd seeds are skewed (Zipf), even ones uniform.
    """
    dice = random.Random(seed)  # noqa: S311 - draws, not secrets
    models = tuple(_model(dice, f"model{n}") for n in range(dice.randint(8, 14)))
    sizes_bytes = sorted(model.footprint_bytes for model in models)
    capacity_bytes = max(sum(sizes_bytes[-2:]), round(dice.uniform(0.2, 0.6) * sum(sizes_bytes)))
    device = Device("device", capacity_bytes, cores=dice.randint(2, 4))
    duration_s = dice.uniform(1.0, 4.0)
    rate_per_s = device.cores / (_MEAN_NODES * duration_s * math.exp(_SPREAD**2 / 2))
    skewed = seed % 2 == 1
    mix = Mix(
        rate_per_s=rate_per_s,
        skew=1.0 if skewed else 0.0,
        shapes=_SHAPES,
        sizes=(_LEAST_NODES, _MOST_NODES),
        duration_s=duration_s,
        spread=_SPREAD,
    )
    experts = {f"expert-{model.name}": model.name for model in models}
    workload = random_workload(runs, experts, mix, seed)
    share = capacity_bytes / sum(sizes_bytes)
    return Trace(seed, skewed, share, models, (device,), workload)


def _model(dice: random.Random, name: str) -> Model:
    size_bytes = round(dice.uniform(1.0, 8.0) * GIB)
    load_s = size_bytes / GIB / _LOAD_GIB_PER_S * dice.uniform(0.7, 1.4)
    return Model(name, size_bytes, slots=dice.randint(2, 4), threads=1, devices=("device",), load_s=load_s)
