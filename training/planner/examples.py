"""What a row of training data is made of: a question and its plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from compllm.core.plan import Plan, SubQuery
from compllm.planner.language import format_plan, parse_plan

SYSTEM = "Plan."
MAX_STEPS = 12

# What the grammar at run time admits: no number sign but in a reference, and no word right behind a reference.
_UNWRITABLE = re.compile(r"#(?!\d+(?![\w]))|\\#|[\x00-\x1f]")
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Question:
    """A single question and the field of its expert."""

    text: str
    tag: str


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its plan, where it comes from and what shape its graph has."""

    question: str
    plan: Plan
    source: str
    shape: str

    @property
    def completion(self) -> str:
        """The plan in the plan language."""
        return format_plan(self.plan)

    def row(self) -> dict[str, str]:
        """Return the example as a row of training data."""
        return {
            "system": SYSTEM,
            "user": self.question,
            "completion": self.completion,
            "source": self.source,
            "shape": self.shape,
        }


def plan_of(steps: Sequence[Question]) -> Plan:
    """Return the plan of these steps, numbered in order; their texts may hold references."""
    return Plan(tuple(SubQuery(n, step.text, step.tag) for n, step in enumerate(steps, 1)))


def is_writable(example: Example) -> bool:
    """Tell whether the grammar of the run time can write this plan and the parser reads the same plan back."""
    steps = example.plan.steps
    if len(steps) > MAX_STEPS or any(_UNWRITABLE.search(step.text) or step.text[0] in "([ " for step in steps):
        return False
    return parse_plan(example.completion, max_steps=MAX_STEPS) == example.plan


def normalised(text: str) -> str:
    """Return the words of a text in lower case, for telling duplicates."""
    return " ".join(_WORDS.findall(text.lower()))
