"""The seventh pass: what it takes from the passes before."""

from __future__ import annotations

import random
from dataclasses import replace

from training.planner.own import by_hand, own
from training.planner.seventh import seventh_pass


def test_the_seventh_pass_takes_some_of_every_kind() -> None:
    train, _ = own(random.Random(7))
    whole = next(example for example in train if example.shape == "whole")
    strategies = [replace(train[0], question=str(n), shape="StrategyQA") for n in range(600)]
    wholes = [replace(whole, question=str(n)) for n in range(1000)]
    rows = seventh_pass(wholes, [*train, *strategies])
    assert sum(row in strategies for row in rows) == 500
    assert sum(row in wholes for row in rows) == 800
    assert len(set(rows) & set(by_hand("sixth"))) == 500
    assert len(rows) == 2300
    assert rows == seventh_pass(wholes, [*train, *strategies])
