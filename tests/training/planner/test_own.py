"""The rows written by hand, and what is written to measure."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from compllm.bench.plan_data import read_gold_plans
from training.planner.banks import fields
from training.planner.build import deduplicated
from training.planner.examples import is_writable, normalised
from training.planner.fourth import mixed
from training.planner.own import HERE, by_hand, own

WRITTEN = [*by_hand("fourth"), *by_hand("fifth"), *by_hand("sixth")]


def test_what_is_written_by_hand_can_be_planned_and_stands_once() -> None:
    assert len(WRITTEN) > 2500
    assert [row.question for row in WRITTEN if not is_writable(row)] == []
    asked = Counter(normalised(row.question) for row in WRITTEN)
    assert [question for question, times in asked.items() if times > 1] == []


def test_a_whole_question_written_by_hand_is_repeated_word_for_word() -> None:
    wholes = [row for row in WRITTEN if len(row.plan.steps) == 1]
    assert len(wholes) > 400
    assert [row.question for row in wholes if row.plan.steps[0].text != row.question] == []


def test_nothing_held_out_is_written_by_hand() -> None:
    _, held = own(random.Random(7))
    assert deduplicated(WRITTEN, {"shapes": held}) == WRITTEN


@pytest.mark.parametrize(("folder", "count"), [("written", 280), ("blind", 320), ("lookalike", 240)])
def test_what_is_written_to_measure_is_well_formed_and_not_trained_on(folder: str, count: int) -> None:
    gold = [each for path in sorted((HERE / "heldout" / folder).glob("*.jsonl")) for each in read_gold_plans(path)]
    asked = {normalised(each.question) for each in gold}
    assert len(asked) == len(gold) == count
    beside = [question for field in fields() for question in field.questions()]
    assert not asked & {normalised(row.question) for row in [*WRITTEN, *mixed(beside, random.Random(1))]}
