"""The one Protocol behind which every model is reached, and the values that cross it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a model is asked; `grammar` is GBNF and is refused by backends whose `supports_grammar` is false.

    `adapter` names one of the adapters that the model was loaded with; without it the base model answers.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    json_schema: str | None = None
    seed: int = 0
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed reply; the last one carries the token counts and no text."""

    text: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load brought: bytes held by the replica (0 when it is not on our devices) and the seconds it took."""

    footprint_bytes: int
    load_s: float


@runtime_checkable
class Backend(Protocol):
    """Reaches one model. All methods are called from one event loop.

    `load` and `evict` are never called while a `stream` is open, and never twice at once.
    """

    supports_grammar: bool
    supports_json_schema: bool

    async def load(self) -> LoadReport:
        """Bring the model to where it can answer.

        Raises:
            ExpertLoadError: it cannot be loaded (`retryable` says whether a second try may help).
            ExpertOutOfMemoryError: it needs more memory than there is.
        """
        ...

    async def evict(self) -> None:
        """Free the memory; returns when it is free. Does nothing when the model is not loaded."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer piece by piece; closing the iterator or cancelling its task stops the decoding model.

        Raises:
            ExpertError: with `retryable` set by what happened.
        """
        ...

    async def crashed(self) -> str:
        """Return, with a reason, only once a loaded model has died by itself; wait for ever otherwise."""
        ...
