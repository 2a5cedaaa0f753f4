"""One model that thinks, asks experts and observes in turn."""

from __future__ import annotations

import re
from contextlib import aclosing

from compllm.bench.evidence.reply import Reply, StepReply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.bench.evidence.systems.base import Factory
from compllm.bench.evidence.systems.composed import on_team
from compllm.bench.evidence.team import BenchTeam
from compllm.core.plan import Plan, SubQuery
from compllm.experts.base import ChatRequest, Message
from compllm.experts.expert import Expert
from compllm.planner.given import GivenPlanner

_MOST_ACTIONS = 8
_ACTION_TOKENS = 96
_ACTION = re.compile(r"^Ask\s*\[(?P<field>[^\]]{1,80})\]:?\s*(?P<question>\S.*)$", re.MULTILINE)
_FINISH = re.compile(r"^Finish:\s*(?P<answer>\S.*)", re.MULTILINE | re.DOTALL)
_RULES = """\
You answer a question by asking experts. Think in one line, then act in one line:
`Ask [field]: question` puts a question to the expert of a field, and you get an observation;
`Finish: answer` ends with the whole answer.
Fields: {fields}."""
_SHOWN = (
    Message("user", "Question: Who wrote Middlemarch, and what is the capital of France?"),
    Message("assistant", "Thought: First the author.\nAsk [literature]: Who wrote Middlemarch?"),
    Message("user", "Observation: George Eliot"),
    Message("assistant", "Thought: Now the capital.\nAsk [geography]: What is the capital of France?"),
    Message("user", "Observation: Paris"),
    Message("assistant", "Thought: I know both.\nFinish: George Eliot wrote Middlemarch, and the capital is Paris."),
)


async def reasoning_and_acting(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Let the general model think, ask an expert, observe and go on until it finishes (ReAct, Yao et al. 2023).

    Raises:
        ExpertError: the model failed.
    """
    fallback = team.file.config.router.fallback
    thinker = team.experts[fallback] if fallback else next(iter(team.experts.values()))
    turns = [Message("system", _RULES.format(fields=", ".join(team.experts))), *_SHOWN]
    turns.append(Message("user", f"Question: {row.question}"))
    steps: list[StepReply] = []
    for _ in range(_MOST_ACTIONS):
        said = await _said(team, thinker, turns)
        if (found := _FINISH.search(said)) is not None:
            return Reply(found["answer"].strip(), tuple(steps))
        if (action := _ACTION.search(said)) is None:
            return Reply(said, tuple(steps), ("neither an action nor an end; what was said last is the answer",))
        reply = await team.run(action["question"], _one_step(action["question"], action["field"]))
        steps += reply.steps
        turns += [Message("assistant", said), Message("user", f"Observation: {reply.text or 'no answer'}")]
    text = " ".join(step.answer for step in steps)
    return Reply(text, tuple(steps), (f"not finished after {_MOST_ACTIONS} actions; the observations are the answer",))


async def _said(team: BenchTeam, thinker: Expert, turns: list[Message]) -> str:
    request = ChatRequest(tuple(turns), _ACTION_TOKENS, stop=("Observation:",))
    async with (
        team.lease(thinker.profile.model, "bench", usage=team.meter) as backend,
        aclosing(backend.stream(request)) as chunks,
    ):
        return "".join([chunk.text async for chunk in chunks]).strip()


def _one_step(question: str, field: str) -> GivenPlanner:
    return GivenPlanner(Plan((SubQuery.literal(1, question, field),)))


REACT: dict[str, Factory] = {"react": on_team(reasoning_and_acting)}
