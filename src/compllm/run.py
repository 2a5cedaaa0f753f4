"""One query's life: its plan, its nodes and its answer, as one stream of events."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from compllm.aggregator.base import Aggregator, Part
from compllm.aggregator.joined import JoinedAggregator
from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.plan import Plan, SubQuery
from compllm.core.quoting import quote
from compllm.core.routing import Assignment
from compllm.errors import CompLLMError, ExpertResponseError, JournalError, PlanError, QueueFullError
from compllm.executor import Executor, Observer, tell
from compllm.experts.expert import Expert
from compllm.experts.metered import Metered, Usage
from compllm.explain.remains import Remains
from compllm.planner.base import Note, Planner, whole_question

# The share of a run's time after which a plan that is still being written is cut off.
_PLANNING_SHARE = 0.5
# What stands in a later question for an answer that is missing, when the team runs nodes in spite of gaps.
_GAP = "(unknown: step {step} has no answer)"
# What answers add to a later question at most; each is cut where one is named so often that they would add more.
_QUOTED_CHARACTERS = 16_000
# What begins the naming of a gap, at the end of an answer.
_NOT_ANSWERED = "\n\nNot answered: "
_JOINED = JoinedAggregator()
# Of the experts for the whole question, so many are likely to get a part of it.
_LIKELY_EXPERTS = 2


Route: TypeAlias = Callable[[str, str | None], Awaitable[Assignment]]


class Recorder(Protocol):
    """Keeps the events of runs, as the journal does."""

    def record(self, run: str, stamped: ev.Stamped) -> None:
        """Take an event; must not block."""
        ...

    def flush(self) -> None:
        """Return once everything recorded is safe; may block."""
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """What a run is made with: the parts of a team.

    `usage` counts what its planner and aggregator take, too. `looks_ahead`: the plan takes a while, so the models of
    those who would get the whole question are loaded meanwhile, where there is room.
    """

    team: str
    planner: Planner
    route: Route
    experts: Mapping[str, Expert]
    executor: Executor
    aggregator: Aggregator
    deadline_s: float
    journal: Recorder
    observers: Sequence[Observer] = ()
    usage: Usage = field(default_factory=Usage)
    looks_ahead: bool = False


@dataclass(slots=True, eq=False)
class Run:
    """A question on its way to an answer; the executor asks it for whatever its nodes need.

    `events` streams what happens, stamped with the seconds since the start; it ends after `RunCompleted` or
    `RunFailed`. A run that goes on from what `left` holds begins with what was recorded of it, and asks nobody for the
    answers that are there.
    """

    id: str
    question: str
    stages: Stages
    user: str = ""
    priority: int = 0
    left: Remains | None = None
    events: MemoryObjectReceiveStream[ev.Stamped] = field(init=False)
    _send: MemoryObjectSendStream[ev.Stamped] = field(init=False)
    _began_s: float = field(init=False)
    _steps: dict[int, SubQuery] = field(default_factory=dict)
    _questions: dict[int, str] = field(default_factory=dict)
    _answers: dict[int, SubAnswer] = field(default_factory=dict)
    _gaps: dict[int, str] = field(default_factory=dict)
    _cancelled: str = ""
    _written: list[str] = field(default_factory=list)
    _is_closed: bool = False
    _unrecorded: bool = False
    _has_reader: bool = True
    _has_begun: bool = False
    _has_ended: bool = False
    _writing: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _finished: anyio.Event | None = None

    def __post_init__(self) -> None:
        self._send, self.events = anyio.create_memory_object_stream[ev.Stamped](float("inf"))
        recorded = self.left.events if self.left else ()
        self._began_s = time.monotonic() - max((stamped.at_s for stamped in recorded), default=0.0)
        if self.left:
            self._questions |= self.left.questions
            self._answers |= self.left.answers
        for stamped in recorded:
            self._publish(stamped)

    # --- its life ----------------------------------------------------------------------------------------------------

    def open(self) -> anyio.Event:
        """Have the run admitted, if that has not been done; the event returned is set when its nodes have ended.

        Raises:
            QueueFullError: no more runs are taken.
        """
        if self._finished is None:
            deadline_s = time.monotonic() + self.stages.deadline_s
            terms = ev.RunOpened(self.id, self.user, self.priority, deadline_s, goes_on=True)
            try:
                self._finished = self.stages.executor.open_run(self.id, self, terms)
            except QueueFullError:
                self._send.close()
                self.events.close()
                raise
        return self._finished

    async def live(self) -> None:
        """Plan, execute and aggregate; every failure becomes an event, and the stream ends."""
        self._has_begun = True
        with self._send:
            try:
                await self._publish_all()
            finally:
                self._has_ended = True
                self.stages.executor.end_run(self.id)

    async def _publish_all(self) -> None:
        deadline_s = anyio.current_time() + self.stages.deadline_s
        planner = self.stages.planner.name
        self.notify(ev.RunStarted(self.id, self.question, self.stages.team, planner, self.user, self.priority))
        in_time = await self._execute(deadline_s)
        ending: ev.RunCompleted | ev.RunFailed | None = None
        with self._writing:
            ending = await self._conclude(deadline_s, in_time=in_time)
        if self._writing.cancel_called and not isinstance(ending, ev.RunCompleted):
            self.notify(ev.RunCancelled(self.id, self._cancelled))
        stamped = self._record(ending or ev.RunFailed(self.id, f"cancelled: {self._cancelled}"))
        with anyio.CancelScope(shield=True):
            await self._flush()
        self._publish(stamped)

    async def _execute(self, deadline_s: float) -> bool:
        """Plan and run until every node has ended; return whether nothing was left to the deadline to end."""
        executor = self.stages.executor
        finished = self.open()
        if self._cancelled:
            executor.dispatch(ev.RunCancelled(self.id, self._cancelled))
        with anyio.CancelScope(deadline=deadline_s):
            async with anyio.create_task_group() as planning:
                planning.start_soon(self._plan)
                await finished.wait()
                planning.cancel_scope.cancel()
        if not executor.is_open(self.id):
            return True
        in_time = bool(self._cancelled)  # and has yet to stop
        self.cancel(self._too_late)
        await finished.wait()
        return in_time

    def cancel(self, reason: str) -> None:
        """Stop everything that is under way for this run; its nodes end as cancelled. The first reason counts."""
        is_first = not self._cancelled
        self._cancelled = self._cancelled or reason
        if self._has_ended or not self._has_begun:
            return  # `live` heeds it when it begins
        if not self.stages.executor.is_open(self.id):
            self._writing.cancel()
        elif is_first:
            self.stages.executor.dispatch(ev.RunCancelled(self.id, reason))

    async def _plan(self) -> None:
        """Add the planner's steps; one that fails, or takes more than its share of the time, costs no question."""
        budget_s = self.stages.deadline_s * _PLANNING_SHARE
        if self.stages.looks_ahead:
            self.stages.executor.tasks.start_soon(self._look_ahead)
        try:
            with anyio.move_on_after(budget_s) as budget:
                await self._take_steps()
            if budget.cancelled_caught:
                raise PlanError(f"the planner was not done after {budget_s:g} s")
            if not self._steps and self._is_going_on():
                raise PlanError("the planner wrote no steps")
        except Exception as error:  # noqa: BLE001 - the boundary of one run: whatever a planner raises is reported
            self.notify(ev.PlanNoted(self.id, f"planning failed: {_reason(error)}; the question was kept whole"))
            await self._add(whole_question(self.question, self._steps))
        if self._is_going_on() and not self._is_closed:
            self.stages.executor.dispatch(ev.PlanClosed(self.id))

    async def _look_ahead(self) -> None:
        likely = (await self._route(self.question, None)).candidates[:_LIKELY_EXPERTS]
        if likely and self._is_going_on() and not self._steps:
            models = tuple(dict.fromkeys(candidate.model for candidate in likely))
            self.stages.executor.dispatch(ev.ModelsExpected(self.id, models))

    async def _take_steps(self) -> None:
        async with aclosing(self.stages.planner.plan(self.question)) as pieces:
            async for piece in pieces:
                match piece:
                    case Note(text):
                        self.notify(ev.PlanNoted(self.id, text))
                    case Plan():
                        await self._add(*(piece[step] for step in piece.order), closes=True)
                    case SubQuery():
                        await self._add(piece)

    async def _add(self, *steps: SubQuery, closes: bool = False) -> None:
        """Add steps that are known at once; what is done for the first can heed the last; `closes`: no more come."""
        open_steps = [step for step in steps if step.id not in self._recalled]
        assignments = [await self._route(step.display, step.tag) for step in open_steps]
        if not self._is_going_on():
            return
        for step in steps:
            self._note(step)
        self._is_closed = closes
        news = [self._added(step, assignment) for step, assignment in zip(open_steps, assignments, strict=True)]
        self.stages.executor.dispatch_all([*news, ev.PlanClosed(self.id)] if closes else news)

    def _note(self, step: SubQuery) -> None:
        if step.id in self._steps:
            raise PlanError(f"step number {step.id} is used twice")
        if unknown := sorted(set(step.parents) - self._steps.keys()):
            raise PlanError(f"step {step.id} needs step {unknown[0]}, which is no earlier one")
        self._steps[step.id] = step
        self._questions.setdefault(step.id, step.display)

    @property
    def _recalled(self) -> Collection[int]:
        """The steps that were answered before; the scheduler never hears of them."""
        return self.left.answers if self.left else ()

    def _added(self, step: SubQuery, assignment: Assignment) -> ev.NodeAdded:
        parents = tuple(parent for parent in step.parents if parent not in self._recalled)
        return ev.NodeAdded(self.id, step.id, step.display, parents, assignment, not step.references, step.tag)

    def _is_going_on(self) -> bool:
        return self.stages.executor.is_open(self.id) and not self._cancelled

    async def _route(self, question: str, tag: str | None) -> Assignment:
        """Route a question; one that nobody may answer gets no candidates, and the reason."""
        try:
            return await self.stages.route(question, tag)
        except Exception as error:  # noqa: BLE001 - the boundary of one decision: whatever an encoder raises is reported
            return Assignment((), "question", 0.0, 0.0, passed=False, reason=_reason(error))

    async def _conclude(self, deadline_s: float, *, in_time: bool) -> ev.RunCompleted | ev.RunFailed:
        cancelled = f"cancelled: {self._cancelled}" if self._cancelled and in_time else self._cancelled
        if not self._answers or (self._cancelled and in_time):
            reasons = filter(None, [cancelled, *dict.fromkeys(self._gaps.values())])
            return ev.RunFailed(self.id, "; ".join(reasons) or "no step was planned")
        await self._write_answer(deadline_s, in_time=in_time)
        return ev.RunCompleted(
            self.id,
            "".join(self._written).strip(),
            tuple(step for step in self._steps if step not in self._answers),
            self.stages.usage.prompt_tokens,
            self.stages.usage.completion_tokens,
        )

    async def _write_answer(self, deadline_s: float, *, in_time: bool) -> None:
        """Write the answer: the only sub-answer as it is, else what the aggregator makes of them; then the gaps."""
        if len(self._steps) == 1:
            self._write(next(iter(self._answers.values())).text)
            return
        parts = tuple(map(self._part, self._steps.values()))
        alone = len(self._answers) == 1
        await self._aggregate(self.stages.aggregator if in_time and not alone else _JOINED, parts, deadline_s)
        for step in self._steps.values():
            if step.id not in self._answers:
                reason = self._gaps.get(step.id, self._cancelled)
                self._write(f"{_NOT_ANSWERED}{self._questions[step.id]} ({reason})")

    async def _aggregate(self, aggregator: Aggregator, parts: tuple[Part, ...], deadline_s: float) -> None:
        """Have the aggregator write; if it fails or is late, the sub-answers follow as they are: nothing is lost."""
        self.notify(ev.AggregationStarted(self.id, aggregator.name))
        problem = self._too_late
        try:
            with anyio.CancelScope(deadline=deadline_s if aggregator is not _JOINED else math.inf):
                await self._join(aggregator, parts)
                return
        except Exception as error:  # noqa: BLE001 - the boundary of one run: whatever an aggregator raises is reported
            problem = _reason(error)
        self.notify(ev.PlanNoted(self.id, f"the aggregator failed ({problem}); the sub-answers follow as they are"))
        if self._written:
            self._write("\n\n")
        await self._join(_JOINED, parts)

    async def _join(self, aggregator: Aggregator, parts: tuple[Part, ...]) -> None:
        async with aclosing(aggregator.join(self.question, parts)) as pieces:
            async for piece in pieces:
                self._write(piece)

    def _write(self, piece: str) -> None:
        self._written.append(piece)
        self.notify(ev.AnswerDelta(self.id, piece))

    @property
    def _too_late(self) -> str:
        return f"the deadline of {self.stages.deadline_s:g} s has passed"

    def _part(self, step: SubQuery) -> Part:
        answer = self._answers.get(step.id)
        text, expert = (answer.text, answer.expert) if answer else ("", "")
        return Part(step.id, self._questions[step.id], text, expert, step.parents)

    async def follow(self) -> AsyncGenerator[ev.Stamped, None]:
        """Yield the events, those that are there already without giving way in between; whoever stops closes them."""
        async with self.events:
            async for first in self.events:
                yield first
                with suppress(anyio.WouldBlock, anyio.EndOfStream):
                    while True:
                        yield self.events.receive_nowait()

    # --- what the executor asks for ----------------------------------------------------------------------------------

    async def resolve(self, node: int) -> ev.NodeRouted:
        """Put the parents' answers into the node's text and route the question that results."""
        step = self._steps[node]
        most = _QUOTED_CHARACTERS // max(1, step.display.count("#"))
        question = step.substitute({parent: self._quoted(parent)[:most] for parent in step.references})
        self._questions[node] = question
        assignment = await self._route(question, step.tag)
        return ev.NodeRouted(self.id, node, question, assignment)

    async def answer(self, command: ev.RunNode) -> SubAnswer:
        """Ask the expert and pass its words on as they come."""
        expert = self.stages.experts[command.expert]
        backend = Metered(self.stages.executor.backends[command.model], self.stages.usage)
        question = self._questions[command.node] + self._known(self._steps[command.node])
        async with aclosing(expert.answer(question, backend)) as pieces:
            async for piece in pieces:
                if isinstance(piece, SubAnswer):
                    return piece
                self.notify(ev.NodeDelta(self.id, command.node, piece))
        raise ExpertResponseError("the model answered nothing", expert=command.expert, retryable=True)

    def notify(self, event: ev.Event) -> None:
        """Stamp an event, keep what the answer needs of it, and pass it on to the reader and the journal."""
        match event:
            case ev.NodeCompleted(_, node, answer):
                self._answers[node] = answer
            case ev.NodeGivenUp(_, node, reason):
                self._gaps[node] = reason
            case ev.NodeSkipped(_, node, because):
                self._gaps[node] = f"it needs step {because}, which has no answer"
        if self.left and self.left.plan and isinstance(event, ev.NodeAdded | ev.PlanClosed):
            tell(self.stages.observers, event)
            return  # recorded, with all its parents, when it happened
        self._publish(self._record(event))

    def _publish(self, stamped: ev.Stamped) -> None:
        if not self._has_reader:
            return
        try:
            self._send.send_nowait(stamped)
        except anyio.BrokenResourceError:
            self._has_reader = False  # the journal still wants to know

    def _record(self, event: ev.Event) -> ev.Stamped:
        stamped = ev.Stamped(time.monotonic() - self._began_s, event)
        if getattr(event, "run", None) is not None:
            tell(self.stages.observers, event)
        try:
            self.stages.journal.record(self.id, stamped)
        except JournalError as error:
            self._journal_failed(error)
        return stamped

    async def _flush(self) -> None:
        try:
            await anyio.to_thread.run_sync(self.stages.journal.flush)
        except JournalError as error:
            self._journal_failed(error)

    def _journal_failed(self, error: JournalError) -> None:
        """Say once that the record is not complete; the answer matters more."""
        if not self._unrecorded:
            self._unrecorded = True
            note = ev.PlanNoted(self.id, f"this run is not recorded: {error}")
            self._publish(ev.Stamped(time.monotonic() - self._began_s, note))

    def _quoted(self, step: int) -> str:
        answer = self._answers.get(step)
        return quote(answer.text, self._questions[step]) if answer else _GAP.format(step=step)

    def _known(self, step: SubQuery) -> str:
        """Return what a step that only follows others should know of them."""
        lines = [f"- {self._questions[n]} {self._quoted(n)}" for n in sorted(step.after - step.references)]
        return "\n\nKnown so far:\n" + "\n".join(lines) if lines else ""


def without_gaps(answer: str) -> str:
    """Return an answer without what it says of its gaps."""
    return answer.partition(_NOT_ANSWERED)[0]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, CompLLMError) else f"{type(error).__name__}: {error}"
