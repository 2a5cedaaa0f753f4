"""What the engine itself costs: plans of fake experts, so that every millisecond measured is ours."""

from __future__ import annotations

import statistics
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio

from compllm.aggregator.joined import JoinedAggregator
from compllm.core import events as ev
from compllm.core.ledger import Model
from compllm.core.plan import Plan, SubQuery
from compllm.core.routing import Assignment, Candidate, ExpertProfile
from compllm.core.scheduler import Scheduler
from compllm.executor import Executor
from compllm.experts.expert import Expert
from compllm.experts.fake import FakeExpert
from compllm.planner.base import Planner, PlanPiece
from compllm.planner.given import GivenPlanner
from compllm.run import Run, Stages


class _NoJournal:
    """Keeps no record, so that only the engine is measured."""

    def record(self, run: str, stamped: ev.Stamped) -> None:
        """Drop the event."""

    def flush(self) -> None:
        """Have nothing to write."""


@dataclass(frozen=True, slots=True)
class StallingPlanner:
    """Hands out its steps and then stalls, as a slow model would that is still writing; `released` lets it end."""

    steps: Sequence[SubQuery]
    released: anyio.Event = field(default_factory=anyio.Event)
    name: str = "stalling"

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        """Yield the steps at once, end late."""
        del question
        for step in self.steps:
            yield step
        await self.released.wait()


def _answer(question: str) -> str:
    del question
    return "done"


async def _time(planner: Planner, delays_s: Mapping[str, float] | None = None, slots: int = 1) -> list[ev.Stamped]:
    """Run a plan and return its events; `delays_s` holds seconds by question, each length with a fake of its own."""
    lengths_s = {0.0, *(delays_s or {}).values()}
    fakes = {f"after {length_s:g} s": FakeExpert(_answer, first_token_s=length_s) for length_s in lengths_s}
    experts = {name: Expert(ExpertProfile(name, name, "An expert in everything.")) for name in fakes}

    async def route(question: str, tag: str | None) -> Assignment:
        del tag
        name = f"after {(delays_s or {}).get(question, 0.0):g} s"
        return Assignment((Candidate(name, name),), "given", 1.0, 1.0, passed=True, reason="as the bench says")

    async with Executor(Scheduler([Model(name, slots=slots) for name in fakes], []), fakes) as executor:
        stages = Stages("bench", planner, route, experts, executor, JoinedAggregator(), 60.0, _NoJournal())
        run = Run("bench", "bench", stages)
        executor.tasks.start_soon(run.live)
        events = []
        async with aclosing(run.follow()) as stream:
            async for stamped in stream:
                events.append(stamped)
                if isinstance(planner, StallingPlanner) and _has_started(stamped.event, len(planner.steps)):
                    planner.released.set()
        return events


def _has_started(event: ev.Event, node: int) -> bool:
    return isinstance(event, ev.NodeStarted) and event.node == node


def _ended_s(events: Sequence[ev.Stamped]) -> float:
    return max(e.at_s for e in events if isinstance(e.event, ev.NodeCompleted))


def chain(length: int) -> Plan:
    """Return a plan in which every step needs the answer of the one before."""
    return Plan(tuple(SubQuery(n, "begin" if n == 1 else f"go on from #{n - 1}") for n in range(1, length + 1)))


def fan_out(width: int) -> Plan:
    """Return a plan of independent steps."""
    return Plan(tuple(SubQuery(n, f"step {n}") for n in range(1, width + 1)))


def crossed() -> Plan:
    """Return A -> C and B -> D, where the short one of each pair meets the long one of the other."""
    steps = [
        SubQuery(1, "A"),
        SubQuery(2, "B"),
        SubQuery(3, "C", after=frozenset({1})),
        SubQuery(4, "D", after=frozenset({2})),
    ]
    return Plan(tuple(steps))


async def run_engine_bench(repeats: int = 5) -> dict[str, float]:
    """Return medians in seconds: a chain of 50, the crossed graph, a fan-out of 1,000, and a freed node's delay."""
    await _time(GivenPlanner(chain(2)))
    chain_s = [_ended_s(await _time(GivenPlanner(chain(50)))) for _ in range(repeats)]
    delays_s = {"A": 0.05, "B": 0.3, "C": 0.3, "D": 0.05}
    crossed_s = [_ended_s(await _time(GivenPlanner(crossed()), delays_s, slots=4)) for _ in range(repeats)]
    fan_out_s = [_ended_s(await _time(GivenPlanner(fan_out(1000)), slots=1000)) for _ in range(repeats)]
    freed_s = [_freed_delay_s(await _time(StallingPlanner(chain(2).steps), {"begin": 0.05})) for _ in range(repeats)]
    return {
        "chain_50_s": statistics.median(chain_s),
        "crossed_s": statistics.median(crossed_s),
        "crossed_possible_s": 0.35,
        "fan_out_1000_s": statistics.median(fan_out_s),
        "freed_node_delay_s": statistics.median(freed_s),
        "repeats": repeats,
    }


def _freed_delay_s(events: Sequence[ev.Stamped]) -> float:
    """Return how long after the first step's end the second one started, the plan still being open."""
    closed_s = next(e.at_s for e in events if isinstance(e.event, ev.PlanClosed))
    completed_s = next(e.at_s for e in events if isinstance(e.event, ev.NodeCompleted) and e.event.node == 1)
    started_s = next(e.at_s for e in events if isinstance(e.event, ev.NodeStarted) and e.event.node == 2)
    if not completed_s <= started_s <= closed_s:
        raise AssertionError("the freed node waited for the planner")
    return started_s - completed_s
