"""Shapes with slots: influence, intersection, how-to, clinical cases, kinship and mixed graphs."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from training.planner.examples import Example, Question, plan_of
from training.planner.wordings import load, split

_SLOT = re.compile(r"\{(\w+)\}")


def framed(family: str, rng: random.Random) -> Example:
    """Return a question of a family of frames with its slots filled."""
    bank = load("frames")
    frame = rng.choice(bank["frames"][family])
    texts = [rng.choice(split(frame["q"])), *frame["s"]]
    filled = _fill(texts, bank["slots"], rng)
    steps = [Question(*reversed(step.split(": ", 1))) for step in filled[1:]]
    return Example(_capital(filled[0]), plan_of(steps), "compllm", family)


def _fill(texts: Sequence[str], slots: dict[str, list[str]], rng: random.Random) -> list[str]:
    names = {slot: rng.choice(slots[slot]) for slot in sorted(set(_SLOT.findall(" ".join(texts))))}
    return [_SLOT.sub(lambda match: names[match[1]], text) for text in texts]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
