"""The last rung of the oracles: every step's gold answer is given, and only the joining is left."""

from __future__ import annotations

import time
from contextlib import aclosing

from compllm.aggregator.base import Part
from compllm.bench.evidence.reply import Reply, StepReply
from compllm.bench.evidence.rows import EvidenceRow, GoldStep
from compllm.bench.evidence.systems.base import Factory
from compllm.bench.evidence.systems.composed import on_team
from compllm.bench.evidence.team import BenchTeam
from compllm.errors import PlanError


async def by_gold_answers(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Join the gold answers.

    Raises:
        PlanError: the set gives no answers to this question's steps.
        AggregationError: nothing usable came of it.
        ExpertError: the model behind it failed.
    """
    answers = {step.id: step.answers[0] for step in row.plan if step.answers}
    if not answers:
        raise PlanError(f"{row.id}: the set gives no answers to the steps")
    questions = {step.id: _filled(step, answers) for step in row.plan}
    needed = {parent for step in row.plan for parent in step.depends_on}
    steps = tuple(
        StepReply(questions[step.id], step.expert, answers.get(step.id, ""), step.id not in needed) for step in row.plan
    )
    if len(answers) == 1:
        return Reply(next(iter(answers.values())), steps, looked_up=False)
    parts = tuple(
        Part(step.id, questions[step.id], answers.get(step.id, ""), step.expert, step.depends_on) for step in row.plan
    )
    began_s, first_s = time.monotonic(), None
    pieces: list[str] = []
    async with aclosing(team.join(row.question, parts)) as stream:
        async for piece in stream:
            first_s = first_s or time.monotonic() - began_s
            pieces.append(piece)
    return Reply("".join(pieces).strip(), steps, ttft_s=first_s, looked_up=False)


def _filled(step: GoldStep, answers: dict[int, str]) -> str:
    query = step.sub_query
    return query.substitute({parent: answers.get(parent, "") for parent in query.references})


ORACLES: dict[str, Factory] = {"gold-answers": on_team(by_gold_answers)}
