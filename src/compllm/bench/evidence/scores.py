"""How good an answer is, and where on the way something was lost.

Answers are compared as SQuAD does (Rajpurkar et al. 2016), citations such as `[2]` and what a run says of its gaps left
out: to name what is missing is no answer, right or wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from compllm.bench import squad
from compllm.bench.evidence.reply import EVERYTHING, Reply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.bench.squad import exact_match, token_f1
from compllm.run import without_gaps

_DASH = re.compile(r"[-–—]")
_CITATION = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares from 0 to 1; None where the row has nothing to compare, or the system looks nothing up.

    Who asked nothing has 0 along the way: were that left out, means would be over the questions that went well.

    - `f1`, `exact`: the answer against the gold parts, one after another.
    - `contained`: share of the parts that are in the answer, word for word.
    - `short_f1`: `f1` of the bare answers of the last steps, one after another: what prose around them costs.
    - `asked`: share of the gold experts that were asked anything, whoever answered. `read`: share of the gold steps
      whose answer stood in a passage of an expert that answered. `answered`: share of the gold steps whose answer is in
      some sub-answer.
    - `judged`: share of the parts that a judge finds in the answer.
    """

    f1: float
    exact: float
    contained: float
    short_f1: float | None
    asked: float | None
    read: float | None
    answered: float | None
    judged: float | None = None


def score(row: EvidenceRow, reply: Reply, judged: float | None = None) -> Scores:
    """Compare a reply with its row."""
    text = plain(reply.text)
    gold = _gold(row, text)
    experts = {step.expert for step in row.plan if step.expert}
    asked = {expert for step in reply.steps for expert in (step.expert, *step.asked)}
    known = [step.answers for step in row.plan if step.answers]
    looked_up = [step.answers for step in row.plan if step.answers and step.passage]
    bare = " ".join(reply.final_answers)
    return Scores(
        token_f1(text, gold) if text else 0.0,
        float(bool(text) and exact_match(text, gold)),
        _share([contains(text, part) for part in row.parts]),
        token_f1(bare, _gold(row, bare)) if bare else 0.0,
        _share_or_none([bool({expert, EVERYTHING} & asked) for expert in experts if reply.looked_up]),
        _share_or_none([_any(reply.passages, answers) for answers in looked_up if reply.looked_up]),
        _share_or_none([_any([step.answer for step in reply.steps], answers) for answers in known]),
        judged,
    )


def plain(text: str) -> str:
    """Return an answer without its citations and without what it says of its gaps."""
    return _CITATION.sub("", without_gaps(text)).strip()


def contains(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers is in the text as `squad.contains` has it; the ends of "1185–1226" are two words."""
    return squad.contains(_DASH.sub(" ", text), [_DASH.sub(" ", answer) for answer in answers])


def _any(said: Sequence[str], answers: Sequence[str]) -> bool:
    return any(contains(text, answers) for text in said)


def _gold(row: EvidenceRow, text: str) -> list[str]:
    """Return the gold answers to compare with: of several parts, each by the alias that fits the text best.

    Of aliases with the same words, such as a date in two orders, it is the one that stands in the text.
    """
    if len(row.parts) == 1:
        return list(row.parts[0])
    return [
        " ".join(max(part, key=lambda alias: (token_f1(text, [alias]), contains(text, [alias]))) for part in row.parts)
    ]


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found)


def _share_or_none(found: Sequence[bool]) -> float | None:
    return _share(found) if found else None
