"""Questions about things that are described instead of named: "When was the second man on the moon born?"."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.planner.banks import Web
from training.planner.bridges import worded
from training.planner.examples import Example, Question, plan_of
from training.planner.wordings import load


@dataclass(frozen=True, slots=True)
class Description:
    """A noun phrase for a thing, the question that finds it, and what can be asked of such a thing."""

    kind: str
    phrase: str
    question: Question
    asks: tuple[Question, ...]


def descriptions() -> list[Description]:
    """Return the bank of descriptions."""
    return [
        _description(kind, text, tuple(_question(ask) for ask in bank["ask"]))
        for kind, bank in load("descriptions").items()
        for text in bank["of"]
    ]


def described(bank: Sequence[Description], rng: random.Random) -> Example:
    """Return a question about a described thing: find it, then ask."""
    thing = rng.choice(bank)
    return _asked(thing.phrase, [thing.question], rng.choice(thing.asks), thing.kind, rng)


def described_further(bank: Sequence[Description], web: Web, rng: random.Random) -> Example:
    """Return a question about what is related to a described thing: find it, find the other, then ask."""
    thing = rng.choice([each for each in bank if each.kind in web.relations])
    relation = rng.choice([each for each in web.relations[thing.kind] if each.target in web.attributes])
    phrase, question = rng.choice(relation.phrases)
    steps = [thing.question, Question(question.replace("{x}", "#1"), relation.tag)]
    last = rng.choice(web.attributes[relation.target])
    return _asked(phrase.replace("{x}", thing.phrase), steps, last, relation.target, rng)


def _asked(phrase: str, steps: Sequence[Question], last: Question, kind: str, rng: random.Random) -> Example:
    plan = [*steps, Question(last.text.replace("{x}", f"#{len(steps)}"), last.tag)]
    return Example(worded(last.text, phrase, kind, plan, rng), plan_of(plan), "compllm", f"described-{len(plan)}")


def _description(kind: str, text: str, asks: tuple[Question, ...]) -> Description:
    phrase, found_by = text.split(" = ")
    tag, phrase = phrase.split(": ", 1)
    return Description(kind, phrase, Question(found_by, tag), asks)


def _question(text: str) -> Question:
    tag, asked = text.split(": ", 1)
    return Question(asked, tag)
