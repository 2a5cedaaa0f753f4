"""Random questions in the shapes of MultiExpertQA, and what each way of answering makes of them. Pure functions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from compllm.bench.projection.assumptions import EXPERTS, GENERAL, Assumptions, Llm
from compllm.bench.projection.costs import answer_s, prefill_s, token_s
from compllm.core.workload import Workload, WorkNode, WorkRun

Shape: TypeAlias = Literal["P", "D", "All"]
SHAPES: Final[tuple[Shape, ...]] = ("P", "D", "All")
GENERAL_NAME: Final = "general"
# One question at a time: the next comes when the one before has long been answered.
_APART_S = 600.0
# Of all questions, so many are parallel (P), a chain (D), or parts that a last one joins (J), as in our sets.
_MIX: Final = {"P": 60, "D": 20, "J": 20}


@dataclass(frozen=True, slots=True)
class Part:
    """A sub-query: whose it is, the places of the parts whose answers it needs, and the tokens of its own."""

    expert: str
    needs: tuple[int, ...]
    answer_tokens: float


Question: TypeAlias = tuple[Part, ...]


def random_questions(shape: Shape, count: int, given: Assumptions, seed: int) -> list[Question]:
    """Return questions of a shape; the same arguments, and other speeds, give the same questions.

    P: 2 to 5 independent parts. D: chains of 2 to 4. All: mixed with joins (2 or 3 parts and one that needs them).
    """
    dice = random.Random(f"{shape} {seed}")  # noqa: S311 - draws, not secrets
    return [_question(shape, given, dice) for _ in range(count)]


def _question(shape: Shape, given: Assumptions, dice: random.Random) -> Question:
    kind = dice.choices(list(_MIX), list(_MIX.values()))[0] if shape == "All" else shape
    needs: list[tuple[int, ...]]
    if kind == "P":
        needs = [()] * dice.randint(2, 5)
    elif kind == "D":
        needs = [(place - 1,) if place else () for place in range(dice.randint(2, 4))]
    else:
        joined = dice.randint(2, 3)
        needs = [*[()] * joined, tuple(range(joined))]
    experts = sorted(EXPERTS)
    return tuple(
        Part(dice.choice(experts), each, given.answer_tokens * dice.lognormvariate(0.0, given.spread)) for each in needs
    )


def final_tokens(question: Question) -> float:
    """Return the tokens of the whole answer: the parts that no other one needs, one after another."""
    needed = {place for part in question for place in part.needs}
    return sum(part.answer_tokens for place, part in enumerate(question) if place not in needed)


def composed(questions: Sequence[Question], given: Assumptions, *, one_by_one: bool) -> Workload:
    """Return the runs of a composition: the plan is written, its steps are asked as they come, the answer is joined.

    `one_by_one` makes each step wait for the one before it, whether it needs it or not.
    """
    runs = (_composed(f"q{place}", place * _APART_S, each, given) for place, each in enumerate(questions))
    return Workload(tuple(_in_turn(run) if one_by_one else run for run in runs))


def _in_turn(run: WorkRun) -> WorkRun:
    return replace(run, nodes=tuple(replace(node, parents=(node.id - 1,) if node.id > 1 else ()) for node in run.nodes))


def _composed(name: str, at_s: float, question: Question, given: Assumptions) -> WorkRun:
    """Return a run whose node 1 writes the plan, whose last node joins, and whose others are the parts."""
    last = len(question) + 2
    plan_tokens = given.step_tokens * len(question)
    step_s = given.step_tokens * token_s(GENERAL, given.instruction_tokens, given)
    began_s = prefill_s(GENERAL, given.instruction_tokens, given)
    closed_s = began_s + len(question) * step_s
    plan = _node(1, (), GENERAL_NAME, (0.0, plan_tokens), (0.0, plan_tokens), given)
    parts = (
        replace(_part(place, question, given), added_s=began_s + (place + 1) * step_s) for place in range(len(question))
    )
    told = sum(part.answer_tokens for part in question)
    usual = (len(question) * given.answer_tokens, len(question) * given.answer_tokens)
    join = _node(last, tuple(range(1, last)), GENERAL_NAME, (told, final_tokens(question)), usual, given)
    return WorkRun(name, at_s, (plan, *parts, replace(join, added_s=closed_s)), closed_s=closed_s)


def _part(place: int, question: Question, given: Assumptions) -> WorkNode:
    part = question[place]
    told = sum(question[other].answer_tokens for other in part.needs)
    usual = (len(part.needs) * given.answer_tokens, given.answer_tokens)
    parents = tuple(other + 2 for other in part.needs)
    return _node(place + 2, parents, part.expert, (told, part.answer_tokens), usual, given)


def _node(
    number: int,
    parents: tuple[int, ...],
    expert: str,
    tokens: tuple[float, float],
    usual: tuple[float, float],
    given: Assumptions,
) -> WorkNode:
    """Return a node that is told and writes `tokens`, of which the scheduler expects what is `usual`."""
    llm = EXPERTS.get(expert, GENERAL)
    really_s, expected_s = (
        answer_s(llm, given.instruction_tokens + told, written, given) for told, written in (tokens, usual)
    )
    return WorkNode(number, parents, expert, expert, really_s, expected_s)


def monolithic(questions: Sequence[Question], name: str, llm: Llm, gpus: int, given: Assumptions) -> Workload:
    """Return runs of one call each: a model of that name writes the whole answer and nothing else."""
    return Workload(
        tuple(
            WorkRun(f"q{place}", place * _APART_S, (WorkNode(1, (), name, name, seconds, seconds),))
            for place, question in enumerate(questions)
            for seconds in [answer_s(llm, given.instruction_tokens, final_tokens(question), given, gpus)]
        )
    )
