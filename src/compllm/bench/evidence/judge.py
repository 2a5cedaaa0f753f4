"""A language model as a judge: how many of the gold facts an answer states. Any OpenAI-compatible endpoint will do."""

from __future__ import annotations

import re
from contextlib import aclosing
from dataclasses import dataclass

from compllm.bench.evidence.reply import Reply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.errors import ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Message

_TOKENS = 64
_INSTRUCTIONS = (
    "You grade answers. You get a question, numbered reference facts and an answer. Reply with the numbers of the "
    "facts that the answer states correctly, in any wording, separated by commas, or with: none"
)
_NUMBERS = re.compile(r"(\d{1,9})(?:\s*(?:-|–|to)\s*(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks a model which of the gold parts an answer states (Zheng et al. 2023: a reference-guided judge)."""

    backend: Backend

    async def share(self, row: EvidenceRow, reply: Reply) -> float:
        """Return the share of the parts that the judge finds in the answer.

        Raises:
            ExpertError: the judge failed, or said neither numbers nor "none".
        """
        if not reply.text:
            return 0.0
        facts = "\n".join(f"{number}. {' / '.join(part)}" for number, part in enumerate(row.parts, start=1))
        asked = f"Question: {row.question}\n\nReference facts:\n{facts}\n\nAnswer: {reply.text}"
        request = ChatRequest((Message("system", _INSTRUCTIONS), Message("user", asked)), _TOKENS)
        async with aclosing(self.backend.stream(request)) as chunks:
            said = "".join([chunk.text async for chunk in chunks])
        return _share(said, len(row.parts))


def _share(said: str, parts: int) -> float:
    if said.strip().lower().startswith("none"):
        return 0.0
    spans = [(int(first), int(last or first)) for first, last in _NUMBERS.findall(said)]
    found = {part for part in range(1, parts + 1) if any(first <= part <= last for first, last in spans)}
    if not found and "none" not in said.lower():
        raise ExpertResponseError(f"the judge gave no grade but said: {said[:200]}")
    return len(found) / parts
