"""The planner port: a question becomes steps, one after another, with notes on what a reader should know."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from compllm.core.plan import Plan, SubQuery


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the plan that a reader should know."""

    text: str


# A whole plan, which ends the planning, or a step of one that is still being written.
PlanPiece: TypeAlias = SubQuery | Plan | Note


class Planner(Protocol):
    """Writes plans."""

    @property
    def name(self) -> str:
        """What kind of planner it is, as users see it."""
        ...

    def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        """Yield the steps in order, each as soon as it is known, at least one; or the whole plan at once.

        A planner that cannot plan yields the question itself as the only step, with a note that says why.
        """
        ...


def whole_question(question: str, before: Collection[int]) -> SubQuery:
    """Return the question as the last step of a plan that could not be written to its end; `before` are its steps."""
    last = SubQuery.literal(max(before, default=0) + 1, question)
    return SubQuery(last.id, last.text, after=frozenset(before))
