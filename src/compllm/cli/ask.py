"""`compllm ask`: a question in, an explained answer out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compllm.cli.answer import show_answer
from compllm.cli.common import FAILED, EventsOption, QuietOption, TeamOption, readable, synchronous
from compllm.errors import ConfigError, PlanError

if TYPE_CHECKING:
    from compllm.core.plan import Plan

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
    as_json: EventsOption = False,
    quiet: QuietOption = False,
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
        codes = [
            await show_answer(opened.stream(question, plan=given), as_json=as_json, quiet=quiet) for question in asked
        ]
    raise typer.Exit(max(codes, key=lambda code: (code == FAILED, code)))


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
