"""Brings what a reader wrote back to the words of what it read; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

# Likeness (difflib's ratio) from which a run of words is what was meant: one letter of four may be missing.
_NEAR = 0.85
_MARKS = " .,;:!?()[]{}\"'“”‘’"
# What a likeness may never change: digits and negations.
_FIXED = re.compile(r"\d|\b(?:no|not|never|none|nor|neither|cannot|without)\b|n['’]t\b", re.IGNORECASE)
# From so many characters on, an answer within a word is the word cut short, and not a word of its own.
_CUT_CHARACTERS = 4
# What glues characters to a word that an answer ends within, as in an address or a decimal number.
_REST = re.compile(r"(?:\w|[.@_](?=\w))*")


def nearest_span(answer: str, passages: Iterable[str]) -> str:
    """Return the words of a passage that an answer nearly is, or the answer itself where none is near.

    A small model copies by heart: it cuts a word short ("desk@fern" of "desk@fern.example") or misspells it ("carpel"
    for "carpal"). Numbers and negations are never changed, but "6" of "6.5" is made whole. O(words of the passages
    times characters of the answer).
    """
    texts = [" ".join(text.split()) for text in passages]
    wholes = [_whole(match) for text in texts for match in re.finditer(re.escape(answer), text, re.IGNORECASE)]
    if wholes:
        return answer if any(len(whole) == len(answer) for whole in wholes) else wholes[0]
    matcher, best, found = SequenceMatcher(None, b=answer.casefold(), autojunk=False), _NEAR, answer
    for span in _runs(texts, len(answer.split())):
        matcher.set_seq1(span.casefold())
        is_near = matcher.real_quick_ratio() >= best and matcher.quick_ratio() >= best and matcher.ratio() >= best
        if is_near and _fixed(span) == _fixed(answer):
            best, found = matcher.ratio(), span
    return found


def _whole(match: re.Match[str]) -> str:
    """Return an answer that stands in a text, with the rest of the word that it ends within, if it begins a word."""
    text, start, end = match.string, match.start(), match.end()
    begins = start == 0 or not text[start - 1].isalnum()
    rest = _REST.match(text, end)
    if not begins or rest is None or not match[0][-1:].isalnum():
        return match[0]
    whole, is_word = match[0] + rest[0], rest[0][:1].isalnum()
    is_another = is_word and (len(match[0]) < _CUT_CHARACTERS or _fixed(whole) != _fixed(match[0]))
    return match[0] if is_another else whole


def _fixed(text: str) -> list[str]:
    return [found.casefold() for found in _FIXED.findall(text)]


def _runs(texts: Iterable[str], count: int) -> Iterator[str]:
    for text in texts:
        words = text.split()
        for start in range(len(words) - count + 1):
            yield " ".join(words[start : start + count]).strip(_MARKS)
