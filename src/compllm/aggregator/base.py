"""The aggregator port: sub-answers become one answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Part:
    """One step with its answer: what the aggregator sees of a node. `parents` are the steps that it used."""

    step: int
    question: str
    answer: str
    expert: str
    parents: tuple[int, ...] = ()


class Aggregator(Protocol):
    """Joins sub-answers."""

    @property
    def name(self) -> str:
        """How it joins, as users see it."""
        ...

    def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Yield the answer piece by piece; `[n]` in it cites step n. `parts` are those with an answer, at least one.

        Raises:
            AggregationError: nothing usable came of it.
            ExpertError: the model behind it failed.
        """
        ...


def cite(part: Part) -> str:
    """Return a sub-answer with its citation, as a sentence."""
    text = part.answer.strip()
    return f"{text if text[-1:] in '.!?:' else text + '.'} [{part.step}]"
