"""Ends an answer where the client said: at a stop sequence, or after so many tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

FinishReason = Literal["stop", "length"]

# A team has many tokenizers. A token is counted as a mark or up to six letters or digits.
_LETTERS = 6
_TOKEN = re.compile(rf"\w{{1,{_LETTERS}}}|[^\w\s]")


def count_tokens(text: str) -> int:
    """Return how many tokens a text is counted as."""
    return sum(1 for _ in _TOKEN.finditer(text))


class Cutter:
    """Passes an answer on, piece by piece, up to the first of the `stop` sequences and at most `max_tokens` tokens.

    What may be the beginning of a stop sequence, or of a longer word, is held back until that is known.
    """

    def __init__(self, stop: Sequence[str] = (), max_tokens: int | None = None) -> None:
        self.finish_reason: FinishReason = "stop"
        self._stop = tuple(filter(None, stop))
        self._left = max_tokens
        self._held = ""
        self._is_done = False

    def feed(self, piece: str) -> str:
        """Take the next piece and return what can be passed on by now."""
        if self._is_done:
            return ""
        text = self._held + piece
        places = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if places:
            self._is_done = True
            return self._within(text[: min(places)])
        ready = len(text) - self._may_be_a_stop(text)
        if self._left is not None:
            ready = _finished(text[:ready])
        self._held = text[ready:]
        return self._within(text[:ready])

    def rest(self) -> str:
        """Return what was held back, at the end of the answer."""
        return "" if self._is_done else self._within(self._held)

    def _within(self, text: str) -> str:
        """Return as much of a text as the tokens that are left allow."""
        if self._left is None:
            return text
        end = 0
        for token in _TOKEN.finditer(text):
            if self._left == 0:
                self._is_done, self.finish_reason = True, "length"
                return text[:end]
            self._left -= 1
            end = token.end()
        return text

    def _may_be_a_stop(self, text: str) -> int:
        """Return how many characters at the end of a text are the beginning of a stop sequence."""
        longest = max(map(len, self._stop), default=1) - 1
        ends = range(min(longest, len(text)), 0, -1)
        return next((size for size in ends if any(stop.startswith(text[-size:]) for stop in self._stop)), 0)


def _finished(text: str) -> int:
    """Return how long a text is without the token at its end, which may not have ended, and the space before that.

    A word has as many tokens as fill up; what is held back never grows with it.
    """
    word = len(text)
    while word and (text[word - 1].isalnum() or text[word - 1] == "_"):
        word -= 1
    full = (len(text) - word) // _LETTERS * _LETTERS
    return word + full if full else len(text[:word].rstrip())
