"""From a request to the pieces of its answer, whatever shape they go out in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

import anyio
from fastapi import Request

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.plan import Plan
from compllm.errors import PlanError, QueueFullError
from compllm.planner.language import parse_plan
from compllm.serve.callers import Caller
from compllm.serve.cutting import Cutter, FinishReason
from compllm.serve.errors import ApiError, Unanswered, refused, unanswered, unknown_model
from compllm.serve.live import STOPPED, LiveRun
from compllm.serve.logs import CLIENT_LEFT
from compllm.serve.reasoning import reasoning
from compllm.serve.service import Service


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a team, or of one expert of it, who also gets the instructions."""

    question: str
    expert: str | None = None
    instructions: str = ""
    plan: Plan | None = None
    end_user: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Thought:
    """A line on how the answer comes about."""

    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the answer; the tokens are those of every call to a model."""

    finish_reason: FinishReason = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer."""

    error: ApiError


Piece: TypeAlias = Thought | Words | Ended | Failed


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer, its reasoning, and its end."""

    text: str
    reasoning: str
    ended: Ended


def expert_of(service: Service, model: str, param: str = "model") -> str | None:
    """Return the expert that a model's name stands for, or None for the team.

    Raises:
        ApiError: it is neither the team nor an expert.
    """
    team = service.team
    if model == team.file.config.name:
        return None
    if model not in team.experts:
        raise unknown_model(model, [team.file.config.name, *team.experts], param)
    return model


def plan_of(text: str | None, expert: str | None, param: str) -> Plan | None:
    """Return the plan that a client has written, if any.

    Raises:
        ApiError: it breaks the plan language, or it is meant for one expert.
    """
    if text is None:
        return None
    if expert is not None:
        raise refused(param, "a single expert gets the question as it is: name the team to have a plan followed")
    try:
        return parse_plan(sound(text))
    except PlanError as error:
        raise refused(param, str(error), "invalid_plan") from error


def begin(service: Service, caller: Caller, ask: Ask) -> LiveRun:
    """Start a run.

    Raises:
        ApiError: the server is about to stop.
        PlanError: the question is empty or too long.
        QueueFullError: as many runs are open as the team allows.
        TooManyRequestsError: as many runs of the caller's are open as it may have.
    """
    with admission(service):
        return service.runs.start(
            ask.question,
            caller,
            plan=ask.plan,
            expert=ask.expert,
            instructions=ask.instructions,
            end_user=ask.end_user,
            priority=ask.priority,
        )


@contextmanager
def admission(service: Service) -> Iterator[None]:
    """Say of a run that is not taken because the server is about to stop that it may be asked for again soon.

    Raises:
        ApiError: the server is about to stop.
    """
    try:
        yield
    except QueueFullError as error:
        if not service.runs.is_draining:
            raise
        status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}
        raise ApiError(status, str(error), "draining", headers=headers) from error


async def pieces(
    run: LiveRun, cutter: Cutter, deadline_s: float, *, direct: bool = False
) -> AsyncGenerator[Piece, None]:
    """Yield the reasoning and the answer of a run as they come; the last piece is its end or its failure.

    `direct` passes on what the only expert writes while it writes; if it fails on the way, so does the answer.
    """
    telling = _Telling(cutter, deadline_s, direct=direct)
    async with aclosing(run.follow()) as stream:
        async for _, stamped in stream:
            for piece in telling.tell(stamped):
                yield piece
                if isinstance(piece, Failed | Ended):
                    return
    yield Failed(unanswered("run_interrupted", "the server stops"))


def nothing() -> None:
    """Do nothing when a client leaves."""


def leave(run: LiveRun) -> None:
    """Cancel a run that nobody waits for any more."""
    if not run.has_ended:
        run.cancel("the client went away")


class _Telling:
    """Turns the events of a run into pieces of an answer."""

    def __init__(self, cutter: Cutter, deadline_s: float, *, direct: bool) -> None:
        self._cutter = cutter
        self._deadline_s = deadline_s
        self._direct = direct
        self._has_written = False
        self._cancelled: Unanswered | None = None
        self._answers: list[SubAnswer] = []

    def tell(self, stamped: ev.Stamped) -> Iterator[Piece]:
        """Yield what an event adds to the answer or to the reasoning."""
        match stamped.event:
            case ev.NodeDelta(text=text) if self._direct:
                yield from self._write(text if self._has_written else text.lstrip())
            case ev.AnswerDelta(text=text):
                if not (self._direct and self._has_written):
                    yield from self._write(text)
            case ev.NodeFailed(reason=reason) if self._direct and self._has_written:
                yield Failed(unanswered("run_failed", reason))
            case ev.RunCompleted() | ev.RunFailed() as end:
                yield from self._end(end, stamped.at_s)
            case event:
                if isinstance(event, ev.RunCancelled):
                    self._cancelled = "run_interrupted" if event.reason == STOPPED else "run_cancelled"
                if isinstance(event, ev.NodeCompleted):
                    self._answers.append(event.answer)
                known = self._direct and isinstance(event, ev.NodeCompleted)
                if not known and (line := reasoning(event)):
                    yield Thought(sound(line))

    def _write(self, text: str) -> Iterator[Piece]:
        self._has_written = self._has_written or bool(text)
        if passed := self._cutter.feed(sound(text)):
            yield Words(passed)

    def _end(self, end: ev.RunCompleted | ev.RunFailed, at_s: float) -> Iterator[Piece]:
        if isinstance(end, ev.RunFailed):
            late = at_s >= self._deadline_s
            code: Unanswered = "deadline_passed" if late else self._cancelled or "run_failed"
            yield Failed(unanswered(code, end.reason))
            return
        if rest := self._cutter.rest():
            yield Words(rest)
        is_cut = len(self._answers) == 1 and self._answers[0].is_cut
        reason: FinishReason = "length" if is_cut else self._cutter.finish_reason
        yield Ended(reason, end.prompt_tokens, end.completion_tokens)


async def whole(source: AsyncGenerator[Piece, None]) -> Whole | ApiError:
    """Wait for the whole answer, or the reason why there is none."""
    words, thoughts = [], []
    ended = Ended()
    async with aclosing(source):
        async for piece in source:
            match piece:
                case Words(text):
                    words.append(text)
                case Thought(text):
                    thoughts.append(text)
                case Ended():
                    ended = piece
                case Failed(error):
                    return error
    return Whole("".join(words).strip(), "".join(thoughts), ended)


async def whole_while_wanted(
    request: Request, source: AsyncGenerator[Piece, None], closed: Callable[[], None] = nothing
) -> Whole:
    """Wait for the whole answer until the client leaves; call `closed` in the end.

    Raises:
        ApiError: there is no answer, or nobody to get it.
    """
    answer: Whole | ApiError = ApiError(CLIENT_LEFT, "the client went away")
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_when_left, request, tasks.cancel_scope)
            answer = await whole(source)
            tasks.cancel_scope.cancel()
    finally:
        closed()
    if isinstance(answer, ApiError):
        raise answer
    return answer


async def _stop_when_left(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def sound(text: str) -> str:
    """Return the words of a model or a client without what no encoder takes: half a surrogate pair becomes "?"."""
    return text.encode("utf-8", "replace").decode()
