"""Finds the citations in an answer: `[2]` names the node whose sub-answer a sentence rests on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_CITATION = re.compile(r"\[([0-9]{1,4}(?:, ?[0-9]{1,4})*)\]")


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
        numbers = re.findall(r"[0-9]+", match[1])
        if any(int(number) not in nodes for number in numbers):
            continue
        yield Piece(text[done : match.start()])
        yield from (Piece(part, int(part) if part in numbers else None) for part in re.findall(r"\d+|\D+", match[0]))
        done = match.end()
    yield Piece(text[done:])
