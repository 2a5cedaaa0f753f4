"""`compllm bench read`: answers from given passages."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from compllm.bench.figures import Figures
from compllm.bench.read import ReadRow, read_figures, read_rows, reading
from compllm.bench.rows import for_each
from compllm.cli.tables import figures_table, progress_bar
from compllm.errors import ConfigError
from compllm.experts.expert import Expert
from compllm.pipeline import Team

_INSTRUCTIONS = "Answer in one short sentence."


async def bench_read(
    file: Path,
    documents: Path | None,
    team: Path | None,
    expert: str | None,
    limit: int | None,
    *,
    at_once: int,
    as_json: bool,
) -> None:
    """Put every question with its passages to one expert, and to the same without its adapter, as instructed.

    Raises:
        ConfigError: a file is missing or malformed, or there is no such expert.
        ExpertError: the model failed.
    """
    rows = read_rows(file, documents, limit)
    async with Team.load(team) as opened:
        chosen = _expert(opened, expert)
        ways = {"as in the team": chosen}
        if chosen.adapter:
            base = replace(chosen, adapter=None, instructions=chosen.instructions or _INSTRUCTIONS)
            ways = {f"adapter {chosen.adapter}": chosen, "base model": base}
        figures = [await _figures(opened, name, way, rows, at_once) for name, way in ways.items()]
    if as_json:
        typer.echo(json.dumps({"expert": chosen.profile.name, "rows": figures}, indent=1, ensure_ascii=False))
    else:
        Console(markup=False).print(figures_table(f"Reading by {chosen.profile.name}", figures))


def _expert(team: Team, name: str | None) -> Expert:
    readers = [each for each in team.experts if team.experts[each].retrieve is not None]
    chosen = name or next(iter(readers or team.experts))
    if chosen not in team.experts:
        raise ConfigError(f"there is no expert {chosen!r}; use one of {', '.join(team.experts)}")
    return team.experts[chosen]


async def _figures(team: Team, name: str, expert: Expert, rows: list[ReadRow], at_once: int) -> Figures:
    async with team.lease(expert.profile.model, "bench") as backend:
        with progress_bar(len(rows), f"Reading, {name}") as advance:
            done = await for_each(rows, partial(reading, expert, backend), at_once=at_once, advance=advance)
    return read_figures(name, done)
