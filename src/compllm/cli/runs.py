"""`compllm runs`: the journal of what was asked, and the explanation of any answer."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from compllm.cli.common import JsonOption, reported_errors
from compllm.codec import encode
from compllm.config import load_settings
from compllm.explain import clean, explain, render_text
from compllm.journal import Journal

app = typer.Typer(help="The journal: what was asked, and why the answers are what they are.", no_args_is_help=True)


@app.command("list")
def list_runs(
    search: Annotated[
        str | None, typer.Option("--search", "-s", help="Only runs whose question or answer has this.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the latest runs."""
    with reported_errors(), Journal(load_settings().journal_path) as journal:
        for row in journal.runs(limit, search):
            if as_json:
                fields = {name: getattr(row, name) for name in row.__slots__}
                typer.echo(json.dumps(fields, ensure_ascii=False, default=str))
            else:
                question = clean(" ".join(row.question.split()))
                typer.echo(f"{row.id}  {row.status:<11}  {row.elapsed_s or 0:7.2f} s  {question[:100]}")


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(help="The run's id, or its beginning.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as one line of JSON.")] = False,
) -> None:
    """Explain a run: who answered what, why that expert, what waited for what, and when."""
    with reported_errors(), Journal(load_settings().journal_path) as journal:
        events = journal.events(run)
        if as_json:
            for stamped in events:
                typer.echo(json.dumps(encode(stamped), ensure_ascii=False))
        else:
            typer.echo(render_text(explain(events)))
