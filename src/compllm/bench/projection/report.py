"""A projection as rows of figures, and as a curve over memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from compllm.bench.figures import Figures
from compllm.bench.projection.assumptions import SOURCES
from compllm.bench.projection.measure import Changed, Projected, Projection
from compllm.simulation.plot import save_figure

_Known: TypeAlias = Mapping[tuple[str, str, float | None], Projected]
_LARGEST = "monolith 70B"
_GB = 1e9


def as_tables(projection: Projection) -> dict[str, list[Figures]]:
    """Return the rows of every table by its title; ratios are of means."""
    known: _Known = {(row.shape, row.system, row.budget): row for row in (*projection.rows, *projection.curve)}
    return {
        f"By shape of plan, system and memory, on {projection.given.gpu.name}": [
            _row(row, known) for row in projection.rows
        ],
        "All shapes over memory": [_row(row, known) for row in projection.curve],
        "If an assumption is wrong: all shapes, 35 billion parameters": [
            _changed(each) for each in projection.sensitivity
        ],
    }


def as_plain(projection: Projection) -> Figures:
    """Return the tables with all that they follow from, as what JSON can hold."""
    return {
        "tables": as_tables(projection),
        "questions": projection.questions,
        "seed": projection.seed,
        "assumptions": asdict(projection.given),
        "sources": dict(SOURCES),
    }


def _row(row: Projected, known: _Known) -> Figures:
    sequential, largest = known.get((row.shape, "sequential", row.budget)), known[row.shape, _LARGEST, None]
    ours = row.system == "composed"
    return {
        "shape": row.shape,
        "system": row.system,
        "memory": _memory(row),
        "gpus": row.gpus,
        "p50_s": round(row.p50_s, 2),
        "p95_s": round(row.p95_s, 2),
        "mean_s": round(row.mean_s, 2),
        "loads_per_question": round(row.loads, 2),
        "peak_gb": round(row.peak_bytes / _GB, 1),
        "faster_than_sequential": round(sequential.mean_s / row.mean_s, 2) if ours and sequential else None,
        "faster_than_70b": round(largest.mean_s / row.mean_s, 2),
        "smaller_than_70b": round(largest.peak_bytes / row.peak_bytes, 2),
    }


def _memory(row: Projected) -> str:
    if row.budget is None:
        return "all resident" if row.system in {"sequential", "composed"} else "its own"
    return f"{row.budget:g} B"


def _changed(each: Changed) -> Figures:
    return {
        "change": each.change,
        "monolith_70b_s": round(each.monolith_s, 2),
        "sequential_s": round(each.sequential_s, 2),
        "composed_s": round(each.composed_s, 2),
        "faster_than_sequential": round(each.sequential_s / each.composed_s, 2),
        "faster_than_70b": round(each.monolith_s / each.composed_s, 2),
    }


def plot_projection(path: Path, projection: Projection) -> None:
    """Draw mean and 95th percentile over the memory that is held, for all shapes; needs matplotlib.

    Raises:
        ConfigError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for system, colour in (("sequential", "C1"), ("composed", "C0")):
        rows = sorted((row for row in projection.curve if row.system == system), key=lambda row: row.peak_bytes)
        held_gb = [row.peak_bytes / _GB for row in rows]
        axes.plot(held_gb, [row.mean_s for row in rows], marker="o", color=colour, label=f"{system}, mean")
        axes.plot(held_gb, [row.p95_s for row in rows], linestyle=":", color=colour, label=f"{system}, p95")
    for row in projection.rows:
        if row.shape == "All" and row.system.startswith("monolith"):
            axes.plot([row.peak_bytes / _GB], [row.mean_s], "s", color="0.4")
            axes.annotate(
                row.system, (row.peak_bytes / _GB, row.mean_s), (0, 6), textcoords="offset points", ha="center"
            )
    axes.margins(x=0.1)
    axes.axvline(projection.given.gpu.memory_bytes / _GB, color="0.8", linestyle="--", label="one GPU")
    axes.set(xlabel="most memory held, GB", ylabel="seconds to the whole answer", title=projection.given.gpu.name)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    save_figure(figure, path)
