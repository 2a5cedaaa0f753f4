"""The second pass: comparisons across kinds, and rows whose graph the others foretell."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from compllm.planner.language import parse_plan
from training.planner.banks import Web, web
from training.planner.events import amounts_compared, events_compared
from training.planner.examples import Example, is_writable
from training.planner.second import graph, left_out

NET = web(random.Random(7), held_out=False)


@pytest.mark.parametrize("make", [events_compared, amounts_compared])
def test_comparisons_across_kinds_end_in_a_step_that_names_both_sides(
    make: Callable[[Web, random.Random], Example],
) -> None:
    rng = random.Random(1)
    seen = set()
    for _ in range(300):
        example = make(NET, rng)
        *_, last = example.plan.steps
        assert is_writable(example)
        assert "{" not in example.question + example.completion
        assert last.tag == "mathematics"
        assert len(last.references) == 2
        assert last.id - 1 in last.references
        # Every other step feeds exactly one: nothing is asked in vain.
        assert sorted(parent for parent, _ in example.plan.edges) == [step.id for step in example.plan.steps[:-1]]
        seen.add(len(example.plan))
    assert {3, 4} <= seen


def test_the_graph_is_the_edges_alone() -> None:
    one = Example("?", parse_plan("1. a\n2. b\n3. #1 or #2"), "", "")
    assert graph(one) == ((1, 3), (2, 3))


def test_each_row_is_judged_by_the_others() -> None:
    random_ = np.random.default_rng(0)
    kinds = random_.integers(0, 2, 80)
    vectors = random_.normal(size=(80, 6)).astype(np.float32)
    vectors[:, 0] += 6 * kinds
    odd = 5
    told = kinds.copy()
    told[odd] = 1 - told[odd]
    guessed = left_out(vectors, np.eye(2)[told]).argmax(axis=1)
    assert guessed[odd] == kinds[odd] != told[odd]
    assert (guessed == kinds).mean() > 0.95


def test_the_closed_form_is_leaving_one_out() -> None:
    random_ = np.random.default_rng(1)
    vectors, targets = random_.normal(size=(12, 3)).astype(np.float32), random_.normal(size=(12, 2))
    rows = np.hstack([vectors, np.ones((12, 1))]).astype(np.float64)
    penalty = np.diag([10.0] * 3 + [1e-6])
    for n, found in enumerate(left_out(vectors, targets)):
        kept = np.arange(12) != n
        weights = np.linalg.solve(rows[kept].T @ rows[kept] + penalty, rows[kept].T @ targets[kept])
        assert found == pytest.approx(rows[n] @ weights, abs=1e-6)
