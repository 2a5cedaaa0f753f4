"""Questions that compare things of different kinds by what happened to them, or by how much of something they have."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from training.planner.banks import Web
from training.planner.bridges import chain
from training.planner.comparisons import ARITHMETIC
from training.planner.examples import Example, Question, plan_of
from training.planner.wordings import load, split, wordings

# How often a side is a thing that has to be found first, and how often an event that stands in the bank as a whole.
_BRIDGED, _ONCE = 0.2, 0.25

Side = tuple[str, Sequence[Question]]


def events_compared(web: Web, rng: random.Random) -> Example:
    """Return a question about two events: "Which came first, the birth of Goya or the release of Vertigo?"."""
    return _compared(_happened(web, rng), _happened(web, rng), "in_time", "events", rng)


def amounts_compared(web: Web, rng: random.Random) -> Example:
    """Return a question about two amounts: "Which is larger, the area of Chad or the length of the Nile?"."""
    ways = load("events")["amount"]
    return _compared(_side(web, rng, ways), _side(web, rng, ways), "in_size", "amounts", rng)


def _compared(first: Side, second: Side, ways: str, shape: str, rng: random.Random) -> Example:
    way, last = rng.choice(wordings(ways))
    (a, steps), (b, others) = first, second
    before = len(steps)
    moved = [Question(step.text.replace("#1", f"#{before + 1}"), step.tag) for step in others]
    refs = {"#1": f"#{before}", "#2": f"#{before + len(others)}"}
    final = re.sub("#[12]", lambda match: refs[match[0]], last)
    question = way.replace("{a}", a).replace("{b}", b)
    return Example(question, plan_of([*steps, *moved, Question(final, ARITHMETIC)]), "compllm", shape)


def _happened(web: Web, rng: random.Random) -> Side:
    if rng.random() >= _ONCE:
        return _side(web, rng, load("events")["happened"])
    phrase, question, tag = rng.choice(load("events")["once"])
    return phrase, [Question(question, tag)]


def _side(web: Web, rng: random.Random, ways: Sequence[Sequence[str]]) -> Side:
    """Return one side: a noun phrase, and the steps that lead to it."""
    kind, tag, ask, phrases = rng.choice(ways)
    phrase = rng.choice(split(phrases))
    if rng.random() >= _BRIDGED or not any(r.target == kind for rs in web.relations.values() for r in rs):
        name = rng.choice(list(web.names[kind]))
        return phrase.replace("{x}", name), [Question(ask.replace("{x}", name), tag)]
    found, steps, target = chain(web, rng, hops=1)
    while target != kind:
        found, steps, target = chain(web, rng, hops=1)
    return phrase.replace("{x}", found), [*steps, Question(ask.replace("{x}", "#1"), tag)]
