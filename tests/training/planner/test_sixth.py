"""The sixth pass: what it takes from the fifth."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from training.planner.build import repeated
from training.planner.own import by_hand, own
from training.planner.sixth import sixth_pass


def test_the_sixth_pass_keeps_what_is_written_and_strategies_and_adds_to_them() -> None:
    train, _ = own(random.Random(7))
    fifth = [*train, *by_hand("fifth"), replace(train[0], shape="StrategyQA")]
    rows = sixth_pass(fifth)
    assert {*by_hand("fifth"), *by_hand("sixth"), fifth[-1]} <= set(rows)
    assert 500 <= sum(row.shape == "whole" for row in rows) < sum(row.shape == "whole" for row in fifth)
    assert rows == sixth_pass(fifth)


def test_what_is_written_for_a_pass_comes_once_in_each_half_of_it() -> None:
    written = set(by_hand("sixth"))
    rows = sixth_pass(by_hand("fifth"))
    twice = repeated(rows, random.Random(1), lambda example: example in written)
    assert {row for row, times in Counter(twice).items() if times == 2} == written
    half = len(twice) // 2
    assert len(written & set(twice[:half])) > 0.9 * len(written)
