"""The fourth pass: dependent questions beside others."""

from __future__ import annotations

import random

from compllm.core.plan import Plan
from training.planner.banks import fields
from training.planner.examples import is_writable
from training.planner.fourth import mixed

BESIDE = [question for field in fields() for question in field.questions()]


def test_every_mixed_question_asks_something_dependent_and_something_else() -> None:
    for example in mixed(BESIDE, random.Random(1)):
        assert is_writable(example)
        assert "{" not in example.question + example.completion
        assert example.plan.edges
        assert _parts(example.plan) >= 2


def test_mixed_rows_are_seeded() -> None:
    assert mixed(BESIDE, random.Random(1)) == mixed(BESIDE, random.Random(1))


def _parts(plan: Plan) -> int:
    """Count the steps that no later step of the same part needs: one for every part that ends."""
    used = {parent for step in plan.steps for parent in step.parents}
    return sum(step.id not in used for step in plan.steps)
