"""`compllm bench aggregate`: joined sub-answers against what they were made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from compllm.aggregator.base import Aggregator
from compllm.aggregator.joined import JoinedAggregator
from compllm.aggregator.written import ModelAggregator
from compllm.bench.aggregate import join_figures, joined, read_rows
from compllm.bench.rows import for_each
from compllm.cli.tables import figures_table, progress_bar
from compllm.pipeline import Team


async def bench_aggregate(file: Path, team: Path | None, limit: int | None, *, at_once: int, as_json: bool) -> None:
    """Join every row without a model, by the team's model as it writes, and with every sentence checked.

    Raises:
        ConfigError: a file is missing or malformed.
        AggregationError: the model wrote nothing.
        ExpertError: the model failed.
    """
    rows = read_rows(file, limit)
    figures = []
    async with Team.load(team) as opened:
        for aggregator in _aggregators(opened):
            with progress_bar(len(rows), f"Joining, {aggregator.name}") as advance:
                done = await for_each(rows, partial(joined, aggregator), at_once=at_once, advance=advance)
            figures.append(join_figures(aggregator.name, done))
    if as_json:
        typer.echo(json.dumps({"rows": figures}, indent=1, ensure_ascii=False))
    else:
        Console(markup=False).print(figures_table("Joining", figures))


def _aggregators(team: Team) -> Iterator[Aggregator]:
    yield JoinedAggregator()
    config = team.file.config.aggregator
    if config.model is not None:
        lease = partial(team.lease, config.model, "bench")
        for checked in (False, True):
            yield ModelAggregator(config.model, lease, checked=checked, adapter=config.adapter)
