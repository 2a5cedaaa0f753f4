"""Reads the public data sets that are named on the command line, and composes new questions from single ones."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from compllm.core.plan import Plan, SubQuery
from training.planner.bridges import let
from training.planner.examples import Example, Question, is_writable, normalised, plan_of
from training.planner.tagger import tag_steps

Row = Mapping[str, Any]

# The plain name of each field of the public sets; fields that are missing here are left out.
TAGS = {
    "film_tv": "film and television", "music": "music", "science": "science", "sports": "sports",
    "medicine": "medicine", "geography": "geography", "politics": "politics", "history": "history", "art": "art",
    "law": "law",
    "animals": "science", "literature": "literature", "video_games": "video games", "religion": "religion",
    "finance": "finance", "mathematics": "mathematics", "psychology": "psychology", "computing": "computing",
}  # fmt: skip
COMMAND_TAGS = {
    "banking": "finance", "credit_cards": "finance", "travel": "travel", "kitchen_and_dining": "cooking",
    "auto_and_commute": "navigation", "work": "human resources",
}  # fmt: skip
MAX_CHARACTERS = 260


@dataclass(frozen=True, slots=True)
class Single:
    """A single question with its answer, for composing."""

    question: Question
    answer: str
    source: str


def read(path: Path) -> list[Row]:
    """Return the objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def singles(rows: Iterable[Row]) -> list[Single]:
    """Return the usable single questions of rows with `question` and `domain`."""
    found = []
    for row in rows:
        text, tag = clean(row["question"]), TAGS.get(row["domain"])
        if tag and "#" not in text and 15 <= len(text) <= MAX_CHARACTERS and text[0].isupper() and text[-1] in "?.":
            found.append(Single(Question(text, tag), str(row.get("answer", "")), str(row.get("source", "bench"))))
    return found


def clean(text: str) -> str:
    """Return a text with its spaces in order."""
    return re.sub(r"\s+", " ", text).replace(" ?", "?").strip()


def by_subject(example: Example) -> Example:
    """Return the example with the field of each step by its words; "What is the birthplace of ..." is history."""
    steps = [SubQuery(s.id, s.text, subject(s.text), s.after) for s in example.plan.steps]
    return replace(example, plan=Plan(tuple(steps)))


def examples(rows: Iterable[Row], source: str) -> list[Example]:
    """Return rows of a decomposition file as examples; steps without `domain` have no tag yet.

    Rows in which a number sign is no reference are left out: the planner could not write them.
    """
    made = (_example(row, source) for row in rows)
    return [example for example in made if example is not None and is_writable(example)]


def _example(row: Row, source: str) -> Example | None:
    number = {step["id"]: n for n, step in enumerate(row["sub_queries"], 1)}
    steps = []
    for n, step in enumerate(row["sub_queries"], 1):
        made = SubQuery(n, clean(step["question"]), TAGS.get(step.get("domain", "")))
        parents = {number[parent] for parent in step["depends_on"]}
        if not made.references <= parents:
            return None
        steps.append(SubQuery(n, made.text, made.tag, frozenset(parents - made.references)))
    return Example(clean(row["question"]), Plan(tuple(steps)), source, str(row.get("kind", source)))


def tagged(examples: Sequence[Example], tags: Sequence[str]) -> list[Example]:
    """Return the examples with the fields found for their steps, in order of all steps."""
    found = iter(tags)
    steps = [tag_steps(e.plan.steps, list(islice(found, len(e.plan.steps)))) for e in examples]
    return [replace(e, plan=Plan(tuple(s))) for e, s in zip(examples, steps, strict=True)]


_PEOPLE = ("director", "performer", "composer", "father", "mother", "spouse", "producer", "founder", "author")
_LAST_STEPS = (
    (r"\b(same|share|both)\b", "Are {a} and {b} the same?"),
    (r"\b(more recently|younger|later|newer|born later|last)\b", "Which is later, {a} or {b}?"),
    (r"\b(lived? longer|longer|more|larger|bigger)\b", "Which is larger, {a} or {b}?"),
    (r"\b(first|earlier|older|oldest|before)\b", "Which is earlier, {a} or {b}?"),
)


def compared(row: Row) -> Example | None:
    """Return a comparison of 2WikiMultihopQA with the comparing step that its evidence leaves out.

    Names are spelt as in the question, and lost references are put back. None where no such step is known.
    """
    question, steps = row["question"], [dict(step) for step in row["sub_queries"]]
    last = next((text for pattern, text in _LAST_STEPS if re.search(pattern, question, re.IGNORECASE)), None)
    if last is None or len(steps) not in (2, 4) or "ived longer" in question:
        return None
    for n, step in enumerate(steps):
        text = re.sub(r"^What is the (\w+) of ", _who, step["question"]).replace("??", "?")
        if n >= 2:
            text = text[: text.rindex(" of ")] + f" of #{n - 1}?"
        step.update(question=_as_asked(text, question), depends_on=[])
    if len(steps) == 2 and question.lower().find(_name(steps[0])) > question.lower().find(_name(steps[1])):
        steps.reverse()
    a, b = (f"#{len(steps) - 1}", f"#{len(steps)}")
    tag = subject(question)
    final = Question(last.format(a=a, b=b), tag if "same" in last else "mathematics")
    questions = [*(Question(step["question"], tag) for step in steps), final]
    return Example(clean(question), plan_of(questions), "2WikiMultihopQA", f"wiki-{row['type']}")


_SUBJECTS = (
    (r"\b(film|films|movie|director)\b", "film and television"),
    (r"\b(song|songs|album|band|bands|performer|composer)\b", "music"),
    (r"\b(magazine|magazines|book|novel|newspaper)\b", "literature"),
    (r"\b(school|university|college)\b", "education"),
    (r"\b(river|lake|mountain|village|city|located|country of|in the same country)\b", "geography"),
    (r"\bcurrency\b", "finance"),
    (r"\b[A-Z]\w+ name of\b", "language"),
    (r"\b(code|capital|latitude|longitude|domain)\b", "geography"),
    (r"\bPresident\b", "politics"),
)


def subject(text: str) -> str:
    """Return the field of a question about a film, a person or a place, by its words; people are history."""
    return next((tag for pattern, tag in _SUBJECTS if re.search(pattern, text)), "history")


def _who(match: re.Match[str]) -> str:
    return f"{'Who' if match[1] in _PEOPLE else 'What'} is the {match[1]} of "


def _name(step: Row) -> str:
    return str(step["question"]).lower().rpartition(" of ")[2].rstrip("?")


def _as_asked(text: str, question: str) -> str:
    name = text.rpartition(" of ")[2].rstrip("?")
    at = question.lower().find(name.lower())
    return text if at < 0 or name.startswith("#") else text.replace(name, question[at : at + len(name)])


_CAPITALISED = re.compile(
    r"(?<=[a-z,] )((?:[A-Z][\w'’.-]+)(?: (?:of|the|de|and|van) (?=[A-Z])| (?=[A-Z])|(?:[A-Z][\w'’.-]+))*)"
)


def letters(bank: Sequence[Single], rng: random.Random, count: int) -> list[Example]:
    """Return bridges in which a letter stands for the first answer: "Let X be the answer to this: ... Now, ... X ...?".

    Half of them put a question before another that names its answer; in the others any name in the second gives way.
    """
    by_answer: dict[str, list[Single]] = {}
    for single in bank:
        if 4 <= len(single.answer) <= 40 and single.answer[0].isupper():
            by_answer.setdefault(single.answer, []).append(single)
    pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, sorted(by_answer, key=len, reverse=True))) + r")(?!\w)")
    made: list[Example] = []
    for second in rng.sample(list(bank), len(bank)):
        if len(made) >= count:
            break
        named = pattern.search(second.question.text, 1)
        if named and len(made) < count * 2 // 3:
            first = rng.choice(by_answer[named[1]])
        else:
            named, first = _CAPITALISED.search(second.question.text), rng.choice(bank)
        if named and first is not second and first.question.text != second.question.text:
            made.append(_lettered(first, second, named[0].strip(), rng))
    return made


def _lettered(first: Single, second: Single, name: str, rng: random.Random) -> Example:
    open_text = second.question.text.replace(name, "{x}", 1)
    steps = [first.question, Question(open_text.replace("{x}", "#1"), second.question.tag)]
    return Example(let(first.question.text, open_text, rng), plan_of(steps), "composed", "letter")


def without(bank: Iterable[Single], forbidden: set[str]) -> list[Single]:
    """Return the questions that are not forbidden, each once."""
    kept: dict[str, Single] = {}
    for single in bank:
        key = normalised(single.question.text)
        if key not in forbidden:
            kept.setdefault(key, single)
    return list(kept.values())
