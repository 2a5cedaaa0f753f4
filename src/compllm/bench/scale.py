"""What an event costs as devices, models and nodes grow: one simulation for each size, timed."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compllm.core import events as ev
from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import simulate
from compllm.core.workload import Mix, random_workload
from compllm.simulation.plot import save_figure

SIZES = (1_000, 10_000, 100_000)
_MEAN_PLAN = 4.2
_RESIDENT = 4
_HOMES = 3


@dataclass(frozen=True, slots=True)
class ScaleFigure:
    """The cost of one simulation in CPU time; `scheduler_us` of `event_us` is the scheduler's own, per event."""

    nodes: int
    devices: int
    models: int
    events: int
    events_per_s: float
    node_us: float
    event_us: float
    scheduler_us: float
    total_s: float


class _Timed:
    """A scheduler and the CPU time spent in it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.spent_s = 0.0
        self._scheduler = scheduler

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        """Pass the events on and time them."""
        began_s = time.process_time()
        commands = self._scheduler.handle_all(events, now_s)
        self.spent_s += time.process_time() - began_s
        return commands


def measure_scale(
    nodes: int, devices: int = 1_000, models: int = 10_000, *, runs_per_device_s: float = 0.06, seed: int = 1
) -> ScaleFigure:
    """Time a simulation of about so many nodes for models that are all alike popular; four fit each device.

    Every model may live on three of the devices.
    """
    machines = [Device(f"d{n}", _RESIDENT * 2**30, cores=2) for n in range(devices)]
    homes = [tuple(f"d{(n * 7 + k) % devices}" for k in range(min(_HOMES, devices))) for n in range(models)]
    kinds = [Model(f"m{n}", 2**30, slots=4, devices=homes[n], load_s=2.0) for n in range(models)]
    mix = Mix(rate_per_s=runs_per_device_s * devices, skew=0.0)
    workload = random_workload(max(1, round(nodes / _MEAN_PLAN)), {k.name: k.name for k in kinds}, mix, seed)
    brain = _Timed(Scheduler(kinds, machines))
    gc.collect()
    began_s = time.process_time()
    result = simulate(workload, kinds, machines, brain, seed=seed)
    total_s = time.process_time() - began_s
    event_us = 1e6 * total_s / result.events
    return ScaleFigure(
        workload.size,
        devices,
        models,
        result.events,
        result.events / total_s,
        1e6 * total_s / workload.size,
        event_us,
        1e6 * brain.spent_s / result.events,
        total_s,
    )


def render_scale(figures: Sequence[ScaleFigure]) -> str:
    """Return the figures as a table, a size a line."""
    head = f"{'nodes':>9}{'events':>12}{'us/node':>10}{'us/event':>10}{'of these scheduler':>20}{'total s':>9}"
    lines = (
        f"{f.nodes:>9,}{f.events:>12,}{f.node_us:>10.1f}{f.event_us:>10.1f}{f.scheduler_us:>20.1f}{f.total_s:>9.1f}"
        for f in figures
    )
    return "\n".join([f"{figures[0].devices:,} devices, {figures[0].models:,} models; CPU time", head, *lines])


def plot_scale(path: Path, figures: Sequence[ScaleFigure]) -> None:
    """Draw the cost of a node and of an event over the size; needs matplotlib.

    Raises:
        ConfigError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    nodes = [each.nodes for each in figures]
    axes.plot(nodes, [each.node_us for each in figures], marker="o", label="per node")
    axes.plot(nodes, [each.event_us for each in figures], marker="o", label="per event")
    axes.set(xscale="log", xlabel="nodes", ylabel="microseconds of CPU time")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    save_figure(figure, path)
