"""The rows of the seventh pass: what the sixth had unlearned, beside a part of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from training.planner.examples import Example
from training.planner.own import SEED, by_hand

_WHOLE, _STRATEGIES, _OTHERS, _WRITTEN = 800, 500, 500, 500


def seventh_pass(fourth: Sequence[Example], fifth: Sequence[Example]) -> list[Example]:
    """Return the rows of the seventh pass: single questions, StrategyQA, others of before, and some of the sixth."""
    rng = random.Random(SEED + 6)

    def some(examples: Sequence[Example], count: int, wanted: Callable[[str], bool]) -> list[Example]:
        found = [example for example in examples if wanted(example.shape)]
        return rng.sample(found, min(count, len(found)))

    rows = some(fourth, _WHOLE, lambda shape: shape == "whole")
    rows += some(fifth, _STRATEGIES, lambda shape: shape == "StrategyQA")
    rows += some(fifth, _OTHERS, lambda shape: shape not in ("StrategyQA", "written", "whole"))
    rows += some(by_hand("sixth"), _WRITTEN, lambda _: True)
    rng.shuffle(rows)
    return rows
