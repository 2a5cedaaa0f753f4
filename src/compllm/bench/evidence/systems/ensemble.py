"""One expert that is asked several times: the majority of its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from compllm.bench.evidence.reply import Reply, StepReply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.bench.evidence.systems.base import Factory
from compllm.bench.evidence.systems.composed import on_team
from compllm.bench.evidence.team import BenchTeam
from compllm.bench.squad import normalised, token_f1
from compllm.core.answers import SubAnswer
from compllm.errors import ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Chunk, LoadReport
from compllm.experts.expert import Expert

_SAMPLES = 5
_TEMPERATURE = 0.7


async def majority(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Ask the expert that fits the whole question several times; the answer nearest to all others wins.

    Self-consistency (Wang et al. 2023), with token F1 as the measure of agreement since answers are free text.

    Raises:
        ExpertError: the model failed.
        RoutingError: no expert may answer.
    """
    assignment = await team.routed(row.question, None)
    expert = replace(team.experts[assignment.expert], temperature=_TEMPERATURE)
    samples = [await _sampled(team, expert, row.question, seed) for seed in range(_SAMPLES)]
    steps = tuple(StepReply.of(row.question, sample, is_last=False) for sample in samples if sample)
    if not steps:
        return Reply("", (StepReply(row.question, assignment.expert, "", is_last=True),), ("no sample has an answer",))
    texts = [step.answer for step in steps]
    chosen = texts.index(_central(texts))
    return Reply(texts[chosen], tuple(replace(step, is_last=place == chosen) for place, step in enumerate(steps)))


async def _sampled(team: BenchTeam, expert: Expert, question: str, seed: int) -> SubAnswer | None:
    """Return one sample, or None where the expert says that it has no answer."""
    async with team.lease(expert.profile.model, "bench", usage=team.meter) as backend:
        try:
            async with aclosing(expert.answer(question, SeededBackend(backend, seed))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, SubAnswer):
                        return piece
        except ExpertResponseError as error:
            if error.retryable:
                raise
    return None


def _central(texts: list[str]) -> str:
    """Return the most frequent text; among equals the one that shares most words with all."""
    counts = Counter(map(normalised, texts))
    return max(texts, key=lambda text: (counts[normalised(text)], sum(token_f1(text, [other]) for other in texts)))


class SeededBackend:
    """A backend whose requests are sampled with a given seed."""

    def __init__(self, backend: Backend, seed: int) -> None:
        self.supports_grammar = backend.supports_grammar
        self.supports_json_schema = backend.supports_json_schema
        self._backend = backend
        self._seed = seed

    async def load(self) -> LoadReport:
        """Load the backend."""
        return await self._backend.load()

    async def evict(self) -> None:
        """Evict the backend."""
        await self._backend.evict()

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer with the seed."""
        return self._backend.stream(replace(request, seed=self._seed))

    async def crashed(self) -> str:
        """Return once the backend has died by itself."""
        return await self._backend.crashed()


ENSEMBLE: dict[str, Factory] = {"ensemble": on_team(majority)}
