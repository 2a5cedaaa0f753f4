"""`compllm plan`: the plan of a question and who would answer its steps, without running it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from compllm.cli.common import JsonOption, TeamOption, readable, synchronous

if TYPE_CHECKING:
    from compllm.core.plan import Plan
    from compllm.core.routing import Assignment


@synchronous
async def plan(
    question: Annotated[str, typer.Argument(metavar="QUESTION", callback=readable, help="What the plan is for.")],
    team: TeamOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a question's plan without running it.

    The plan goes to standard output in the plan language, so that it can be edited and given to `compllm ask --plan`.
    """
    from compllm.explain import clean
    from compllm.pipeline import Team
    from compllm.planner.language import format_step

    async with Team.load(team) as opened:
        made, assignments, notes = await opened.plan(question)
        if as_json:
            typer.echo(json.dumps(_as_json(opened.planner_name, made, assignments, notes), ensure_ascii=False))
            return
        typer.echo(f"planner: {opened.planner_name}", err=True)
        for note in notes:
            typer.echo(f"note: {clean(note)}", err=True)
        for step in made.steps:
            typer.echo(clean(format_step(step)))
            assignment = assignments[step.id]
            typer.echo(clean(f"   → {assignment.expert}: {assignment.reason}"), err=True)


def _as_json(planner: str, made: Plan, assignments: dict[int, Assignment], notes: list[str]) -> dict[str, object]:
    steps = [
        {
            "id": step.id,
            "question": step.display,
            "tag": step.tag,
            "parents": list(step.parents),
            "expert": assignments[step.id].expert,
            "score": assignments[step.id].score,
            "reason": assignments[step.id].reason,
        }
        for step in made.steps
    ]
    return {"planner": planner, "notes": notes, "steps": steps}
