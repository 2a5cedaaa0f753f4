"""Who is signed in: browsers hold a random token, the API key that it stands for stays here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

COOKIE = "compllm_session"
_LASTS_S = 12 * 3600.0
_MOST = 10_000


class Sessions:
    """The keys of the browsers that have signed in, until they sign out or were not seen for twelve hours."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[str, float]] = {}

    def open(self, key: str) -> str:
        """Return a new token for a key; the session that was seen longest ago makes room if there are too many."""
        if len(self._sessions) >= _MOST:
            self.close(next(iter(self._sessions)))
        token = secrets.token_urlsafe(32)
        self._sessions[token] = (key, self._clock())
        return token

    def key(self, token: str) -> str:
        """Return the key that a token stands for, empty if it is unknown or has expired."""
        key, seen_s = self._sessions.pop(token, ("", 0.0))
        if not key or self._clock() - seen_s > _LASTS_S:
            return ""
        self._sessions[token] = (key, self._clock())
        return key

    def close(self, token: str) -> None:
        """Forget a token."""
        self._sessions.pop(token, None)
