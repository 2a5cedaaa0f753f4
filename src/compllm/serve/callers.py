"""Who is asking: the name behind an API key, and what it may see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key, or anybody (no name) where keys are not asked for; larger priorities go first.

    `open_runs` bounds the runs that go on at once, whoever listens to them; None is no bound.
    """

    name: str = ""
    priority: int = 0
    open_runs: int | None = None

    def user(self, end_user: str = "") -> str:
        """Return who is charged for a run: the caller, or one of those that it asks for."""
        return f"{self.name}/{end_user}" if end_user else self.name

    def may_see(self, user: str) -> bool:
        """Whether a run that `user` is charged for is the caller's own; without keys, everything is everybody's."""
        return not self.name or user == self.name or user.startswith(f"{self.name}/")


ANYBODY = Caller()


class Access(Protocol):
    """Decides who may come in, and how many at once."""

    def admit(self, key: str, address: str) -> AbstractAsyncContextManager[Caller]:
        """Let a request in for as long as the context lasts.

        `key` is the API key that it brought, empty for none; `address` is where it comes from.

        Raises:
            AccessDeniedError: the key is missing or wrong.
            TooManyRequestsError: the caller has used up its rate or its concurrency.
        """
        ...


class OpenAccess:
    """Lets everybody in; for a server that only this machine can reach."""

    @asynccontextmanager
    async def admit(self, key: str, address: str) -> AsyncIterator[Caller]:
        """Let a request in, whoever sends it."""
        del key, address
        yield ANYBODY
