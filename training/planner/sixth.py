"""The rows of the sixth pass: what looks alike and is not, written by hand, and a part of what came before."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.planner.examples import Example
from training.planner.own import SEED, by_hand

_REHEARSED, _WHOLE = 1500, 500


def sixth_pass(fifth: Sequence[Example]) -> list[Example]:
    """Return the rows of the sixth pass: all that is written by hand, StrategyQA, and a part of the others."""
    rng = random.Random(SEED + 5)
    kept = [example for example in fifth if example.shape in ("StrategyQA", "written")]
    wholes = [example for example in fifth if example.shape == "whole"]
    others = [example for example in fifth if example.shape not in ("StrategyQA", "written", "whole")]
    rows = kept + by_hand("sixth")
    rows += rng.sample(wholes, min(_WHOLE, len(wholes))) + rng.sample(others, min(_REHEARSED, len(others)))
    rng.shuffle(rows)
    return rows
