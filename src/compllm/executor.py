"""The executor: performs the scheduler's commands on real backends and reports what came of them.

Everything happens in one event loop. `dispatch` is synchronous: an event is handled, and what it allows has begun,
before the call returns; nothing polls.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import anyio
from anyio.abc import TaskGroup

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.routing import Assignment, Candidate
from compllm.core.scheduler import Scheduler
from compllm.errors import CompLLMError, ExpertError, ExpertOutOfMemoryError
from compllm.experts.base import Backend
from compllm.experts.metered import Metered, Usage

_log = logging.getLogger(__name__)

# An out-of-memory error tells that the footprint was too small, not by how much.
_OOM_GROWTH = 1.25


class NodeWork(Protocol):
    """What the executor needs from a run: how its nodes are resolved and answered, and where its news goes."""

    async def resolve(self, node: int) -> ev.NodeRouted:
        """Substitute the parents' answers and route the node."""
        ...

    async def answer(self, command: ev.RunNode) -> SubAnswer:
        """Ask the expert.

        Raises:
            ExpertError: it failed; `retryable` says whether asking again may help.
        """
        ...

    def notify(self, event: ev.Event) -> None:
        """Take note of an event of this run, or of a model."""
        ...


class Observer(Protocol):
    """Watches everything that happens in a team, as metrics and traces do."""

    def observe(self, event: ev.Event) -> None:
        """Take note of an event, once for all runs; must not block or wait."""
        ...


def tell(observers: Iterable[Observer], event: ev.Event) -> None:
    """Have observers take note of an event; what one of them raises is logged, and costs nobody else anything."""
    for observer in observers:
        try:
            observer.observe(event)
        except Exception as error:  # noqa: BLE001 - somebody's code at the edge of a team: whatever it raises is reported
            fields = {"observer": type(observer).__name__, "error": type(error).__name__}
            _log.error("an observer failed", extra={"fields": fields})


@dataclass(slots=True, eq=False)
class _Attempt:
    command: ev.RunNode
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


@dataclass(slots=True, eq=False)
class _OpenRun:
    work: NodeWork
    finished: anyio.Event = field(default_factory=anyio.Event)


class Executor:
    """Drives the scheduler on the wall clock; use as an async context manager.

    On leaving, running nodes are cancelled and every replica leaves memory. `observers` are told here what becomes of
    models; what becomes of a run, the run tells them.
    """

    def __init__(
        self, scheduler: Scheduler, backends: Mapping[str, Backend], observers: Sequence[Observer] = ()
    ) -> None:
        self.scheduler = scheduler
        self.backends = backends
        self.observers = observers
        self._runs: dict[str, _OpenRun] = {}
        self._terms: dict[str, ev.RunOpened] = {}
        self._attempts: dict[tuple[str, int], _Attempt] = {}
        self._watches: dict[str, anyio.CancelScope] = {}
        self._tasks: TaskGroup
        self._leases = 0
        self._jobs: deque[Callable[[], Awaitable[None]]] = deque()
        self._worker_is_ending = False

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, trace)
        except ExceptionGroup as group:
            if group.exceptions != (error,):
                raise
            return None  # what was raised inside goes on as it is, not as a group
        finally:
            self._runs.clear()
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as evictions:
                    for model in self.backends:
                        evictions.start_soon(self._free, model)

    @property
    def tasks(self) -> TaskGroup:
        """The task group that everything of this executor belongs to."""
        return self._tasks

    def open_run(self, run: str, work: NodeWork, terms: ev.RunOpened | None = None) -> anyio.Event:
        """Make a run known; the event returned is set when the scheduler has finished its nodes.

        If the terms say that it goes on after that, leases may be held for it until `end_run`.

        Raises:
            QueueFullError: no more runs are taken; nothing has changed.
        """
        opened, terms = _OpenRun(work), terms or ev.RunOpened(run)
        commands = self.scheduler.handle_all((terms,), time.monotonic())
        self._runs[run] = opened
        if terms.goes_on:
            self._terms[run] = terms
        for command in commands:
            self._perform(command)
        return opened.finished

    def end_run(self, run: str) -> None:
        """Count a run no longer as open; to be called when all is done for it."""
        self._terms.pop(run, None)
        self.scheduler.admission.end(run)

    def is_open(self, run: str) -> bool:
        """Whether the scheduler has not finished the nodes of the run yet."""
        return run in self._runs

    def dispatch(self, event: ev.SchedulerEvent) -> None:
        """Tell the scheduler and the observers what happened, and begin whatever follows from it."""
        self.dispatch_all((event,))

    def dispatch_all(self, events: Sequence[ev.SchedulerEvent]) -> None:
        """Tell of events of one instant, so that what follows from one of them can heed the others."""
        for event in events:
            self._notify(event)
        for command in self.scheduler.handle_all(events, time.monotonic()):
            self._perform(command)

    @asynccontextmanager
    async def lease(self, model: str, purpose: str, part_of: str = "") -> AsyncIterator[Backend]:
        """Hold a slot of a model, loaded if need be, for work on behalf of a run that is no node of its plan.

        It is done on the terms of that run, whose user is charged the tokens that the backend counts.

        Raises:
            ExpertError: the model cannot be brought to answer.
        """
        self._leases += 1
        run = f"{purpose}:{self._leases}"
        work = _LeaseWork()
        terms = self._terms.get(part_of, ev.RunOpened(run))
        self.open_run(run, work, replace(terms, run=run, part_of=part_of, goes_on=False))
        assignment = Assignment((Candidate(purpose, model),), "given", 1.0, 1.0, passed=True, reason=purpose)
        self.dispatch(ev.NodeAdded(run, 1, purpose, (), assignment))
        self.dispatch(ev.PlanClosed(run))
        try:
            await work.granted.wait()
            if work.refused is not None:
                raise ExpertError(work.refused, expert=purpose)
            yield Metered(self.backends[model], work.usage)
        finally:
            work.released.set()
            if self.is_open(run) and (run, 1) not in self._attempts:
                self.dispatch(ev.RunCancelled(run, "no longer wanted"))

    # --- workers ----------------------------------------------------------------------------------------------------

    def _begin(self, job: Callable[[], Awaitable[None]]) -> None:
        """Have a job done at once: by the worker whose last act brought it up, else by a new one."""
        self._jobs.append(job)
        if self._worker_is_ending:
            self._worker_is_ending = False
        else:
            self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        while self._jobs:
            await self._jobs.popleft()()

    def _end_with(self, event: ev.SchedulerEvent) -> None:
        """Dispatch as the last act of a job; a new task costs more than most of what the engine does for a node."""
        self._worker_is_ending = True
        self.dispatch(event)
        self._worker_is_ending = False

    # --- commands ----------------------------------------------------------------------------------------------------

    def _perform(self, command: ev.Command) -> None:
        match command:
            case ev.RunNode():
                self._run_node(command)
            case ev.ResolveNode(run, _):
                self._begin(partial(self._resolve, self._runs[run].work, command))
            case ev.CancelNode(run, node):
                self._attempts[run, node].scope.cancel()
            case ev.GiveUpNode(run, node, reason):
                self._runs[run].work.notify(ev.NodeGivenUp(run, node, reason))
            case ev.SkipNode(run, node, because):
                self._runs[run].work.notify(ev.NodeSkipped(run, node, because))
            case ev.FinishRun(run):
                self._runs.pop(run).finished.set()
            case ev.LoadModel() | ev.EvictModel() | ev.WakeAt():
                self._perform_on_model(command)

    def _perform_on_model(self, command: ev.LoadModel | ev.EvictModel | ev.WakeAt) -> None:
        match command:
            case ev.LoadModel(model, device):
                self._notify(ev.ModelLoading(model, device))
                self._tasks.start_soon(self._load, command)
            case ev.EvictModel(model, device):
                self._watches.pop(model).cancel()
                self._tasks.start_soon(self._evict, model, device)
            case ev.WakeAt(at_s):
                self._tasks.start_soon(self._wake, at_s)

    def _run_node(self, command: ev.RunNode) -> None:
        work = self._runs[command.run].work
        work.notify(
            ev.NodeStarted(command.run, command.node, command.expert, command.model, command.device, command.attempt)
        )
        attempt = self._attempts[command.run, command.node] = _Attempt(command)
        self._begin(partial(self._answer, work, attempt))

    async def _answer(self, work: NodeWork, attempt: _Attempt) -> None:
        command = attempt.command
        outcome: ev.SchedulerEvent = ev.NodeCancelled(command.run, command.node, command.attempt)
        with attempt.scope:
            try:
                answer = await work.answer(command)
                outcome = ev.NodeCompleted(command.run, command.node, answer, command.attempt)
            except ExpertError as error:
                outcome = _failed(command, str(error), retryable=error.retryable)
            except Exception as error:  # noqa: BLE001 - the boundary of one node: whatever an expert raises is reported
                outcome = _failed(command, f"{type(error).__name__}: {error}", retryable=False)
        if self._attempts.get((command.run, command.node)) is attempt:
            del self._attempts[command.run, command.node]
            self._end_with(outcome)

    async def _resolve(self, work: NodeWork, command: ev.ResolveNode) -> None:
        routed = await work.resolve(command.node)
        if self.is_open(command.run):
            self._end_with(routed)

    async def _load(self, command: ev.LoadModel) -> None:
        model, device = command.model, command.device
        try:
            report = await self.backends[model].load()
        except ExpertOutOfMemoryError as error:
            needed = int(command.reserved_bytes * _OOM_GROWTH)
            self.dispatch(ev.ModelLoadFailed(model, device, str(error), retryable=True, needed_bytes=needed))
        except CompLLMError as error:
            retryable = isinstance(error, ExpertError) and error.retryable
            self.dispatch(ev.ModelLoadFailed(model, device, str(error), retryable=retryable))
        except Exception as error:  # noqa: BLE001 - the boundary of one load: whatever a backend raises is reported
            self.dispatch(ev.ModelLoadFailed(model, device, f"{type(error).__name__}: {error}"))
        else:
            watch = self._watches[model] = anyio.CancelScope()
            self._tasks.start_soon(self._watch, watch, model, device)
            self.dispatch(ev.ModelLoaded(model, device, report.footprint_bytes, report.load_s))

    async def _watch(self, scope: anyio.CancelScope, model: str, device: str) -> None:
        with scope:
            try:
                reason = await self.backends[model].crashed()
            except Exception as error:  # noqa: BLE001 - the boundary of one watch: what cannot be watched is given up
                reason = f"{type(error).__name__}: {error}"
                await self._free(model)
            if self._watches.get(model) is not scope:
                return  # its eviction has begun meanwhile and will be reported
            del self._watches[model]
            for key, attempt in list(self._attempts.items()):
                if attempt.command.model == model:
                    del self._attempts[key]
                    attempt.scope.cancel()
                    self._runs[key[0]].work.notify(_failed(attempt.command, reason, retryable=True))
            self.dispatch(ev.ModelCrashed(model, device, reason))

    async def _evict(self, model: str, device: str) -> None:
        await self._free(model)
        self.dispatch(ev.ModelEvicted(model, device))

    async def _free(self, model: str) -> None:
        """Have a backend free its memory; where that raises, it is logged, and the memory taken to be free."""
        try:
            await self.backends[model].evict()
        except Exception as error:  # noqa: BLE001 - the boundary of one eviction: whatever a backend raises is reported
            _log.error("an eviction failed", extra={"fields": {"model": model, "error": type(error).__name__}})

    async def _wake(self, at_s: float) -> None:
        await anyio.sleep(max(0.0, at_s - time.monotonic()))
        self.dispatch(ev.Woken())

    def _notify(self, event: ev.Event) -> None:
        run = getattr(event, "run", None)
        if run is not None:
            self._runs[run].work.notify(event)
            return
        for opened in self._runs.values():
            opened.work.notify(event)
        tell(self.observers, event)


class _LeaseWork:
    """A run of one node that lasts for as long as somebody holds the lease."""

    def __init__(self) -> None:
        self.granted = anyio.Event()
        self.released = anyio.Event()
        self.refused: str | None = None
        self.usage = Usage()

    async def resolve(self, node: int) -> ev.NodeRouted:
        """Never asked for: the node is final."""
        raise NotImplementedError(node)

    async def answer(self, command: ev.RunNode) -> SubAnswer:
        """Tell the holder that the slot is there, and keep it until the holder lets go."""
        self.granted.set()
        await self.released.wait()
        prompt_tokens, completion_tokens = self.usage.prompt_tokens, self.usage.completion_tokens
        return SubAnswer("", command.expert, command.model, (), prompt_tokens, completion_tokens)

    def notify(self, event: ev.Event) -> None:
        """Pass a refusal on to whoever waits for the slot."""
        if isinstance(event, ev.NodeGivenUp):
            self.refused = event.reason
            self.granted.set()


def _failed(command: ev.RunNode, reason: str, *, retryable: bool) -> ev.NodeFailed:
    return ev.NodeFailed(command.run, command.node, reason, retryable, command.attempt)
