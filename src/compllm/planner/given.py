"""A plan that somebody else has written."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from compllm.core.plan import Plan
from compllm.planner.base import PlanPiece


@dataclass(frozen=True, slots=True)
class GivenPlanner:
    """Hands out a closed plan as it is."""

    given: Plan
    name: str = "given"

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        """Yield the given plan as a whole."""
        del question  # the plan stands whatever was asked
        yield self.given
