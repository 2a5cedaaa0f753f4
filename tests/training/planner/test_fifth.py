"""The fifth pass: what it takes from the passes before."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from training.planner.examples import Example
from training.planner.fifth import fifth_pass
from training.planner.own import by_hand, own


def test_the_fifth_pass_brings_back_letters_and_compounds_and_adds_what_is_written() -> None:
    train, _ = own(random.Random(7))
    first = [
        *train,
        *(_with(train[0], shape, source) for shape, source in (("letter", "composed"), ("join", "compound"))),
    ]
    rows = fifth_pass(first, by_hand("fourth"))
    assert first[-2] in rows
    assert first[-1] in rows
    assert train[0] not in rows
    assert set(by_hand("fifth")) <= set(rows)
    assert max(Counter(rows).values()) == 1
    assert rows == fifth_pass(first, by_hand("fourth"))


def _with(example: Example, shape: str, source: str) -> Example:
    return replace(example, shape=shape, source=source)
