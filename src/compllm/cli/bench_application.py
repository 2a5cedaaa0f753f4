"""`compllm bench application`: the questions of an application."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from compllm.bench.application import (
    QUESTIONS_FILE,
    application_figures,
    asked,
    question_figures,
    read_questions,
    watched_memory,
)
from compllm.bench.rows import for_each
from compllm.cli.tables import figures_table, progress_bar
from compllm.pipeline import Team

_WORDY = "answer"


async def bench_application(folder: Path, limit: int | None, *, at_once: int, as_json: bool) -> None:
    """Put the questions of an application to its team, and show what became of each and of all.

    Raises:
        ConfigError: the team file or the questions are missing or malformed.
    """
    questions = read_questions(folder / QUESTIONS_FILE, limit)
    with watched_memory() as memory, progress_bar(len(questions), f"Asking {folder.name}") as advance:
        async with Team.load(folder) as team:
            done = await for_each(questions, partial(asked, team), at_once=at_once, advance=advance)
    rows, total = [question_figures(each) for each in done], application_figures(done, memory)
    if as_json:
        typer.echo(json.dumps({"rows": rows, "all": total}, indent=1, ensure_ascii=False))
        return
    console = Console(markup=False)
    console.print(figures_table("Questions", [{k: v for k, v in row.items() if k != _WORDY} for row in rows]))
    console.print(figures_table("All", [total]))
