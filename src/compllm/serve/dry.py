"""Dry runs: what would be asked of whom, without asking."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import anyio.to_thread

from compllm.core.plan import Plan
from compllm.core.routing import Assignment
from compllm.planner.language import format_plan
from compllm.serve.answering import Ask, Ended, Piece, Thought, Words, sound
from compllm.serve.cutting import Cutter
from compllm.serve.errors import refused
from compllm.serve.reasoning import step_line
from compllm.serve.service import Service


@dataclass(frozen=True, slots=True)
class DryRun:
    """A plan, who would answer each of its steps, and notes on it."""

    plan: Plan
    assignments: dict[int, Assignment]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The plan in the plan language."""
        return sound(format_plan(self.plan))

    async def pieces(self, cutter: Cutter) -> AsyncGenerator[Piece, None]:
        """Yield the plan as an answer, with notes and assignments as its reasoning."""
        for note in self.notes:
            yield Thought(sound(f"Note: {note}\n"))
        for step in self.plan.steps:
            yield Thought(sound(step_line(step.id, step.display, step.tag, self.assignments[step.id]) + "\n"))
        yield Words(cutter.feed(self.text) + cutter.rest())
        yield Ended(cutter.finish_reason)


async def dry_run(service: Service, ask: Ask, param: str) -> DryRun:
    """Plan and route; steps that use others' answers are routed provisionally.

    Raises:
        ApiError: one expert is asked, which needs no plan; `param` names who wants it dry.
        PlanError: the question is empty or too long.
        RoutingError: a step cannot be given to an expert.
    """
    if ask.expert is not None:
        raise refused(param, "a single expert has no plan: name the team")
    if ask.plan is None:
        plan, assignments, notes = await service.team.plan(ask.question)
        return DryRun(plan, assignments, tuple(notes))
    texts, tags = [step.display for step in ask.plan.steps], [step.tag for step in ask.plan.steps]
    found = await anyio.to_thread.run_sync(service.team.router.route_many, texts, tags)
    return DryRun(ask.plan, dict(zip((step.id for step in ask.plan.steps), found, strict=True)))
