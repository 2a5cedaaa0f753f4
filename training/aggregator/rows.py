"""From a question with its sub-answers to the row that an aggregator trains on: the prompt and the paragraph to write.

The paragraph follows fixed rules: every answer kept word for word, each statement with its citation, the final answer
of a bridge or comparison first, gaps named. `is_grounded` is the check that the answer meets again at run time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from compllm.aggregator import grounding
from compllm.aggregator.base import Part
from training.aggregator.statements import definition, indirect, is_sentence, lowered, statement
from training.reader.rows import Row
from training.reader.text import sentences

SYSTEM = "Join."
NO_ANSWER = "(no answer)"
_JOINED_SHARE = 0.35
_JOINED_SUPPORT_SHARE = 0.7
_LONGEST_JOINED_WORDS = 22
_END = re.compile(r"([.!?]+[\"')\]]*)$")


@dataclass(frozen=True, slots=True)
class Step:
    """One sub-question with its answer (None: a gap) and the steps whose answers it used."""

    number: int
    question: str
    answer: str | None
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Compound:
    """A question, its steps, and whether the last of them answers it whole, so that it leads."""

    question: str
    steps: tuple[Step, ...]
    leads: bool
    source: str
    shape: str


def prompt(compound: Compound) -> str:
    """Write the question and its sub-answers the way the aggregator is asked at run time."""
    return "\n".join([compound.question, *map(_line, compound.steps)])


def paragraph(compound: Compound, common: frozenset[str], rng: random.Random) -> str:
    """Write the answer by rule; `common` are the words that are no names."""
    *before, last = compound.steps
    leads = compound.leads and last.answer is not None
    steps = [last, *before] if leads else [*compound.steps]
    share = _JOINED_SUPPORT_SHARE if leads else _JOINED_SHARE
    told: list[str] = []
    for place, step in enumerate(steps):
        clause = _clause(step, common)
        if place > leads and step.answer is not None and _joins(told[-1], clause) and rng.random() < share:
            told[-1] = f"{told[-1].removesuffix('.')}, and {lowered(clause, common)}"
        else:
            told.append(clause)
    return " ".join(told)


def row(compound: Compound, text: str) -> Row:
    """Return the training row."""
    return Row(SYSTEM, prompt(compound), text, compound.source, compound.shape)


def is_grounded(compound: Compound, text: str) -> bool:
    """Whether every sentence stands and every answer is kept by the check of the run time; sentences on gaps apart.

    A sentence also stands if a single step's question and answer hold all its words: the check finds no source for
    one whose words all occur in other steps too, as in bridges that are compared.
    """
    parts = [Part(s.number, s.question, s.answer, "", s.parents) for s in compound.steps if s.answer is not None]
    gaps = {f"[{step.number}]" for step in compound.steps if step.answer is None}
    cited = [sentence for sentence in sentences(text) if not any(gap in sentence for gap in gaps)]
    said = grounding.sentences(" ".join(cited))
    stand = all(
        grounding.sources(sentence, compound.question, parts) or _within_one(sentence, parts) for sentence in said
    )
    return stand and all(grounding.is_kept(part, said, compound.question) for part in parts)


def _within_one(text: str, parts: Sequence[Part]) -> bool:
    """Whether each statement of a sentence says only words of one step."""
    contexts = [grounding.Content.of(f"{part.question} {part.answer}").words for part in parts]
    clauses = [grounding.Content.of(clause).words for clause in text.split(", and ")]
    return all(any(clause <= context for context in contexts) for clause in clauses)


def _line(step: Step) -> str:
    after = f" after {', '.join(map(str, step.parents))}" if step.parents else ""
    return f"[{step.number}{after}] {step.question} -> {NO_ANSWER if step.answer is None else step.answer}"


def _clause(step: Step, common: frozenset[str]) -> str:
    """Return what a step says, with its citation: its sentences, a statement, or that there is no answer."""
    if step.answer is None:
        return _gap(step, common)
    if is_sentence(step.answer):
        defined = definition(step.question, step.answer, common)
        return _cited([defined] if defined else sentences(step.answer), step.number)
    stated = statement(step.question, step.answer, common)
    bare = step.answer.removesuffix(".")
    if stated is None and bare.lower() in {"yes", "no"}:
        return f"{bare.capitalize()} [{step.number}]."
    said = stated or f'The answer to "{step.question}" is {lowered(bare, common)}'
    return _cited([f"{said}."], step.number)


def _gap(step: Step, common: frozenset[str]) -> str:
    asked = indirect(step.question)
    if asked:
        return f"{asked[:1].upper()}{lowered(asked, common)[1:]} could not be found [{step.number}]."
    return f'There is no answer to "{step.question}" [{step.number}].'


def _cited(parts: Sequence[str], number: int) -> str:
    """Put the citation before the mark that ends each sentence."""
    return " ".join(_END.sub(rf" [{number}]\1", part) if _END.search(part) else f"{part} [{number}]." for part in parts)


def _joins(first: str, second: str) -> bool:
    """Whether two clauses read well as one sentence: short, of one statement each, and without quotations."""
    single = all(len(sentences(text)) == 1 and len(text.split()) <= _LONGEST_JOINED_WORDS for text in (first, second))
    plain = all(not re.search(r"\"|;|, | (?:and|but|while|not) ", text) for text in (first, second))
    return single and plain and first.endswith(".") and " [" in first and len(re.findall(r"\[\d+\]", first)) == 1
