"""How an answer is put into another question: one line, bounded, without the words that only repeat its own."""

from __future__ import annotations

import re

MAX_CHARACTERS = 2_000

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_COPULA = re.compile(r"^(?P<repeated>[^.!?:;]*?\s(?:is|are|was|were))\s+(?P<rest>\S.*)$", re.IGNORECASE)
_SMALL_WORDS = frozenset({"a", "an", "the", "of", "in", "on", "at", "for", "to"})


def quote(answer: str, question: str) -> str:
    """Return an answer as it stands in a later question.

    "The capital of France is Paris." becomes "Paris" if the question was "What is the capital of France?": what comes
    up to the verb is left out when the question has all its words. The full stop of a single sentence goes.
    """
    text = " ".join(answer.split())[:MAX_CHARACTERS]
    if text.endswith(".") and ". " not in text:
        text = text[:-1]
        match = _COPULA.match(text)
        if match is not None and _words(match["repeated"]) <= _words(question) | _SMALL_WORDS:
            return match["rest"]
    return text


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))
