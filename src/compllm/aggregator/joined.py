"""The aggregator of last resort: every sub-answer as it is, with its citation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from compllm.aggregator.base import Part, answered, cite


class JoinedAggregator:
    """Puts the sub-answers one below the other, in the order of the plan; needs no model and loses nothing."""

    name = "joined (no model)"

    async def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Yield one line for each sub-answer; gaps have none.

        A step that chose among the answers that it was given ("Which is earlier, 1895 or 1938?") gets the question of
        the chosen one, which says what it is.
        """
        del question  # the answers stand for themselves
        given = {part.step: part for part in answered(parts)}
        for place, part in enumerate(given.values()):
            chosen = [given[parent] for parent in part.parents if parent in given and _same(given[parent], part)]
            if len(chosen) == 1 and len(part.parents) > 1:
                part = replace(part, answer=f"{part.answer.strip(' .')} ({chosen[0].question})")
            yield f"{chr(10) if place else ''}{cite(part)}"


def _same(one: Part, other: Part) -> bool:
    return one.answer.strip(" .\n") == other.answer.strip(" .\n")
