"""`compllm ask`: a question in, an explained answer out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compllm.cli.common import ANSWERED, FAILED, GAPS, TeamOption, readable, say, synchronous
from compllm.errors import ConfigError, PlanError

if TYPE_CHECKING:
    from compllm.core.events import Stamped
    from compllm.core.plan import Plan
    from compllm.pipeline import Team

MAX_INPUT_BYTES = 4_000_000


@synchronous
async def ask(
    questions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUESTION", callback=readable, help="Answered one after another; default: standard input."
        ),
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
    from compllm.pipeline import Team

    asked = questions or [_read_stdin()]
    given = _read_plan(plan) if plan is not None else None
    async with Team.load(team) as opened:
        for question in asked:  # before any of them costs time
            opened.check(question, given)
        codes = [await _answer(opened, question, given, as_json=as_json, quiet=quiet) for question in asked]
    raise typer.Exit(max(codes, key=lambda code: (code == FAILED, code)))


async def _answer(team: Team, question: str, plan: Plan | None, *, as_json: bool, quiet: bool) -> int:
    from compllm.cli.progress import Progress
    from compllm.codec import encode
    from compllm.core.events import AnswerDelta

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
    return _end(events, as_json=as_json, quiet=quiet)


def _end(events: list[Stamped], *, as_json: bool, quiet: bool) -> int:
    """Print what follows the answer, and return the exit code."""
    from compllm.core.events import RunCompleted, RunFailed
    from compllm.explain import explain, render_summary

    last = events[-1].event
    if isinstance(last, RunCompleted) and not as_json:
        typer.echo()
    if isinstance(last, RunFailed) and quiet:
        say(f"no answer: {last.reason}")
    if not (as_json or quiet):
        run = getattr(last, "run", "")
        typer.echo(f"\n{render_summary(explain(events))}\nexplained: compllm runs show {run}", err=True)
    if isinstance(last, RunCompleted):
        return GAPS if last.gaps else ANSWERED
    return FAILED


def _read_stdin() -> str:
    if sys.stdin.isatty():
        raise PlanError('the question is missing: compllm ask "What is ...?"')
    try:
        return _text(sys.stdin.buffer.read(MAX_INPUT_BYTES + 1))
    except ValueError as error:
        raise PlanError(f"standard input {error}; pipe a question") from None


def _text(data: bytes) -> str:
    """Return what was read as text; a ValueError says what it is instead."""
    if len(data) > MAX_INPUT_BYTES:
        raise ValueError(f"holds more than {MAX_INPUT_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None


def _read_plan(path: Path) -> Plan:
    from compllm.planner.language import parse_plan

    try:
        with path.open("rb") as file:
            text = _text(file.read(MAX_INPUT_BYTES + 1))
    except ValueError as error:
        raise ConfigError(f"{path}: the file {error}; a plan has one step a line") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return parse_plan(text)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
