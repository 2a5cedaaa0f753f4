"""A Python function in the place of a model: exact where a language model would guess, or a way to one's own data."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread

import anyio
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from compllm.errors import ConfigError, ExpertResponseError
from compllm.experts.base import ChatRequest, Chunk, LoadReport
from compllm.experts.characters import whole_characters

Function = Callable[[str], str | None]


class FunctionBackend:
    """Answers with what a function returns for the question; it runs in a thread and takes no memory of ours.

    The function gets the last user message: the question, after the passages if its expert has documents. With None or
    nothing but blanks it says that it has no answer, and who comes next is asked. A cancelled call is left to end by
    itself and keeps one of the `slots` threads until it does; the process does not wait for it.
    """

    supports_grammar = False
    supports_json_schema = False

    def __init__(self, function: Function, name: str, slots: int = 4) -> None:
        self._function = function
        self._name = name
        self._threads = anyio.CapacityLimiter(slots)  # its own: calls that hang must not use up everybody's threads

    async def load(self) -> LoadReport:
        """Do nothing: the function is there."""
        return LoadReport(0, 0.0)

    async def evict(self) -> None:
        """Do nothing: there is nothing to free."""

    async def crashed(self) -> str:
        """Never return: a function fails call by call."""
        while True:
            await anyio.sleep_forever()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the answer in one piece.

        Raises:
            ExpertResponseError: the function raised, returned no text, or has no answer.
        """
        question = next(message.content for message in reversed(request.messages) if message.role == "user")
        call = _Call(self._function, question, self._threads)
        await self._threads.acquire_on_behalf_of(call)
        Thread(target=call.run, name=self._name, daemon=True).start()
        await call.ended.wait()
        if (error := call.error) is not None:
            raise ExpertResponseError(f"{self._name} raised {type(error).__name__}: {error}") from error
        answer = call.answer
        if answer is not None and not isinstance(answer, str):
            raise ExpertResponseError(f"{self._name} returned {type(answer).__name__} instead of text")
        if not answer or answer.isspace():
            raise ExpertResponseError(f"{self._name} has no answer to this")
        yield Chunk(whole_characters(answer))
        yield Chunk(finish_reason="stop")


@dataclass(slots=True, eq=False)
class _Call:
    """One call in a thread of its own, which holds a place among `threads` until it ends."""

    function: Function
    question: str
    threads: anyio.CapacityLimiter
    token: EventLoopToken = field(default_factory=current_token)
    ended: anyio.Event = field(default_factory=anyio.Event)
    answer: object = None
    error: BaseException | None = None

    def run(self) -> None:
        """Call the function and say so in the event loop, if that is still there."""
        try:
            self.answer = self.function(self.question)
        except BaseException as error:  # noqa: BLE001 - somebody's code: whatever it raises is reported
            self.error = error
        with suppress(RuntimeError):
            from_thread.run_sync(self._end, token=self.token)

    def _end(self) -> None:
        self.threads.release_on_behalf_of(self)
        self.ended.set()


def find_function(path: str, place: str) -> Function:
    """Return the function that `package.module:name` names; its module is imported, which runs its code.

    `place` is where the team file names it.

    Raises:
        ConfigError: there is no such module, or nothing in it that can be called has this name and returns its answer.
    """
    module, _, name = path.partition(":")
    try:
        found: Function | None = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:  # somebody's code: whatever it raises is reported
        reason = f"the module {module} cannot be imported ({type(error).__name__}: {error})"
        raise ConfigError(f"{place}: {reason}; install it, put it on PYTHONPATH or mend it") from error
    if not callable(found):
        raise ConfigError(f"{place}: the module {module} has no function {name}")
    if inspect.iscoroutinefunction(found):
        raise ConfigError(f"{place}: {path} is a coroutine function; name one that returns its answer")
    return found
