"""The synchronous facade over the asynchronous core."""

from __future__ import annotations

from pathlib import Path

import anyio

from compllm.core.plan import Plan
from compllm.pipeline import Answer, Team


def ask(question: str, *, team: str | Path | None = None, plan: Plan | None = None) -> Answer:
    """Answer one question; opens the team, asks, and closes it again (several questions: use `Team`).

    `team` is a team file or its folder; without one, `compllm.yaml` in this folder, else the starter team.

    Raises:
        ConfigError: the team file or the installation is not usable.
        PlanError: the question is empty or too long.
        RunError: no step could be answered.
    """

    async def open_and_ask() -> Answer:
        async with Team.load(team) as opened:
            return await opened.ask(question, plan=plan)

    return anyio.run(open_and_ask)
