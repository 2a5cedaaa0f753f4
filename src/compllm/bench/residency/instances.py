"""Small instances whose optimum can be proved: one closed plan, known at time 0, a few models, one or two devices."""

from __future__ import annotations

import random
from dataclasses import dataclass

from compllm.core.ledger import Device, Model
from compllm.core.workload import WorkNode, WorkRun

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Instance:
    """What is to be scheduled, on what; `seed` names it. All times are whole seconds."""

    seed: int
    models: tuple[Model, ...]
    devices: tuple[Device, ...]
    run: WorkRun

    @property
    def serial_s(self) -> float:
        """Seconds when every node loads its model and nothing overlaps: an upper bound of the optimum."""
        load_s = {model.name: model.load_s for model in self.models}
        return self.run.work_s + sum(load_s[node.model] for node in self.run.nodes)


def small_instance(seed: int) -> Instance:
    """Return a random instance of 8 to 12 nodes on 2 to 4 models, of which the devices hold some at a time."""
    dice = random.Random(seed)  # noqa: S311 - draws, not secrets
    devices = tuple(f"device{n}" for n in range(dice.choice((1, 1, 2))))
    models = tuple(_model(dice, f"model{n}", devices) for n in range(dice.randint(2, 4)))
    nodes = tuple(_node(dice, n, models) for n in range(1, dice.randint(8, 12) + 1))
    homes = tuple(_device(dice, name, models, len(devices)) for name in devices)
    return Instance(seed, models, homes, WorkRun("plan", 0.0, nodes))


def _model(dice: random.Random, name: str, devices: tuple[str, ...]) -> Model:
    size_bytes, load_s = dice.randint(2, 8) * GIB, float(dice.randint(1, 8))
    slots, threads = dice.randint(1, 3), dice.randint(1, 2)
    return Model(name, size_bytes, slots=slots, threads=threads, devices=devices, load_s=load_s)


def _node(dice: random.Random, number: int, models: tuple[Model, ...]) -> WorkNode:
    parents = dice.sample(range(1, number), min(number - 1, dice.choice((0, 0, 1, 1, 2))))
    model, duration_s = dice.choice(models).name, float(dice.randint(1, 10))
    return WorkNode(number, tuple(sorted(parents)), f"expert-{model}", model, duration_s, duration_s)


def _device(dice: random.Random, name: str, models: tuple[Model, ...], count: int) -> Device:
    """Return a device for its share of 40 to 80 % of all models, and at least for the largest one."""
    total_bytes = sum(model.footprint_bytes for model in models)
    largest_bytes = max(model.footprint_bytes for model in models)
    share_bytes = round(total_bytes * dice.uniform(0.4, 0.8) / count / GIB) * GIB
    return Device(name, max(largest_bytes, share_bytes), cores=dice.randint(2, 3))
