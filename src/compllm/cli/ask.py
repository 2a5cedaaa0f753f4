"""`compllm ask`: a question in, an explained answer out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from compllm.cli.common import ANSWERED, FAILED, GAPS, TeamOption, synchronous
from compllm.cli.progress import Progress
from compllm.codec import encode
from compllm.core.events import AnswerDelta, RunCompleted, Stamped
from compllm.core.plan import Plan
from compllm.errors import ConfigError, PlanError
from compllm.explain import explain, render_summary
from compllm.pipeline import Team
from compllm.planner.language import parse_plan

MAX_INPUT_BYTES = 4_000_000


@synchronous
async def ask(
    questions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUESTION]...", help="Answered one after another; default: standard input."),
    ] = None,
    team: TeamOption = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="A plan of your own, in the plan language (see `compllm plan`).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as one line of JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer alone.")] = False,
) -> None:
    """Ask the team.

    The answer goes to standard output, progress and summary to standard error.
    """
    asked = questions or [_read_stdin()]
    given = _read_plan(plan) if plan is not None else None
    async with Team.load(team) as opened:
        codes = [await _answer(opened, question, given, as_json=as_json, quiet=quiet) for question in asked]
    raise typer.Exit(max(codes, key=lambda code: (code == FAILED, code)))


async def _answer(team: Team, question: str, plan: Plan | None, *, as_json: bool, quiet: bool) -> int:
    events: list[Stamped] = []
    with Progress(silent=quiet or as_json) as progress:
        async for stamped in team.stream(question, plan=plan):
            events.append(stamped)
            if as_json:
                typer.echo(json.dumps(encode(stamped), ensure_ascii=False))
                continue
            progress.show(stamped)
            if isinstance(stamped.event, AnswerDelta):
                progress.write(stamped.event.text)
    last = events[-1].event
    if not as_json:
        typer.echo()
    if not (as_json or quiet):
        typer.echo(f"\n{render_summary(explain(events))}\nexplained: compllm runs show {last_run(events)}", err=True)
    if isinstance(last, RunCompleted):
        return GAPS if last.gaps else ANSWERED
    return FAILED


def last_run(events: list[Stamped]) -> str:
    """Return the id of the run that the events belong to."""
    return str(getattr(events[-1].event, "run", ""))


def _read_stdin() -> str:
    if sys.stdin.isatty():
        raise PlanError('the question is missing: compllm ask "What is ...?"')
    data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise PlanError(f"standard input holds more than {MAX_INPUT_BYTES:,} bytes; a question is shorter")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise PlanError("standard input is not text in UTF-8; pipe a question, not a binary file") from None


def _read_plan(path: Path) -> Plan:
    try:
        return parse_plan(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8; a plan has one step a line") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
