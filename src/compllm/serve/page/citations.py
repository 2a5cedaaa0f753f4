"""Finds the citations in an answer: `[2]` names the node whose sub-answer a sentence rests on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_CITATION = re.compile(r"\[(\d{1,4}(?:, ?\d{1,4})*)\]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer; a citation has the number of its `node`."""

    text: str
    node: int | None = None


def cite(text: str, nodes: Collection[int]) -> list[Piece]:
    """Cut a text into plain pieces and citations of these nodes; the pieces' texts make up the whole."""
    return [piece for piece in _pieces(text, nodes) if piece.text]


def _pieces(text: str, nodes: Collection[int]) -> Iterator[Piece]:
    done = 0
    for match in _CITATION.finditer(text):
        cited = [int(number) for number in match[1].split(",")]
        if any(number not in nodes for number in cited):
            continue
        yield Piece(text[done : match.start()])
        done = match.end()
        if len(cited) == 1:
            yield Piece(match[0], cited[0])
            continue
        for place, number in enumerate(cited):
            yield Piece(", " if place else "[")
            yield Piece(str(number), number)
        yield Piece("]")
    yield Piece(text[done:])
