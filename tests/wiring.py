"""Runs on fake experts: the parts of a team wired as tests need them, and ways to read what happened."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import anyio

from compllm.aggregator.base import Aggregator, Part
from compllm.aggregator.joined import JoinedAggregator
from compllm.core import events as ev
from compllm.core.health import Backoff
from compllm.core.ledger import Device, Model
from compllm.core.plan import Plan, SubQuery
from compllm.core.routing import Assignment, Candidate, ExpertProfile
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import JournalError, NoEligibleExpertError
from compllm.executor import Executor
from compllm.experts.base import Backend, ChatRequest, Chunk
from compllm.experts.expert import Expert
from compllm.experts.fake import FakeExpert
from compllm.planner.base import Planner, PlanPiece
from compllm.planner.given import GivenPlanner
from compllm.planner.language import parse_plan
from compllm.run import Recorder, Route, Run, Stages

E = TypeVar("E", bound=ev.Event)

QUICK = Backoff(first_s=0.001, longest_s=0.002, breaker_s=30.0)


class Notebook:
    """Keeps the events of every run; fails from call number `fails_from` on."""

    def __init__(self, fails_from: int | None = None) -> None:
        self.runs: dict[str, list[ev.Event]] = {}
        self.calls = 0
        self._fails_from = fails_from

    def record(self, run: str, stamped: ev.Stamped) -> None:
        self.calls += 1
        if self._fails_from is not None and self.calls >= self._fails_from:
            raise JournalError("the disk is full")
        self.runs.setdefault(run, []).append(stamped.event)

    def flush(self) -> None:
        if self._fails_from is not None:
            raise JournalError("the disk is full")


@dataclass(slots=True, eq=False)
class ScriptedPlanner:
    """Hands out pieces; raises what is an exception among them and waits where there is an event."""

    pieces: Sequence[PlanPiece | Exception | anyio.Event]
    name: str = "scripted"
    closed: bool = False

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, anyio.Event):
                    await piece.wait()
                else:
                    yield piece
        finally:
            self.closed = True


@dataclass(slots=True, eq=False)
class ScriptedAggregator:
    """Writes its pieces, then raises or hangs if told to."""

    pieces: Sequence[str] = ()
    error: Exception | None = None
    hang: bool = False
    name: str = "scripted"
    seen: list[tuple[Part, ...]] = field(default_factory=list)

    async def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        self.seen.append(parts)
        for piece in self.pieces:
            yield piece
        if self.hang:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error


class GatedFake(FakeExpert):
    """A fake expert that answers a question once its first word was let through (`let`); echoes by default."""

    def __init__(self, *gated: str, answers: Mapping[str, str] | Callable[[str], str] | None = None) -> None:
        super().__init__(answers)
        self._gates = {word: anyio.Event() for word in gated}

    def let(self, word: str) -> None:
        self._gates[word].set()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        if gate := self._gates.get(request.messages[-1].content.split()[0]):
            await gate.wait()
        async with aclosing(super().stream(request)) as chunks:
            async for chunk in chunks:
                yield chunk


def router(**experts: str) -> Route:
    """Route by tag to the expert of that name, else to the first; the others follow as failover. Values are models."""

    async def route(question: str, tag: str | None) -> Assignment:
        if tag == "nobody":
            raise NoEligibleExpertError("no expert may answer")
        first = tag if tag in experts else next(iter(experts))
        names = [first, *(name for name in experts if name != first and tag != "alone")]
        candidates = tuple(Candidate(name, experts[name]) for name in names)
        return Assignment(candidates, "given", 1.0, 1.0, passed=True, reason="by tag")

    return route


@dataclass(slots=True, eq=False)
class Lab:
    """A team of fakes: one expert for each model, of the model's name."""

    executor: Executor
    experts: dict[str, Expert]
    route: Route
    journal: Recorder
    aggregator: Aggregator
    deadline_s: float
    runs: int = 0

    def start(
        self,
        planner: Planner | str,
        question: str = "What?",
        *,
        deadline_s: float | None = None,
        looks_ahead: bool = False,
    ) -> Run:
        """Begin a run; a string is a plan in the plan language."""
        planner = GivenPlanner(parse_plan(planner)) if isinstance(planner, str) else planner
        self.runs += 1
        limit_s = self.deadline_s if deadline_s is None else deadline_s
        stages = Stages(
            "lab",
            planner,
            self.route,
            self.experts,
            self.executor,
            self.aggregator,
            limit_s,
            self.journal,
            looks_ahead=looks_ahead,
        )
        run = Run(f"run{self.runs}", question, stages)
        self.executor.tasks.start_soon(run.live)
        return run

    async def ask(self, planner: Planner | str, question: str = "What?", **options: Any) -> list[ev.Event]:
        """Run to the end and return what happened."""
        return [event async for event in told(self.start(planner, question, **options))]


@asynccontextmanager
async def lab(
    backends: Mapping[str, Backend],
    *,
    slots: int = 4,
    bytes_each: int = 0,
    capacity_bytes: int = 0,
    rules: Rules | None = None,
    route: Route | None = None,
    journal: Recorder | None = None,
    aggregator: Aggregator | None = None,
    deadline_s: float = 30.0,
) -> AsyncIterator[Lab]:
    """Open a team; with `bytes_each` the models live on a device of `capacity_bytes`, else they are always there."""
    homes = ("cpu",) if bytes_each else ()
    models = [Model(name, bytes_each, slots, devices=homes) for name in backends]
    devices = [Device("cpu", capacity_bytes, 8)] if bytes_each else []
    experts = {name: Expert(ExpertProfile(name, name, f"An expert in {name}.")) for name in backends}
    scheduler = Checked(models, devices, rules or Rules(backoff=QUICK))
    route = route or router(**{name: name for name in backends})
    with anyio.fail_after(20):
        async with Executor(scheduler, backends) as executor:
            yield Lab(executor, experts, route, journal or Notebook(), aggregator or JoinedAggregator(), deadline_s)
            await anyio.wait_all_tasks_blocked()
            assert not executor._runs
            assert not executor._attempts
            assert all(not replica.leases for replica in scheduler.ledger)
    for backend in backends.values():
        assert not isinstance(backend, FakeExpert) or backend.open_streams == 0
        assert not isinstance(backend, FakeExpert) or not backend.loaded


class Checked(Scheduler):
    """The scheduler with its invariants asserted after every event."""

    def handle_all(self, events: Iterable[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        commands = super().handle_all(events, now_s)
        self.check()
        return commands


async def told(run: Run) -> AsyncIterator[ev.Event]:
    """Yield the events of a run without their times."""
    async with run.events:
        async for stamped in run.events:
            yield stamped.event


def of(kind: type[E], events: Sequence[ev.Event]) -> list[E]:
    """Return the events of a kind."""
    return [event for event in events if isinstance(event, kind)]


def answer_of(events: Sequence[ev.Event]) -> str:
    """Return the answer of a run that must have completed."""
    last = events[-1]
    assert isinstance(last, ev.RunCompleted), last
    return last.answer


def notes(events: Sequence[ev.Event]) -> str:
    """Return the notes on the plan, a line each."""
    return "\n".join(event.note for event in of(ev.PlanNoted, events))


def questions(fake: FakeExpert) -> list[str]:
    """Return what a fake was asked, in order."""
    return [call.messages[-1].content for call in fake.calls]


def place(events: Sequence[ev.Event], kind: type[ev.Event], node: int) -> int:
    """Return where in the stream a node's event of a kind stands."""
    return next(i for i, event in enumerate(events) if isinstance(event, kind) and getattr(event, "node", 0) == node)


def plan_of(*steps: SubQuery) -> GivenPlanner:
    """Return a planner for a plan of these steps."""
    return GivenPlanner(Plan(steps))


def cut(text: str, places: Sequence[int]) -> list[str]:
    """Cut a text at these places."""
    marks = sorted({0, *(p for p in places if 0 < p < len(text)), len(text)})
    return [text[a:b] for a, b in pairwise(marks)]


class WrittenPlans(FakeExpert):
    """A model that writes plans: reply number n to call number n, in pieces of `piece_characters`."""

    def __init__(
        self, *replies: str | Exception, piece_characters: int = 1_000_000, finish_reason: str = "stop"
    ) -> None:
        super().__init__()
        self.replies = replies
        self.finish_reason = finish_reason
        self._piece_characters = piece_characters

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.calls.append(request)
        self.open_streams += 1
        try:
            reply = self.replies[min(len(self.calls), len(self.replies)) - 1]
            await anyio.lowlevel.checkpoint()
            if isinstance(reply, Exception):
                raise reply
            for start in range(0, len(reply), self._piece_characters):
                yield Chunk(reply[start : start + self._piece_characters])
            yield Chunk("", 1, 1, self.finish_reason)
        finally:
            self.open_streams -= 1
