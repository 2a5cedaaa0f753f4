"""Demand: how many nodes a model has left, and which is next."""

from __future__ import annotations

import math

from compllm.core.demand import Demand
from compllm.core.nodes import Node
from compllm.core.routing import Candidate


def waiting(number: int, model: str, expected_s: float) -> Node:
    return Node(("r", number), 1.0, (Candidate("e", model),), final=True, parents=(), expected_s=expected_s)


def test_the_node_expected_first_is_next_and_one_that_runs_is_no_longer() -> None:
    demand, late, soon = Demand(), waiting(1, "m", 9.0), waiting(2, "m", 2.0)
    demand.add(late)
    demand.add(soon)
    assert (demand.of("m"), demand.next_node("m"), demand.next_use_s("m")) == (2, soon, 2.0)
    soon.move("ready", 0.0)
    soon.move("running", 0.0)
    assert (demand.of("m"), demand.next_node("m")) == (2, late)


def test_a_changed_expectation_replaces_the_old_one() -> None:
    demand, one, two = Demand(), waiting(1, "m", 1.0), waiting(2, "m", 2.0)
    demand.add(one)
    demand.add(two)
    one.expected_s = 5.0
    demand.expect(one)
    assert demand.next_node("m") is two
    demand.remove(two)
    two.move("cancelled", 0.0)
    assert demand.next_use_s("m") == 5.0


def test_a_model_that_nobody_needs_is_needed_never() -> None:
    demand, only = Demand(), waiting(1, "m", 1.0)
    assert demand.next_use_s("m") == math.inf
    demand.add(only)
    demand.remove(only)
    assert (demand.of("m"), demand.next_node("m"), demand.next_use_s("m")) == (0, None, math.inf)
