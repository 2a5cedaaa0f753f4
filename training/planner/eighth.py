"""The rows of the eighth pass: what is written by hand for it, and of everything before a part."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from training.planner.examples import Example
from training.planner.own import SEED, by_hand

_WRITTEN, _WHOLE, _OTHERS = 1500, 700, 800


def eighth_pass(fourth: Sequence[Example], fifth: Sequence[Example]) -> list[Example]:
    """Return the rows of the eighth pass: those written for it, StrategyQA, and a part of all others."""
    rng = random.Random(SEED + 7)

    def some(examples: Sequence[Example], count: int, wanted: Callable[[str], bool]) -> list[Example]:
        found = [example for example in examples if wanted(example.shape)]
        return rng.sample(found, min(count, len(found)))

    rows = by_hand("eighth") + [example for example in fifth if example.shape == "StrategyQA"]
    rows += some([*fifth, *by_hand("sixth")], _WRITTEN, lambda shape: shape == "written")
    rows += some(fourth, _WHOLE, lambda shape: shape == "whole")
    rows += some(fifth, _OTHERS, lambda shape: shape not in ("StrategyQA", "written", "whole"))
    rng.shuffle(rows)
    return rows
