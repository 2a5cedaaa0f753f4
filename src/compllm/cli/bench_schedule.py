"""`compllm bench schedule`: how good the schedules are that a run is planned with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from compllm.bench.psplib import PsplibReport, PsplibRow, run_psplib


def psplib(directory: Path, sets: Sequence[str], *, schedules: int, budget_ms: float, seed: int, as_json: bool) -> None:
    """Measure schedules of the PSPLIB instances in a directory and print a table, or JSON.

    Raises:
        ConfigError: a file is missing or malformed; the message names it.
    """
    with Progress(console=Console(stderr=True), transient=True) as progress:
        report = run_psplib(
            directory,
            sets,
            schedules=schedules,
            budget_ms=budget_ms,
            seed=seed,
            track=lambda instances, title: progress.track(instances, description=title),
        )
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=1))
    else:
        Console().print(_psplib_table(report))


def _psplib_table(report: PsplibReport) -> Table:
    table = Table(title=f"PSPLIB, seed {report.seed}", title_justify="left")
    for column in ("set", "method", "deviation from"):
        table.add_column(column)
    for column in ("mean %", "max %", "best known %", "schedules", "CPU ms", "ms/schedule"):
        table.add_column(column, justify="right")
    for row in report.rows:
        table.add_row(*_psplib_cells(row))
    return table


def _psplib_cells(row: PsplibRow) -> Sequence[str]:
    return (
        f"{row.set} ({row.instances})",
        row.method,
        row.deviation_from,
        f"{row.mean_deviation_percent:.2f}",
        f"{row.max_deviation_percent:.1f}",
        f"{row.best_known_percent:.1f}",
        f"{row.schedules_per_instance:.0f}",
        f"{row.cpu_ms_per_instance:.2f}",
        f"{row.cpu_ms_per_instance / row.schedules_per_instance:.3f}",
    )
