"""The rows of the fifth pass: twice as many written by hand, and what the later passes rehearsed too little."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.planner.examples import Example
from training.planner.own import SEED, by_hand

# Shapes and sources of the first pass that come whole: letters ("Let X be ..."), joined years, people's compounds.
_SHAPES = frozenset({"letter", "join-2", "join-3"})
_SOURCES = frozenset({"compound", "2WikiMultihopQA", "compositional celebrities"})
_REHEARSED, _WHOLE = 2000, 1100


def fifth_pass(first: Sequence[Example], fourth: Sequence[Example]) -> list[Example]:
    """Return the rows of the fifth pass: some of the first whole, and of the fourth a part."""
    rng = random.Random(SEED + 4)
    back = dict.fromkeys(e for e in first if e.shape in _SHAPES or e.source in _SOURCES)
    rest = [e for e in fourth if e not in back]
    kept = [e for e in rest if e.shape in ("StrategyQA", "written")]
    wholes = [e for e in rest if e.shape == "whole"]
    others = [e for e in rest if e.shape not in ("StrategyQA", "written", "whole")]
    rows = [*back, *kept, *by_hand("fifth")]
    rows += rng.sample(wholes, min(_WHOLE, len(wholes))) + rng.sample(others, min(_REHEARSED, len(others)))
    rng.shuffle(rows)
    return rows
