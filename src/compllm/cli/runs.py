"""`compllm runs`: the journal of what was asked, and the explanation of any answer."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from compllm.cli.common import (
    EventsOption,
    JsonOption,
    QuietOption,
    TeamOption,
    readable,
    reported_errors,
    synchronous,
)

app = typer.Typer(help="The journal: what was asked, and why the answers are what they are.", no_args_is_help=True)


@app.command("list")
def list_runs(
    search: Annotated[
        str | None,
        typer.Option("--search", "-s", callback=readable, help="Only runs whose question or answer has this."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most this many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the latest runs."""
    from compllm.explain import clean
    from compllm.journal import Journal
    from compllm.settings import load_settings

    with reported_errors(), Journal(load_settings().journal_path) as journal:
        rows = journal.runs(limit, search)
        if not rows:
            which = f"no run holds {search!r}" if search else 'no runs yet; ask something: compllm ask "..."'
            typer.echo(clean(which), err=True)
        for row in rows:
            if as_json:
                fields = {name: getattr(row, name) for name in row.__slots__}
                typer.echo(json.dumps(fields, ensure_ascii=False, default=str))
            else:
                question = clean(" ".join(row.question.split()))
                typer.echo(f"{row.id}  {row.status:<11}  {row.elapsed_s or 0:7.2f} s  {question[:100]}")


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(help="The run's id, or its beginning.")],
    as_json: EventsOption = False,
) -> None:
    """Explain a run: who answered what, why that expert, what waited for what, and when."""
    from compllm.codec import encode
    from compllm.explain import explain, render_text
    from compllm.journal import Journal
    from compllm.settings import load_settings

    with reported_errors(), Journal(load_settings().journal_path) as journal:
        row = journal.run(run)
        events = journal.events(row.id)
        if as_json:
            for stamped in events:
                typer.echo(json.dumps(encode(stamped), ensure_ascii=False))
        else:
            typer.echo(render_text(explain(events, interrupted=row.status == "interrupted")))


@app.command("resume")
@synchronous
async def resume(
    run: Annotated[str, typer.Argument(help="The run's id, or its beginning.")],
    team: TeamOption = None,
    as_json: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run whose process has died; what was answered is not asked again."""
    from compllm.cli.answer import show_answer
    from compllm.pipeline import Team

    async with Team.load(team) as opened:
        resumed = await opened.resume(run)
        code = await show_answer(opened.follow(resumed), as_json=as_json, quiet=quiet)
    raise typer.Exit(code)
