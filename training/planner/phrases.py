"""Turns single questions into noun phrases, and noun phrases into questions that need the first answer."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache

from training.planner.banks import Web
from training.planner.bridges import ask_of
from training.planner.comparisons import ARITHMETIC
from training.planner.examples import Example, Question, plan_of
from training.planner.wordings import bare, load, wordings

MAX_CHARACTERS = 130

_AUXILIARIES = "did|does|do|is|are|was|were|has|have|had|can|could|would|will|should|s"
_WHO_DOES = re.compile(rf"^Who (?!(?:{_AUXILIARIES}|or|among)\b)(\w+ed|\w+s|\w+)\b (.+)$")
_WHO_IS = re.compile(r"^Who (?:is|was) (the (?!first and last|full|name).+)$")
_PASTS = "won|wrote|sang|held|gave|made|began|became|took|led|built|lost|ran|left|came|shot|beat|met|fought|bought|drew"
_WHICH = re.compile(
    rf"^(?:Which|What) ((?!(?:{_AUXILIARIES})\b)(?:[\w.'-]+ ){{0,2}}?)(\w+) "
    rf"(?!(?:{_AUXILIARIES}|of|in|on|and|or|number|name)\b)(\w+ed|\w+s|{_PASTS}) (.+)$"
)
_YEAR = re.compile(
    r"^(?:In (?:what|which)|What) year was (.+?) (founded|born|released|published|established|built|elected|invented|"
    r"discovered|signed|appointed|completed|introduced|formed|awarded)\b(.*)$"
)


def noun_phrase(question: str) -> tuple[str, str] | None:
    """Return a question as the noun phrase for its answer, and the kind of thing; None where that is not plain.

    "Who portrays Carter?" is "the person who portrays Carter".
    """
    text = bare(question)
    if len(text) > MAX_CHARACTERS or any(mark in text for mark in '?";:!') or text.endswith((" in", " for", " to")):
        return None
    if match := _YEAR.match(text):
        return f"the year {match[1]} was {match[2]}{match[3]}", "year"
    if match := _WHO_IS.match(text):
        return match[1], "person"
    if match := _WHO_DOES.match(text):
        return f"the person who {match[1]} {match[2]}", "person"
    if (match := _WHICH.match(text)) and (kind := _kinds().get(match[2])):
        that = "who" if kind == "person" else "that"
        return f"the {match[1]}{match[2]} {that} {match[3]} {match[4]}", kind
    return None


@cache
def _kinds() -> dict[str, str]:
    return {noun: kind for kind, nouns in load("wordings")["nouns"].items() for noun in nouns.split()}


Phrase = tuple[Question, str, str]


def phrases(bank: Sequence[Question]) -> list[Phrase]:
    """Return the questions that have a noun phrase, each with its phrase and kind."""
    found = [(question, noun_phrase(question.text)) for question in bank]
    return [(question, *phrase) for question, phrase in found if phrase]


def phrased_bridge(bank: Sequence[Phrase], web: Web, rng: random.Random) -> Example:
    """Return a question about what a noun phrase names: "When was the person who portrays Carter born?"."""
    first, phrase, kind = rng.choice(bank)
    last = ask_of(web, rng, kind, first.tag)
    while "{x}'s" in last.text:
        last = ask_of(web, rng, kind, first.tag)
    steps = [first, Question(last.text.replace("{x}", "#1"), last.tag)]
    return Example(last.text.replace("{x}", phrase), plan_of(steps), "composed", "phrased-bridge")


def phrased_comparison(bank: Sequence[Phrase], rng: random.Random) -> Example:
    """Return a comparison of two people who are named by noun phrases."""
    people = [phrase for phrase in bank if phrase[2] == "person" and len(phrase[1]) < MAX_CHARACTERS // 2]
    a, b = rng.sample(people, 2)
    ask, way, last = rng.choice(wordings("sides"))
    steps = [a[0], b[0], *(Question(ask.replace("{x}", f"#{n}"), side[0].tag) for n, side in ((1, a), (2, b)))]
    steps.append(Question(last, steps[-1].tag if "same" in last else ARITHMETIC))
    return Example(way.replace("{a}", a[1]).replace("{b}", b[1]), plan_of(steps), "composed", "phrased-comparison")
