"""Brings what a reader wrote back to the words of what it read; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

# Likeness (difflib's ratio) from which a run of words is what was meant: one letter of four may be missing.
_NEAR = 0.85
_MARKS = " .,;:!?()[]{}\"'“”‘’"
_DIGITS = re.compile(r"\d")
# What glues characters to a word that an answer ends within, as in an address or a decimal number.
_REST = re.compile(r"(?:\w|[.@_](?=\w))*")


def nearest_span(answer: str, passages: Iterable[str]) -> str:
    """Return the words of a passage that an answer nearly is, or the answer itself where none is near.

    A small model copies by heart: it cuts a word short ("desk@fern" of "desk@fern.example") or misspells it ("carpel"
    for "carpal"). Numbers are never changed. O(words of the passages times characters of the answer).
    """
    texts = [" ".join(text.split()) for text in passages]
    wholes = [_whole(match) for text in texts for match in re.finditer(re.escape(answer), text, re.IGNORECASE)]
    if wholes:
        return answer if any(len(whole) == len(answer) for whole in wholes) else wholes[0]
    matcher, best, found = SequenceMatcher(None, b=answer.casefold(), autojunk=False), _NEAR, answer
    for span in _runs(texts, len(answer.split())):
        matcher.set_seq1(span.casefold())
        is_near = matcher.real_quick_ratio() >= best and matcher.quick_ratio() >= best and matcher.ratio() >= best
        if is_near and _DIGITS.findall(span) == _DIGITS.findall(answer):
            best, found = matcher.ratio(), span
    return found


def _whole(match: re.Match[str]) -> str:
    """Return an answer that stands in a text, with the rest of the word that it ends within, if it begins a word."""
    text, start, end = match.string, match.start(), match.end()
    begins = start == 0 or not text[start - 1].isalnum()
    rest = _REST.match(text, end)
    return match[0] + rest[0] if begins and rest and match[0][-1:].isalnum() else match[0]


def _runs(texts: Iterable[str], count: int) -> Iterator[str]:
    for text in texts:
        words = text.split()
        for start in range(len(words) - count + 1):
            yield " ".join(words[start : start + count]).strip(_MARKS)
