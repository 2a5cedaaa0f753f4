"""How faithfully sub-answers are joined: facts kept, nothing foreign, citations right, gaps named."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from compllm.aggregator.base import Aggregator, Part, answered, cite
from compllm.aggregator.grounding import Content
from compllm.bench.figures import Figures, mean, percentiles, ratio
from compllm.bench.rows import evenly
from compllm.bench.squad import normalised
from compllm.errors import ConfigError
from compllm.router.calibration import read_json_lines

_CITATIONS = re.compile(r"((?:\s*\[\d+(?:\s*,\s*\d+)*\])+)")


@dataclass(frozen=True, slots=True)
class JoinRow:
    """A question and its steps with their answers; gaps have none."""

    question: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """What an aggregator made of a row, and the seconds it took."""

    row: JoinRow
    text: str
    elapsed_s: float


def read_rows(path: Path, limit: int | None = None) -> list[JoinRow]:
    """Read JSON lines `{"question", "parts": [{"step", "question", "answer", "parents", "expert"}]}`.

    An `answer` of null is a gap. With a limit, as many rows are taken, spread evenly over the file.

    Raises:
        ConfigError: naming file and line.
    """
    found = read_json_lines(path)
    return [_row(found[place][1], found[place][0]) for place in evenly(len(found), limit)]


def _row(row: Mapping[str, object], where: str) -> JoinRow:
    question, parts = row.get("question"), row.get("parts")
    if not isinstance(question, str) or not isinstance(parts, list):
        raise ConfigError(f'{where}: a row needs a "question" and "parts"')
    made = tuple(_part(part, where) for part in parts)
    if len({part.step for part in made}) < len(made):
        raise ConfigError(f"{where}: two parts have the same step")
    if not answered(made):
        raise ConfigError(f"{where}: at least one part needs an answer")
    return JoinRow(question, made)


def _part(part: object, where: str) -> Part:
    if not isinstance(part, dict) or not isinstance(part.get("step"), int):
        raise ConfigError(f'{where}: a part needs a "step", its number')
    parents, answer = part.get("parents") or [], part.get("answer")
    if not isinstance(parents, list) or not all(isinstance(step, int) for step in parents):
        raise ConfigError(f'{where}: "parents" must be a list of steps')
    said = "" if answer is None else str(answer).strip()
    return Part(part["step"], str(part.get("question") or ""), said, str(part.get("expert") or ""), tuple(parents))


async def joined(aggregator: Aggregator, row: JoinRow) -> Joined:
    """Have a row joined.

    Raises:
        AggregationError: nothing usable came of it.
        ExpertError: the model failed.
    """
    began_s = time.monotonic()
    async with aclosing(aggregator.join(row.question, row.parts)) as pieces:
        text = "".join([piece async for piece in pieces])
    return Joined(row, text, time.monotonic() - began_s)


def join_figures(name: str, done: Sequence[Joined]) -> Figures:
    """Return the figures of one way to join.

    - `facts_kept`: share of sub-answers that are in the text, normalised. `all_kept`: share of texts with all of them.
    - `foreign`: share of texts with a number or a name that neither the question nor a part has.
    - `citations_right`: share of citations whose own piece of text, back to the citation before, holds the sub-answer
      (or, for a gap, most words of its question). `gaps_named`: share of gaps that are cited.
    - `word_for_word`: share of texts that are nothing but the sub-answers one after another.
    """
    kept = [[_holds(_said(each), part) for part in answered(each.row.parts)] for each in done]
    cited = [_citations(each) for each in done]
    gaps = [part.step in dict(found) for each, found in zip(done, cited, strict=True) for part in _gaps(each.row)]
    right = [is_right for found in cited for _, is_right in found]
    return {
        "aggregator": name,
        "questions": len(done),
        "facts_kept": mean([fact for facts in kept for fact in facts]),
        "all_kept": mean([all(facts) for facts in kept]),
        "foreign": mean([bool(_foreign(each)) for each in done]),
        "citations_right": ratio(sum(right), len(right)),
        "gaps_named": mean(gaps),
        "word_for_word": mean([_is_plain(each) for each in done]),
        **percentiles("answer_s", [each.elapsed_s for each in done]),
    }


def _gaps(row: JoinRow) -> list[Part]:
    return [part for part in row.parts if part.is_gap]


def _said(joined: Joined) -> str:
    """Return the text without numbers in brackets that are no citations but belong to a sub-answer, as in `a[1]`."""
    text = joined.text
    for part in answered(joined.row.parts):
        text = text.replace(part.answer.strip(), _uncited(part.answer.strip()))
    return text


def _uncited(text: str) -> str:
    return _CITATIONS.sub(" ", text)


def _holds(text: str, part: Part) -> bool:
    return f" {normalised(_uncited(part.answer))} " in f" {normalised(_uncited(text))} "


def _foreign(joined: Joined) -> frozenset[str]:
    known = " ".join([joined.row.question, *(f"{part.question} {part.answer}" for part in joined.row.parts)])
    return Content.of(_CITATIONS.sub("", joined.text)).marks - Content.of(known).words


def _citations(joined: Joined) -> list[tuple[int, bool]]:
    """Return each citation and whether it is right."""
    parts = {part.step: part for part in joined.row.parts}
    pieces = _CITATIONS.split(_said(joined))
    return [
        (int(step), int(step) in parts and _is_said(piece, parts[int(step)]))
        for piece, marks in zip(pieces[::2], pieces[1::2], strict=False)
        for step in re.findall(r"\d+", marks)
    ]


def _is_said(piece: str, part: Part) -> bool:
    if part.is_gap:
        return Content.of(part.question).share_in(Content.of(piece).words) >= 0.5
    return _holds(piece, part)


def _is_plain(joined: Joined) -> bool:
    return " ".join(joined.text.split()) == " ".join(" ".join(map(cite, answered(joined.row.parts))).split())
