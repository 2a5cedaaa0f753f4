"""Runs that outlive whoever asked for them: their events are kept, and anyone may follow from any place at any time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import NamedTuple

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from compllm.core.events import AnswerDelta, NodeDelta, RunCompleted, RunFailed, Stamped
from compllm.core.plan import Plan
from compllm.errors import JournalError, QueueFullError, TooManyRequestsError
from compllm.pipeline import Team
from compllm.run import Run
from compllm.serve.callers import Caller

# Ended runs whose events stay in memory; older ones come from the journal, without the pieces that answers came in.
_KEPT_RUNS = 256
# Why a run was cancelled that had no time to end.
STOPPED = "the server has stopped"
# When a run of the same caller ends, nobody knows; this is a fair guess.
_BUSY_S = 2.0


class Position(NamedTuple):
    """A place in a run's events: how many recorded ones up to there, and how many deltas since the last of them.

    The journal keeps no deltas; counted like this, a place means the same in it as in the live stream.
    """

    recorded: int = 0
    deltas: int = 0

    def __str__(self) -> str:
        return f"{self.recorded}.{self.deltas}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the place that `str` has written.

        Raises:
            ValueError: it is none.
        """
        recorded, _, deltas = text.partition(".")
        return cls(int(recorded), int(deltas or 0))

    def after(self, stamped: Stamped) -> Position:
        """Return the place of the event that follows this one."""
        if isinstance(stamped.event, NodeDelta | AnswerDelta):
            return Position(self.recorded, self.deltas + 1)
        return Position(self.recorded + 1)


START = Position()


class LiveRun:
    """A run of this server: what has happened so far, and what happens next."""

    def __init__(self, run: Run) -> None:
        self.id = run.id
        self.user = run.user
        self.question = run.question
        self.has_ended = False
        self._is_wanted = True
        self._run = run
        self._places: list[Position] = []
        self._events: list[Stamped] = []
        self._changed = anyio.Event()

    @property
    def events(self) -> tuple[Stamped, ...]:
        """What has happened so far."""
        return tuple(self._events)

    @property
    def is_to_be_answered(self) -> bool:
        """Whether an answer is being worked on and wanted."""
        has_end = bool(self._events) and isinstance(self._events[-1].event, RunCompleted | RunFailed)
        return self._is_wanted and not has_end and not self.has_ended

    def cancel(self, reason: str) -> None:
        """Stop everything that is under way for the run."""
        self._is_wanted = False
        self._run.cancel(reason)

    def close(self) -> None:
        """Let go of the run's stream, for a server that stops at once."""
        self._run.events.close()

    async def keep(self) -> None:
        """Take in the run's events until it has ended."""
        place = START
        async with aclosing(self._run.follow()) as stream:
            async for stamped in stream:
                place = place.after(stamped)
                self._places.append(place)
                self._events.append(stamped)
                self._tell()
        self.has_ended = True
        self._tell()

    async def follow(self, after: Position = START) -> AsyncGenerator[tuple[Position, Stamped], None]:
        """Yield the events after a place, and those to come, until the run has ended; whoever stops harms nobody."""
        next_one = bisect_right(self._places, after)
        while True:
            changed = self._changed
            while next_one < len(self._events):
                yield self._places[next_one], self._events[next_one]
                next_one += 1
            if self.has_ended:
                return
            await changed.wait()

    async def ended(self) -> tuple[Stamped, ...]:
        """Wait for the end and return everything that has happened."""
        async with aclosing(self.follow()) as stream:
            async for _ in stream:
                pass
        return self.events

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class LiveRuns:
    """Starts runs and keeps their events; `tasks` is what they live in."""

    def __init__(self, team: Team, tasks: TaskGroup) -> None:
        self.team = team
        self.is_draining = False
        self._tasks = tasks
        self._runs: dict[str, LiveRun] = {}

    @property
    def open(self) -> Iterable[LiveRun]:
        """The runs that have not ended."""
        return [run for run in self._runs.values() if not run.has_ended]

    def start(
        self,
        question: str,
        caller: Caller,
        *,
        plan: Plan | None = None,
        expert: str | None = None,
        instructions: str = "",
        end_user: str = "",
        priority: int = 0,
    ) -> LiveRun:
        """Begin a run that goes on whoever listens; `priority` adds to the caller's own if it is below zero.

        Raises:
            PlanError: the question is empty or too long.
            RoutingError: the team has no such expert.
            QueueFullError: as many runs are open as the team allows, or the server is about to stop.
            TooManyRequestsError: as many runs of the caller's are open as it may have.
        """
        self._check_room(caller)
        priority = caller.priority + min(priority, 0)
        user = caller.user(end_user)
        run = self.team.start(
            question, plan=plan, expert=expert, instructions=instructions, user=user, priority=priority
        )
        return self._keep(run)

    async def resume(self, run_id: str, caller: Caller) -> LiveRun:
        """Go on with a run whose server has died.

        Raises:
            JournalError: there is no such run, or it is somebody else's.
            RunError: it goes on or has ended, or was asked of another team.
            RoutingError: it was asked of an expert that the team no longer has.
            QueueFullError: as many runs are open as the team allows, or the server is about to stop.
            TooManyRequestsError: as many runs of the caller's are open as it may have.
        """
        self._check_room(caller)
        await self.recorded(run_id, caller)
        return self._keep(await self.team.resume(run_id))

    def _keep(self, run: Run) -> LiveRun:
        live = self._runs[run.id] = LiveRun(run)
        self._tasks.start_soon(live.keep)
        self._forget()
        return live

    def _check_room(self, caller: Caller) -> None:
        """Check that a caller may have one more run: whoever lets its runs go on unheard must not fill the queue."""
        if self.is_draining:
            raise QueueFullError("the server is about to stop and takes no more questions")
        if caller.open_runs is None:
            return
        own = sum(run.is_to_be_answered and caller.may_see(run.user) for run in self._runs.values())
        if own >= caller.open_runs:
            message = f"this API key has {own} runs that go on, as many as it may have at once"
            raise TooManyRequestsError(message, retry_after_s=_BUSY_S)

    def find(self, run_id: str, caller: Caller) -> LiveRun | None:
        """Return a run that is still in memory, unless it is somebody else's."""
        run = self._runs.get(run_id)
        return run if run is not None and caller.may_see(run.user) else None

    async def follow(
        self, run_id: str, caller: Caller, after: Position = START
    ) -> AsyncGenerator[tuple[Position, Stamped], None]:
        """Yield a run's events after a place, from memory or else from the journal.

        Raises:
            JournalError: there is no such run, or it is somebody else's.
        """
        live = self.find(run_id, caller)
        if live is not None:
            async with aclosing(live.follow(after)) as stream:
                async for each in stream:
                    yield each
            return
        for number, stamped in enumerate(await self.recorded(run_id, caller), start=1):
            if Position(number) > after:
                yield Position(number), stamped

    async def recorded(self, run_id: str, caller: Caller) -> tuple[Stamped, ...]:
        """Return what has happened in a run so far, from memory or else from the journal.

        Raises:
            JournalError: there is no such run, or it is somebody else's.
        """
        live = self.find(run_id, caller)
        return live.events if live is not None else await anyio.to_thread.run_sync(self._read, run_id, caller)

    def _read(self, run_id: str, caller: Caller) -> tuple[Stamped, ...]:
        row = self.team.journal.run(run_id)
        if row.id != run_id or not caller.may_see(row.user):
            raise JournalError(f"there is no run {run_id!r}")
        return tuple(self.team.journal.events(run_id))

    async def drain(self, within_s: float) -> None:
        """Take no more runs and wait for the open ones; those that are not done in time are cancelled."""
        self.is_draining = True
        with anyio.move_on_after(within_s):
            for run in self.open:
                await run.ended()
        for run in self.open:
            run.cancel(STOPPED)
        for run in self.open:
            await run.ended()

    def close(self) -> None:
        """Let go of every run that has not ended."""
        for run in self.open:
            run.close()

    def _forget(self) -> None:
        ended = [run.id for run in self._runs.values() if run.has_ended]
        for run_id in ended[: max(0, len(ended) - _KEPT_RUNS)]:
            del self._runs[run_id]
