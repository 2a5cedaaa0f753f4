"""`compllm bench projection`: latency and memory at the paper's sizes, simulated."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console

from compllm.bench.projection.assumptions import GPUS, SOURCES, Assumptions
from compllm.bench.projection.measure import project
from compllm.bench.projection.report import as_plain, as_tables, plot_projection
from compllm.cli.tables import figures_table
from compllm.simulation.plot import check_plot


def projection(gpu: str, questions: int, seed: int, plot: Path | None, *, as_json: bool) -> None:
    """Project and print the tables with the sources of what they assume, or JSON.

    Raises:
        ConfigError: the plot cannot be drawn or written.
    """
    if plot is not None:
        check_plot(plot)
    projected = project(Assumptions(gpu=GPUS[gpu]), questions, seed)
    if plot is not None:
        plot_projection(plot, projected)
    if as_json:
        typer.echo(json.dumps(as_plain(projected), indent=1, ensure_ascii=False))
        return
    console = Console(markup=False)
    for title, rows in as_tables(projected).items():
        console.print(figures_table(title, rows))
    for what, source in SOURCES.items():
        console.print(f"{what}: {source}", markup=False, highlight=False)
