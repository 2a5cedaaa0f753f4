"""Simulations as pictures: nodes per replica and slot, and memory per device, over time; needs matplotlib."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compllm.core.ledger import REMOTE
from compllm.core.simulation import Attempt, SimulationResult, Stay
from compllm.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
# Of a large simulation the busiest lanes are shown; more could not be told apart.
_MOST_LANES = 40
_MOST_DEVICES = 6
# Runs take turns with these; grey is for the replicas.
_COLOURS = ("C0", "C1", "C2", "C4", "C5", "C6", "C8", "C9")
_LOADING, _RESIDENT, _TROUBLE = "0.55", "0.9", "C3"


def check_plot(path: Path) -> None:
    """Refuse what could not be drawn, before anything is simulated.

    Raises:
        ConfigError: the file's name has another ending, or matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: a plot is written as {' or '.join(FORMATS)}; end the file's name so")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigError('plots need matplotlib; install it with: pip install "compllm[plots]"') from None


def plot_simulations(path: Path, results: Mapping[str, SimulationResult]) -> None:
    """Draw simulations side by side: above every attempt in its slot, below the memory of the devices.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = _empty_figure(results)
    for column, (title, result) in enumerate(results.items()):
        nodes, *memories = (figure.axes[row * len(results) + column] for row in range(_rows(result)))
        nodes.set_title(title)
        _draw_nodes(nodes, result)
        for axes, device in zip(memories, result.devices, strict=False):
            _draw_memory(axes, device.name, device.capacity_bytes, result)
        (memories or [nodes])[-1].set_xlabel("seconds")
    _add_legend(figure)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None


def _rows(result: SimulationResult) -> int:
    return 1 + min(len(result.devices), _MOST_DEVICES)


def _empty_figure(results: Mapping[str, SimulationResult]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lanes = max(len(_lanes(result)) for result in results.values())
    rows = max(map(_rows, results.values()))
    heights = [max(1.5, 0.22 * lanes), *(1.4 for _ in range(rows - 1))]
    figure = Figure(figsize=(9 * len(results), sum(heights) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.subplots(rows, len(results), sharex=True, squeeze=False, height_ratios=heights)
    return figure


def _add_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = (
        Patch(facecolor=_LOADING, label="loading"),
        Patch(facecolor=_RESIDENT, label="resident"),
        Patch(facecolor=_COLOURS[0], label="a node (colour: its run)"),
        Patch(facecolor=(_COLOURS[0], 0.3), edgecolor=_TROUBLE, label="failed, lost or cancelled"),
        Line2D([], [], color=_TROUBLE, linestyle="--", label="capacity"),
    )
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8, frameon=False)


# --- nodes -----------------------------------------------------------------------------------------------------------

_Lane = tuple[str, str, int]


def _lanes(result: SimulationResult) -> dict[_Lane, list[Attempt]]:
    """Return the attempts by device, model and slot; of many lanes the busiest."""
    lanes: defaultdict[_Lane, list[Attempt]] = defaultdict(list)
    by_model: defaultdict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in result.attempts:
        by_model[attempt.device, attempt.model].append(attempt)
    for (device, model), attempts in by_model.items():
        for slot, attempt in _slots(attempts):
            lanes[device, model, slot].append(attempt)
    busiest = heapq.nlargest(_MOST_LANES, lanes, key=lambda lane: sum(a.ended_s - a.started_s for a in lanes[lane]))
    return {lane: lanes[lane] for lane in sorted(busiest)}


def _slots(attempts: Iterable[Attempt]) -> Iterable[tuple[int, Attempt]]:
    """Give every attempt the lowest slot that is free when it starts."""
    free: list[int] = []
    taken: list[tuple[float, int]] = []
    for attempt in sorted(attempts, key=lambda a: (a.started_s, a.ended_s)):
        while taken and taken[0][0] <= attempt.started_s:
            heapq.heappush(free, heapq.heappop(taken)[1])
        slot = heapq.heappop(free) if free else len(taken)
        heapq.heappush(taken, (attempt.ended_s, slot))
        yield slot, attempt


def _draw_nodes(axes: Axes, result: SimulationResult) -> None:
    lanes = _lanes(result)
    stays: defaultdict[tuple[str, str], list[Stay]] = defaultdict(list)
    for stay in result.stays:
        stays[stay.device, stay.model].append(stay)
    colours = dict(zip(dict.fromkeys(a.run for a in result.attempts), itertools.cycle(_COLOURS), strict=False))
    for row, ((device, model, _), attempts) in enumerate(lanes.items()):
        if device != REMOTE:
            _draw_stays(axes, row, stays[device, model])
        bars = [(attempt.started_s, attempt.ended_s - attempt.started_s) for attempt in attempts]
        faces = [(colours[attempt.run], 1.0 if attempt.end == "completed" else 0.3) for attempt in attempts]
        edges = ["white" if attempt.end == "completed" else _TROUBLE for attempt in attempts]
        axes.broken_barh(bars, (row - 0.38, 0.76), facecolors=faces, edgecolors=edges, linewidth=0.5)
    axes.set_yticks(range(len(lanes)), [f"{model} {slot + 1} · {device}" for device, model, slot in lanes], fontsize=7)
    axes.set_ylim(max(1, len(lanes)) - 0.5, -0.5)
    axes.set_ylabel("model, slot, device")


def _draw_stays(axes: Axes, row: int, stays: Sequence[Stay]) -> None:
    """Draw behind the attempts when the replica was loading (dark) and when it was there (light)."""
    for stay in stays:
        loaded_s = stay.left_s if stay.loaded_s is None else stay.loaded_s
        bars = [(stay.asked_s, loaded_s - stay.asked_s), (loaded_s, stay.left_s - loaded_s)]
        axes.broken_barh(bars, (row - 0.46, 0.92), facecolors=[_LOADING, _RESIDENT])


# --- memory ----------------------------------------------------------------------------------------------------------


def _draw_memory(axes: Axes, device: str, capacity_bytes: int, result: SimulationResult) -> None:
    unit, name = _unit(capacity_bytes)
    steps = [(0.0, 0), *result.memory(device)]
    times_s = [*(at_s for at_s, _ in steps), result.ended_s]
    held = [*(held_bytes / unit for _, held_bytes in steps), steps[-1][1] / unit]
    axes.fill_between(times_s, held, step="post", color="C0", alpha=0.35)
    axes.step(times_s, held, where="post", color="C0", linewidth=0.8)
    axes.axhline(capacity_bytes / unit, color=_TROUBLE, linestyle="--", linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"{device}, {name}")


def _unit(count_bytes: int) -> tuple[int, str]:
    sizes = ((2**30, "GiB"), (2**20, "MiB"), (1, "bytes"))
    return next(each for each in sizes if count_bytes >= each[0] or each[0] == 1)
