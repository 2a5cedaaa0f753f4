"""`compllm bench schedule`: how good the schedules are that a run is planned with."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from compllm.bench.psplib import PsplibRow, run_psplib

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# All at once is slow on several models, and that is told once.
_NAIVE_MODELS = 4


def psplib(directory: Path, sets: Sequence[str], *, schedules: int, budget_ms: float, seed: int, as_json: bool) -> None:
    """Measure schedules of the PSPLIB instances in a directory and print a table, or JSON.

    Raises:
        ConfigError: a file is missing or malformed; the message names it.
    """
    with _progress() as progress:
        report = run_psplib(
            directory,
            sets,
            schedules=schedules,
            budget_ms=budget_ms,
            seed=seed,
            track=lambda instances, title: progress.track(instances, description=title),
        )
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        for name, rows in itertools.groupby(report.rows, key=lambda row: row.set):
            Console(markup=False).print(_psplib_table(name, list(rows), report.seed))


def residency(first: int, count: int, *, as_json: bool) -> None:
    """Let our scheduler and every baseline work through random traces, and print the report."""
    from compllm.bench.residency.compare import compare_brains, format_residency, format_traces, together

    with _progress() as progress:
        report = compare_brains(progress.track(range(first, first + count), description="traces"))
    if as_json:
        rows = [{"brain": name, **asdict(figures)} for name, figures in together(report).items()]
        typer.echo(json.dumps({"together": rows, **asdict(report)}))
    else:
        typer.echo(f"{format_traces(report)}\n\n{format_residency(report)}")


def exact(first: int, count: int, *, as_json: bool) -> None:
    """Hold our schedules of small plans against the optimum, and print the report.

    Raises:
        ConfigError: OR-tools is not installed.
    """
    from compllm.bench.residency.gap import format_gaps, measure_gaps

    with _progress() as progress:
        report = measure_gaps(progress.track(range(first, first + count), description="plans"))
    _show(report, format_gaps(report), as_json=as_json)


def real(*, as_json: bool) -> None:
    """Measure composition and swapping on real worker processes, and print each report as it comes.

    Raises:
        ConfigError: the runtime or the bundled model is not installed.
    """
    from compllm.bench.real import format_composition, measure_composition
    from compllm.bench.residency.live import format_live, measure_swapping

    for models in (1, 2, 3, 4):
        with _progress() as progress:
            progress.add_task(f"24 queries, {models} models", total=None)
            figures = anyio.run(functools.partial(measure_composition, models, naive=models == _NAIVE_MODELS))
        _show(figures, format_composition(figures), as_json=as_json)
    with _progress() as progress:
        progress.add_task("40 queries, three models, room for two", total=None)
        report = anyio.run(measure_swapping)
    _show(report, format_live(report), as_json=as_json)


def _progress() -> Progress:
    return Progress(console=Console(stderr=True), transient=True)


def _show(report: DataclassInstance, text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(asdict(report)) if as_json else text)


def _psplib_table(name: str, rows: Sequence[PsplibRow], seed: int) -> Table:
    title = f"{name}: {rows[0].instances} instances, deviation from the {rows[0].deviation_from}, seed {seed}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("method", no_wrap=True)
    for column in ("mean %", "max %", "best known %", "passes", "CPU ms", "ms each"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.method,
            f"{row.mean_deviation_percent:.2f}",
            f"{row.max_deviation_percent:.1f}",
            f"{row.best_known_percent:.1f}",
            f"{row.schedules_per_instance:.0f}",
            f"{row.cpu_ms_per_instance:.2f}",
            f"{row.cpu_ms_per_instance / row.schedules_per_instance:.3f}",
        )
    return table
