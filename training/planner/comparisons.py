"""Questions that compare: each side first, then one step that names both."""

from __future__ import annotations

import random

from training.planner.banks import Web
from training.planner.examples import Example, Question, plan_of
from training.planner.wordings import load, split, wordings

ARITHMETIC = "mathematics"


def comparison(web: Web, rng: random.Random) -> Example:
    """Return a question that compares two things of a kind: "Which is longer, the Nile or the Rhine?"."""
    kind, tag, ask, ways, lasts = rng.choice(load("comparisons"))
    a, b = rng.sample(list(web.names[kind]), 2)
    steps = [Question(ask.replace("{x}", name), tag) for name in (a, b)]
    return _compared(steps, ways, lasts, (a, b), rng, "comparison")


def bridged_comparison(web: Web, rng: random.Random) -> Example:
    """Return a question that compares what two things lead to: "Which film has the older director, A or B?"."""
    kind, tag, first, second_tag, second, ways, lasts = rng.choice(load("bridged_comparisons"))
    a, b = rng.sample(list(web.names[kind]), 2)
    steps = [Question(first.replace("{x}", name), tag) for name in (a, b)]
    steps += [Question(second.replace("{x}", f"#{n}"), second_tag) for n in (1, 2)]
    return _compared(steps, ways, lasts, (a, b), rng, "bridged-comparison")


def _compared(
    steps: list[Question], ways: str, lasts: str, names: tuple[str, str], rng: random.Random, shape: str
) -> Example:
    way, last = rng.choice(list(zip(split(ways), split(lasts), strict=True)))
    tag = steps[-1].tag if last.startswith("!") else ARITHMETIC
    question = way.replace("{a}", names[0]).replace("{b}", names[1])
    return Example(question, plan_of([*steps, Question(last.removeprefix("!"), tag)]), "compllm", shape)


def join(years: list[Question], numbers: list[Question], rng: random.Random, source: str) -> Example:
    """Return questions whose answers are put together: "How many years apart are the answers ... (1) ... (2) ...?"."""
    way, last, kind = rng.choice(wordings("joins"))
    count = 3 if rng.random() < 0.2 and any(word in last for word in ("sum", "earliest", "average", "product")) else 2
    steps = rng.sample(years if kind == "year" else numbers, count)
    marks = rng.choice(wordings("join_marks"))
    listed = " ".join(mark + step.text for mark, step in zip(marks, steps, strict=False))
    refs = [f"#{n}" for n in range(1, count + 1)]
    final = last.replace("{refs}", _series(refs, "and")).replace("{or}", _series(refs, "or"))
    question = way.replace("{n}", {2: "two", 3: "three"}[count]).replace("{list}", listed)
    return Example(question, plan_of([*steps, Question(final, ARITHMETIC)]), source, f"join-{count}")


def _series(refs: list[str], word: str) -> str:
    return ", ".join(refs[:-1]) + f" {word} {refs[-1]}"
