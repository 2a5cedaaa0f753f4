"""The eighth pass: what it takes from the passes before."""

from __future__ import annotations

import random
from dataclasses import replace

from training.planner.eighth import eighth_pass
from training.planner.own import by_hand, own


def test_the_eighth_pass_has_all_that_was_written_for_it_and_some_of_every_kind() -> None:
    train, _ = own(random.Random(7))
    whole = next(example for example in train if example.shape == "whole")
    strategies = [replace(train[0], question=str(n), shape="StrategyQA") for n in range(60)]
    wholes = [replace(whole, question=str(n)) for n in range(1000)]
    rows = eighth_pass(wholes, [*train, *strategies, *by_hand("fifth")])
    assert set(by_hand("eighth")) <= set(rows)
    assert set(strategies) <= set(rows)
    assert sum(row in wholes for row in rows) == 700
    assert len(set(rows) & {*by_hand("fifth"), *by_hand("sixth")}) > 1400
    assert len(rows) == len(by_hand("eighth")) + 60 + 1500 + 700 + 800
    assert rows == eighth_pass(wholes, [*train, *strategies, *by_hand("fifth")])
