"""API keys: who a caller is, and whether it may come in now."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from compllm.config import ServerConfig
from compllm.errors import AccessDeniedError, TooManyRequestsError
from compllm.serve.callers import ANYBODY, Caller
from compllm.serve.limits import Limit

_PREFIX = "cllm-"


def new_key() -> str:
    """Return a fresh key of 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """Return what the team file keeps of a key; a plain SHA-256 will do, since nobody can guess 256 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyedAccess:
    """Lets in whoever has a key, within the key's own limits and the server's; everybody if there are no keys.

    `now_s` is a clock in seconds that never goes back.
    """

    def __init__(self, config: ServerConfig, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._everybody = Limit()
        self._limits: dict[str, Limit] = {}
        self.use(config)

    def use(self, config: ServerConfig) -> None:
        """Go on with other keys and limits; who is in stays in, and is counted still."""
        self._everybody.allow(None, config.concurrency)
        self._callers = {key.hash: Caller(key.name, key.priority, key.concurrency) for key in config.keys}
        names = {key.name for key in config.keys}
        # A key that is taken away while its requests go on, and put back, is still charged for them.
        self._limits = {name: known for name, known in self._limits.items() if name in names or known.slots.taken}
        for key in config.keys:
            self._limits.setdefault(key.name, Limit()).allow(key.requests_per_minute, key.concurrency)

    @property
    def is_open(self) -> bool:
        """Whether there are no keys, so that everybody may come in."""
        return not self._callers

    def caller_of(self, key: str) -> Caller:
        """Return whose key it is.

        Raises:
            AccessDeniedError: it is nobody's.
        """
        if self.is_open:
            return ANYBODY
        if not key:
            raise AccessDeniedError("an API key is missing; send it as `Authorization: Bearer KEY`")
        given = hash_of(key)
        # Every hash is compared, in constant time: how long this takes tells nothing.
        found = [caller for known, caller in self._callers.items() if hmac.compare_digest(known, given)]
        if not found:
            raise AccessDeniedError("this API key is not known here")
        return found[0]

    @asynccontextmanager
    async def admit(self, key: str, address: str) -> AsyncIterator[Caller]:
        """Let a request in for as long as the context lasts.

        Raises:
            AccessDeniedError: the key is missing or wrong.
            TooManyRequestsError: the key's rate or concurrency is used up, or the server's.
        """
        del address
        caller = self.caller_of(key)
        own = self._limits.get(caller.name) or Limit()
        self._enter(own)
        try:
            yield caller
        finally:
            own.leave()
            self._everybody.leave()

    def _enter(self, own: Limit) -> None:
        """Take a slot of the caller's and one of the server's, or neither."""
        now_s = self._now_s()
        if wait_s := self._everybody.enter(now_s):
            raise TooManyRequestsError("the server has as many requests as it takes at once", retry_after_s=wait_s)
        if wait_s := own.enter(now_s):
            self._everybody.leave()
            what = "many requests at once" if own.slots.are_full else "often"
            raise TooManyRequestsError(f"this API key may not ask so {what}", retry_after_s=wait_s)
