"""`compllm bench schedule`: how good the schedules are that a run is planned with."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from compllm.bench.psplib import PsplibRow, run_psplib


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
        for name, rows in itertools.groupby(report.rows, key=lambda row: row.set):
            Console().print(_psplib_table(name, list(rows), report.seed))


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
