"""The project's own examples: generated of every shape, and written by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from training.planner.banks import Field, fields, web, written
from training.planner.bridges import bridge
from training.planner.comparisons import bridged_comparison, comparison
from training.planner.examples import Example, Question, plan_of
from training.planner.frames import framed
from training.planner.independent import independent, shared_head, together, two_of_one

HERE = Path(__file__).parent
SEED = 7
# Fields whose patterns are commands or name people, which "it" does not fit.
NO_PRONOUN = ("music player", "smart home", "calendar", "philosophy", "pediatrics")


def own(rng: random.Random) -> tuple[list[Example], list[Example]]:
    """Return the project's own examples: for training, and held out (other names, other questions, other wordings)."""
    every = fields()
    bank, kept = halves([q for field in every for q in field.questions()], rng, 0.1)
    train = [whole(question, "compllm") for question in bank]
    train += own_shapes(bank, every, rng, held_out=False, scale=1.0)
    train += written(HERE / "handwritten.txt")
    held = own_shapes(kept, every, rng, held_out=True, scale=0.02)
    return train, held + written(HERE / "heldout" / "shapes.txt")


def own_shapes(
    bank: Sequence[Question], every: Sequence[Field], rng: random.Random, *, held_out: bool, scale: float
) -> list[Example]:
    """Return generated examples of every shape, in the proportions of training times `scale`."""
    net = web(random.Random(SEED), held_out=held_out)
    asking = [field for field in every if field.tag not in NO_PRONOUN]
    plans: list[tuple[int, Callable[[], Example]]] = [
        (330, lambda: independent(bank, rng, "compllm", count=2)),
        (190, lambda: independent(bank, rng, "compllm", count=3)),
        (80, lambda: independent(bank, rng, "compllm", count=4)),
        (60, lambda: independent(bank, rng, "compllm", count=5)),
        (260, lambda: shared_head(rng.choice(asking), rng)),
        (90, lambda: two_of_one(rng.choice(asking), rng)),
        (1050, lambda: bridge(net, rng, hops=1)),
        (420, lambda: bridge(net, rng, hops=2)),
        (100, lambda: bridge(net, rng, hops=3)),
        (420, lambda: comparison(net, rng)),
        (230, lambda: bridged_comparison(net, rng)),
        (170, lambda: framed("influence", rng)),
        (120, lambda: framed("intersection", rng)),
        (190, lambda: framed("howto", rng)),
        (130, lambda: framed("case", rng)),
        (80, lambda: framed("kinship", rng)),
        (260, lambda: framed("mixed", rng)),
        (110, lambda: together([plain(lambda: bridge(net, rng, hops=1)), whole(rng.choice(bank), "compllm")], rng)),
        (60, lambda: together([plain(lambda: comparison(net, rng)), whole(rng.choice(bank), "compllm")], rng)),
        (50, lambda: together([plain(lambda: bridge(net, rng, hops=1)), plain(lambda: bridge(net, rng, hops=1))], rng)),
    ]
    return [example for count, make in plans for example in many(max(1, round(count * scale)), make)]


def by_hand(passed: str) -> list[Example]:
    """Return the examples that were written one by one for a pass: the files of `written/PASSED/`, in order of name."""
    return [example for path in sorted((HERE / "written" / passed).glob("*.txt")) for example in written(path)]


def halves(items: Sequence[Question], rng: random.Random, share: float) -> tuple[list[Question], list[Question]]:
    """Return the items in two parts, the second a random share."""
    shuffled = rng.sample(list(items), len(items))
    cut = round(share * len(items))
    return shuffled[cut:], shuffled[:cut]


def plain(make: Callable[[], Example]) -> Example:
    """Return what `make` makes once it is a single sentence that asks."""
    while True:
        example = make()
        if example.question.endswith("?") and not any(mark in example.question[:-1] for mark in "?:.;"):
            return example


def many(count: int, make: Callable[[], Example]) -> list[Example]:
    """Return what `make` makes, so many times."""
    return [make() for _ in range(count)]


def whole(question: Question, source: str) -> Example:
    """Return a question that stays whole."""
    return Example(question.text, plan_of([question]), source, "whole")
