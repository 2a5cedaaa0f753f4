"""The aggregator of last resort: every sub-answer as it is, with its citation."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from compllm.aggregator.base import Part, answered, cite


class JoinedAggregator:
    """Puts the sub-answers one below the other, in the order of the plan; needs no model and loses nothing."""

    name = "joined (no model)"

    async def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Yield one line for each sub-answer; gaps have none."""
        del question  # the answers stand for themselves
        for place, part in enumerate(answered(parts)):
            yield f"{chr(10) if place else ''}{cite(part)}"
