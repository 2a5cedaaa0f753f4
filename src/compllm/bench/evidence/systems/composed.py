"""Systems that are one run of the team, each with another planner, route or team."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from compllm.bench.evidence.metering import Meter
from compllm.bench.evidence.reply import Reply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.bench.evidence.systems.base import Factory, Setting, System
from compllm.bench.evidence.team import BenchTeam, monolithic, undeterred, unlimited
from compllm.config import TeamFile
from compllm.core.events import NodeCompleted, NodeGivenUp, NodeSkipped, Stamped
from compllm.core.plan import Plan, SubQuery
from compllm.core.routing import Assignment, Candidate
from compllm.planner.base import Note, Planner, PlanPiece
from compllm.planner.given import GivenPlanner

Way = Callable[[BenchTeam, EvidenceRow], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class TeamSystem:
    """An open team and the way in which it is asked."""

    team: BenchTeam
    way: Way

    @property
    def meter(self) -> Meter:
        """What the team's models have done."""
        return self.team.meter

    async def answer(self, row: EvidenceRow) -> Reply:
        """Ask the team in this way."""
        return await self.way(self.team, row)


def on_team(way: Way, variant: Callable[[TeamFile], TeamFile] = lambda file: file) -> Factory:
    """Return what opens a system: the team, or another of the same parts, asked in a way."""

    @asynccontextmanager
    async def opened(setting: Setting) -> AsyncIterator[System]:
        async with BenchTeam(variant(setting.file), setting.settings) as team:
            await team.prepare()
            yield TeamSystem(team, way)

    return opened


# --- ways ------------------------------------------------------------------------------------------------------------


async def as_it_is(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Ask the team as a user does."""
    return await team.run(row.question)


async def whole(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Ask the question as a single step."""
    return await team.run(row.question, GivenPlanner(Plan((SubQuery.literal(1, row.question),))))


async def chained(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Ask the same steps as a chain: each is told what was found before (Wei et al. 2022)."""
    return await team.run(row.question, ChainPlanner(team.make_planner(usage=team.meter)))


async def one_by_one(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Ask the same steps one after another; nothing overlaps and nothing is batched."""
    planner = PacedPlanner(team.make_planner(usage=team.meter))
    return await team.run(row.question, planner, watch=planner.watch)


async def by_gold_plan(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Give the right plan, with the tags that it has."""
    return await team.run(row.question, GivenPlanner(row.gold_plan))


async def by_gold_route(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Give the right plan and the right experts; a step whose expert is not known is routed as ever."""
    experts = {step.id: step.expert for step in row.plan if step.expert in team.experts}
    steps = tuple(replace(step, tag=experts.get(step.id, step.tag)) for step in row.gold_plan.steps)

    async def route(question: str, tag: str | None) -> Assignment:
        if tag in experts.values():
            return _given(team, str(tag))
        return await team.routed(question, tag)

    return await team.run(row.question, GivenPlanner(Plan(steps)), route)


async def by_documents(team: BenchTeam, row: EvidenceRow) -> Reply:
    """Let the team plan, but give each step to the expert whose documents have the best passage for it."""

    async def route(question: str, tag: str | None) -> Assignment:
        best = await anyio.to_thread.run_sync(_best_read, team, question)
        return _given(team, best) if best else await team.routed(question, tag)

    return await team.run(row.question, route=route)


def _best_read(team: BenchTeam, question: str) -> str | None:
    """Return the expert with the best passage for a question, or None where nobody has any; blocking."""
    found = {
        name: passages[0].score
        for name, expert in team.experts.items()
        if expert.profile.is_described and expert.retrieve is not None and (passages := expert.retrieve(question, 1))
    }
    return max(found, key=found.__getitem__, default=None)


def _given(team: BenchTeam, expert: str) -> Assignment:
    """Return the assignment to one expert alone: no other may stand in for it."""
    only = Candidate(expert, team.experts[expert].profile.model)
    return Assignment((only,), "given", 1.0, 1.0, passed=True, reason="given by the bench")


# --- planners --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChainPlanner:
    """Makes a chain of the steps of another planner."""

    planner: Planner

    @property
    def name(self) -> str:
        """What it makes of what."""
        return f"chain of {self.planner.name}"

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        """Yield each step after all before it."""
        async with aclosing(self.planner.plan(question)) as pieces:
            async for piece in pieces:
                if isinstance(piece, SubQuery) and piece.id > 1:
                    yield replace(piece, after=piece.after | set(range(1, piece.id)))
                else:
                    yield piece


@dataclass(slots=True)
class PacedPlanner:
    """Hands out the steps of another planner one at a time: the next when `watch` has seen the end of the last."""

    planner: Planner
    _ended: anyio.Event = field(default_factory=anyio.Event)

    @property
    def name(self) -> str:
        """What it makes of what."""
        return f"one by one of {self.planner.name}"

    def watch(self, stamped: Stamped) -> None:
        """Take note of an event of the run."""
        if isinstance(stamped.event, NodeCompleted | NodeGivenUp | NodeSkipped):
            self._ended.set()

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        """Have the whole plan written, then yield its steps."""
        async with aclosing(self.planner.plan(question)) as pieces:
            written = [piece async for piece in pieces]
        steps = [piece for piece in written if isinstance(piece, SubQuery)]
        for note in written:
            if isinstance(note, Note):
                yield note
        for number, step in enumerate(steps):
            if number:
                await self._ended.wait()
                self._ended = anyio.Event()
            yield step


# --- systems ---------------------------------------------------------------------------------------------------------

COMPOSED: dict[str, Factory] = {
    "monolith": on_team(whole, lambda file: monolithic(file, adapted=True)),
    "monolith-base": on_team(whole, lambda file: monolithic(file, adapted=False)),
    "top1": on_team(whole),
    "cot": on_team(chained, undeterred),
    "sequential": on_team(one_by_one),
    "unconstrained": on_team(as_it_is, unlimited),
    "compllm": on_team(as_it_is),
    "read-route": on_team(by_documents),
    "gold-plan": on_team(by_gold_plan),
    "gold-route": on_team(by_gold_route),
}
