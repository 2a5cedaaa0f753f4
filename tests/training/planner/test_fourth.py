"""The fourth pass: dependent questions beside others, and the rows written by hand."""

from __future__ import annotations

import random
from collections import Counter

from compllm.bench.plan_data import read_gold_plans
from compllm.core.plan import Plan
from training.planner.banks import fields
from training.planner.build import deduplicated
from training.planner.examples import is_writable, normalised
from training.planner.fourth import by_hand, mixed
from training.planner.own import HERE, own

BESIDE = [question for field in fields() for question in field.questions()]


def test_every_mixed_question_asks_something_dependent_and_something_else() -> None:
    for example in mixed(BESIDE, random.Random(1)):
        assert is_writable(example)
        assert "{" not in example.question + example.completion
        assert example.plan.edges
        assert _parts(example.plan) >= 2


def test_mixed_rows_are_seeded() -> None:
    assert mixed(BESIDE, random.Random(1)) == mixed(BESIDE, random.Random(1))


def test_what_is_written_by_hand_can_be_planned_and_stands_once() -> None:
    rows = by_hand()
    assert len(rows) > 1000
    assert [row.question for row in rows if not is_writable(row)] == []
    asked = Counter(normalised(row.question) for row in rows)
    assert [question for question, times in asked.items() if times > 1] == []


def test_a_whole_question_written_by_hand_is_repeated_word_for_word() -> None:
    wholes = [row for row in by_hand() if len(row.plan.steps) == 1]
    assert len(wholes) > 200
    assert [row.question for row in wholes if row.plan.steps[0].text != row.question] == []


def test_nothing_held_out_is_written_by_hand() -> None:
    _, held = own(random.Random(7))
    rows = by_hand()
    assert deduplicated(rows, {"shapes": held}) == rows


def test_what_is_written_to_measure_is_well_formed_and_not_trained_on() -> None:
    gold = [each for path in sorted((HERE / "heldout" / "written").glob("*.jsonl")) for each in read_gold_plans(path)]
    assert len(gold) == 280
    asked = {normalised(each.question) for each in gold}
    assert len(asked) == 280
    assert not asked & {normalised(row.question) for row in [*by_hand(), *mixed(BESIDE, random.Random(1))]}


def _parts(plan: Plan) -> int:
    """Count the steps that no later step of the same part needs: one for every part that ends."""
    used = {parent for step in plan.steps for parent in step.parents}
    return sum(step.id not in used for step in plan.steps)
