"""One query's life: its plan, its nodes and its answer, as one stream of events."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from compllm.aggregator.base import Aggregator, Part
from compllm.aggregator.joined import JoinedAggregator
from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.plan import SubQuery
from compllm.core.routing import Assignment
from compllm.errors import AggregationError, CompLLMError, ExpertError, ExpertResponseError, JournalError, RoutingError
from compllm.executor import Executor
from compllm.experts.expert import Expert
from compllm.planner.base import Note, Planner

_QUOTED_CHARACTERS = 2_000
# What stands in a later question for an answer that is missing, when the team runs nodes in spite of gaps.
_GAP = "(unknown: step {step} has no answer)"


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
    """What a run is made with: the parts of a team."""

    team: str
    planner: Planner
    route: Route
    experts: Mapping[str, Expert]
    executor: Executor
    aggregator: Aggregator
    deadline_s: float
    journal: Recorder


@dataclass(slots=True, eq=False)
class Run:
    """A question on its way to an answer; the executor asks it for whatever its nodes need.

    `events` streams what happens, stamped with the seconds since the start; it ends after `RunCompleted` or
    `RunFailed`.
    """

    id: str
    question: str
    stages: Stages
    events: MemoryObjectReceiveStream[ev.Stamped] = field(init=False)
    _send: MemoryObjectSendStream[ev.Stamped] = field(init=False)
    _began_s: float = field(init=False)
    _steps: dict[int, SubQuery] = field(default_factory=dict)
    _questions: dict[int, str] = field(default_factory=dict)
    _answers: dict[int, SubAnswer] = field(default_factory=dict)
    _gaps: dict[int, str] = field(default_factory=dict)
    _cancelled: str = ""
    _unrecorded: bool = False
    _writing: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def __post_init__(self) -> None:
        self._send, self.events = anyio.create_memory_object_stream[ev.Stamped](float("inf"))
        self._began_s = time.monotonic()

    # --- its life ----------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Plan, execute and aggregate; every failure becomes an event, and the stream ends."""
        with self._send:
            self.notify(ev.RunStarted(self.id, self.question, self.stages.team, self.stages.planner.name))
            in_time = await self._execute()
            with self._writing:
                ending = await self._conclude(in_time=in_time)
            if self._writing.cancelled_caught:
                self.notify(ev.RunCancelled(self.id, self._cancelled))
                ending = ev.RunFailed(self.id, f"cancelled: {self._cancelled}")
            stamped = self._record(ending)
            with anyio.CancelScope(shield=True):
                await self._flush()
            self._send.send_nowait(stamped)

    async def _execute(self) -> bool:
        """Plan and run until every node has ended; return whether that was before the deadline."""
        finished = self.stages.executor.open_run(self.id, self)
        with anyio.move_on_after(self.stages.deadline_s) as deadline:
            async with anyio.create_task_group() as planning:
                planning.start_soon(self._plan)
                await finished.wait()
                planning.cancel_scope.cancel()
        if deadline.cancelled_caught:
            self.cancel(f"the deadline of {self.stages.deadline_s:g} s has passed")
            await finished.wait()
        return not deadline.cancelled_caught

    def cancel(self, reason: str) -> None:
        """Stop everything that is under way for this run; its nodes end as cancelled."""
        self._cancelled = self._cancelled or reason
        if self.stages.executor.is_open(self.id):
            self.stages.executor.dispatch(ev.RunCancelled(self.id, reason))
        else:
            self._writing.cancel()

    async def _plan(self) -> None:
        try:
            async with aclosing(self.stages.planner.plan(self.question)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Note):
                        self.notify(ev.PlanNoted(self.id, piece.text))
                    else:
                        await self._add(piece)
        except Exception as error:  # noqa: BLE001 - the boundary of one run: whatever a planner raises is reported
            reason = str(error) if isinstance(error, CompLLMError) else f"{type(error).__name__}: {error}"
            self.notify(ev.PlanNoted(self.id, f"planning failed: {reason}"))
            if not self._steps:
                await self._add(SubQuery.literal(1, self.question))
        if self._is_going_on():
            self.stages.executor.dispatch(ev.PlanClosed(self.id))

    async def _add(self, step: SubQuery) -> None:
        assignment = await self._route(step.display, step.tag)
        if not self._is_going_on():
            return
        self._steps[step.id] = step
        self._questions[step.id] = step.display
        final = not step.references
        self.stages.executor.dispatch(
            ev.NodeAdded(self.id, step.id, step.display, step.parents, assignment, final, step.tag)
        )

    def _is_going_on(self) -> bool:
        return self.stages.executor.is_open(self.id) and not self._cancelled

    async def _route(self, question: str, tag: str | None) -> Assignment:
        """Route a question; one that nobody may answer gets no candidates, and the reason."""
        try:
            return await self.stages.route(question, tag)
        except RoutingError as error:
            return Assignment((), "question", 0.0, 0.0, passed=False, reason=str(error))

    async def _conclude(self, *, in_time: bool) -> ev.RunCompleted | ev.RunFailed:
        cancelled = f"cancelled: {self._cancelled}" if self._cancelled and in_time else self._cancelled
        if not self._answers or (self._cancelled and in_time):
            reasons = filter(None, [cancelled, *dict.fromkeys(self._gaps.values())])
            return ev.RunFailed(self.id, "; ".join(reasons) or "no step was planned")
        pieces: list[str] = []
        async with aclosing(self._write_answer(in_time=in_time)) as written:
            async for piece in written:
                pieces.append(piece)
                self.notify(ev.AnswerDelta(self.id, piece))
        answers = self._answers.values()
        return ev.RunCompleted(
            self.id,
            "".join(pieces).strip(),
            tuple(step for step in self._steps if step not in self._answers),
            sum(answer.prompt_tokens for answer in answers),
            sum(answer.completion_tokens for answer in answers),
        )

    async def _write_answer(self, *, in_time: bool) -> AsyncGenerator[str, None]:
        """Yield the answer: the only sub-answer as it is, else what the aggregator makes of them; then the gaps."""
        if len(self._steps) == 1:
            yield next(iter(self._answers.values())).text
            return
        parts = tuple(self._part(step) for step in self._steps.values() if step.id in self._answers)
        aggregator = self.stages.aggregator if in_time and len(parts) > 1 else JoinedAggregator()
        self.notify(ev.AggregationStarted(self.id, aggregator.name))
        async with aclosing(self._aggregate(aggregator, parts)) as pieces:
            async for piece in pieces:
                yield piece
        for step in self._steps.values():
            if step.id not in self._answers:
                reason = self._gaps.get(step.id, self._cancelled)
                yield f"\n\nNot answered: {self._questions[step.id]} ({reason})"

    async def _aggregate(self, aggregator: Aggregator, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Yield what the aggregator writes; if it fails, the sub-answers as they are, so that nothing is lost."""
        try:
            async with aclosing(aggregator.join(self.question, parts)) as pieces:
                async for piece in pieces:
                    yield piece
        except (AggregationError, ExpertError) as error:
            last = JoinedAggregator()
            self.notify(ev.PlanNoted(self.id, f"the aggregator failed ({error}); the sub-answers follow as they are"))
            yield "\n\n"
            async with aclosing(last.join(self.question, parts)) as pieces:
                async for piece in pieces:
                    yield piece

    def _part(self, step: SubQuery) -> Part:
        answer = self._answers[step.id]
        return Part(step.id, self._questions[step.id], answer.text, answer.expert, step.parents)

    # --- what the executor asks for ----------------------------------------------------------------------------------

    async def resolve(self, node: int) -> ev.NodeRouted:
        """Put the parents' answers into the node's text and route the question that results."""
        step = self._steps[node]
        question = step.substitute({parent: self._quoted(parent) for parent in step.references})
        self._questions[node] = question
        assignment = await self._route(question, step.tag)
        return ev.NodeRouted(self.id, node, question, assignment)

    async def answer(self, command: ev.RunNode) -> SubAnswer:
        """Ask the expert and pass its words on as they come."""
        expert = self.stages.experts[command.expert]
        backend = self.stages.executor.backends[command.model]
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
        self._send.send_nowait(self._record(event))

    def _record(self, event: ev.Event) -> ev.Stamped:
        stamped = ev.Stamped(time.monotonic() - self._began_s, event)
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
            self._send.send_nowait(ev.Stamped(time.monotonic() - self._began_s, note))

    def _quoted(self, step: int) -> str:
        """Return a step's answer as it is put into another question: one line, bounded, no full stop at its end."""
        answer = self._answers.get(step)
        if answer is None:
            return _GAP.format(step=step)
        text = " ".join(answer.text.split())[:_QUOTED_CHARACTERS]
        return text[:-1] if text.endswith(".") and ". " not in text else text

    def _known(self, step: SubQuery) -> str:
        """Return what a step that only follows others should know of them."""
        lines = [f"- {self._questions[n]} {self._quoted(n)}" for n in sorted(step.after - step.references)]
        return "\n\nKnown so far:\n" + "\n".join(lines) if lines else ""
