"""Shows a run while it happens, and what came of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import typer

from compllm.cli.common import ANSWERED, FAILED, GAPS, say

if TYPE_CHECKING:
    from compllm.core.events import Stamped


async def show_answer(run: AsyncGenerator[Stamped, None], *, as_json: bool, quiet: bool) -> int:
    """Show the events of a run as they come, the answer on standard output; return the exit code."""
    from compllm.cli.progress import Progress
    from compllm.codec import encode
    from compllm.core.events import AnswerDelta

    events: list[Stamped] = []
    with Progress(silent=quiet or as_json) as progress:
        async with aclosing(run):
            async for stamped in run:
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
