"""The aggregator port: sub-answers become one answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Part:
    """One step with its answer: what the aggregator sees of a node. `parents` are the steps that it used.

    A step that has no answer is a gap; its `answer` is empty, and so is its `expert`.
    """

    step: int
    question: str
    answer: str
    expert: str
    parents: tuple[int, ...] = ()

    @property
    def is_gap(self) -> bool:
        """Whether the step has no answer."""
        return not self.answer


class Aggregator(Protocol):
    """Joins sub-answers."""

    @property
    def name(self) -> str:
        """How it joins, as users see it."""
        ...

    def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Yield the answer piece by piece; `[n]` in it cites step n. At least one of the `parts` has an answer.

        Whoever asks names the gaps with their reasons; an aggregator may, in its own words, and must not fill them.

        Raises:
            AggregationError: nothing usable came of it.
            ExpertError: the model behind it failed.
        """
        ...


def answered(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts that have an answer."""
    return tuple(part for part in parts if not part.is_gap)


def cite(part: Part) -> str:
    """Return a sub-answer with its citation, as a sentence; behind a block of code it has a line of its own."""
    text = part.answer.strip()
    if text.endswith("```"):
        return f"{text}\n[{part.step}]"
    return f"{text if text[-1:] in '.!?:' else text + '.'} [{part.step}]"
