"""Agreement of plans, on plans small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.bench.graphs import agreement, match_steps, parallelism, same_shape
from compllm.planner.language import parse_plan
from compllm.router.base import Vectors

pytest.importorskip("ortools")
pytest.importorskip("networkx")

GOLD = parse_plan("1. a\n2. b\n3. #1 or #2")
AXES: Vectors = np.eye(4, dtype=np.float32)


def test_each_step_stands_for_its_nearest_once() -> None:
    assert match_steps(AXES[[2, 0, 1]], AXES[[0, 1, 2]]) == {0: 2, 1: 0, 2: 1}
    assert match_steps(AXES[[1]], AXES[[0, 1, 2]]) == {0: 1}
    assert match_steps(AXES[[3, 1]], AXES[[1]]) == {1: 0}


def test_the_whole_counts_more_than_the_first_choice() -> None:
    made = np.array([[1.0, 0.0], [0.9, 0.1]], dtype=np.float32)
    gold = np.array([[1.0, 0.0], [0.8, -0.6]], dtype=np.float32)
    assert match_steps(made, gold) == {0: 1, 1: 0}


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
def test_no_other_matching_is_better(made_count: int, gold_count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    made, gold = (random.normal(size=(count, 3)).astype(np.float32) for count in (made_count, gold_count))
    made, gold = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (made, gold))
    matching = match_steps(made, gold)
    assert len(set(matching.values())) == len(matching) <= min(made_count, gold_count)
    total = sum(float(made[a] @ gold[b]) for a, b in matching.items())
    for a, b in matching.items():
        for c, d in matching.items():
            swapped = (
                total - float(made[a] @ gold[b] + made[c] @ gold[d]) + float(made[a] @ gold[d] + made[c] @ gold[b])
            )
            assert a == c or swapped <= total + 1e-4


@pytest.mark.parametrize(
    ("text", "rows", "counts", "exact", "kept"),
    [
        ("1. a\n2. b\n3. #1 or #2", {0: 0, 1: 1, 2: 2}, (2, 2, 2), True, 1.0),
        ("1. b\n2. a\n3. #1 or #2", {0: 1, 1: 0, 2: 2}, (2, 2, 2), True, 1.0),
        ("1. a\n2. b of #1\n3. #1 or #2", {0: 0, 1: 1, 2: 2}, (2, 3, 2), False, 2 / 3),
        ("1. a\n2. b\n3. c", {0: 0, 1: 1, 2: 2}, (0, 0, 2), False, 1.0),
        ("1. a or b", {0: 2}, (0, 0, 2), False, 2 / 3),
        ("1. a\n2. b\n3. #1 or #2\n4. so #3", {0: 0, 1: 1, 2: 2}, (2, 3, 2), False, 8 / 9),
    ],
)
def test_edges_count_under_the_matching(
    text: str, rows: dict[int, int], counts: tuple[int, int, int], exact: bool, kept: float
) -> None:
    agreed = agreement(parse_plan(text), GOLD, rows)
    assert (agreed.edges_right, agreed.edges_made, agreed.edges_gold) == counts
    assert agreed.exact is exact
    assert agreed.parallelism_kept == pytest.approx(kept)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1. x\n2. y\n3. #1 or #2", True),
        ("1. x\n2. y of #1\n3. z of #1", False),
        ("1. x\n2. y of #1\n3. z of #2", False),
        ("1. x\n2. y", False),
        ("1. x\n2. y\n3. z\n4. #1 or #2", False),
    ],
)
def test_the_shape_is_the_graph_without_its_questions(text: str, same: bool) -> None:
    assert same_shape(parse_plan(text), GOLD) is same


def test_the_order_of_steps_makes_no_other_shape() -> None:
    one = parse_plan("1. a\n2. b of #1\n3. c\n4. #2 or #3")
    assert same_shape(one, parse_plan("1. c\n2. a\n3. b of #2\n4. #3 or #1"))
    wrong_way = agreement(one, one, {0: 2, 1: 1, 2: 0, 3: 3})
    assert (wrong_way.exact, wrong_way.same_shape) == (False, True)


def test_a_chain_has_no_parallelism_to_keep() -> None:
    chain = parse_plan("1. a\n2. b of #1")
    assert parallelism(chain) == 1
    assert agreement(chain, chain, {0: 0, 1: 1}).parallelism_kept is None
