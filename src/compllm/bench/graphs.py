"""How far two plans agree: which step stands for which, and what that makes of their edges. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compllm.core.plan import Plan
from compllm.errors import ConfigError
from compllm.router.base import Vectors

_PARTS_OF_A_COSINE = 1_000_000


@dataclass(frozen=True, slots=True)
class Agreement:
    """A plan against the gold one; edges are counted under the matching of steps, and `exact` is told by it.

    `same_shape` asks less: whether the graphs are the same, whatever the steps ask. `parallelism_kept` is the share of
    the gold plan's parallelism (steps over the longest chain) that the plan has, at most 1; None where the gold plan is
    a chain.
    """

    matching: Mapping[int, int]
    edges_right: int
    edges_made: int
    edges_gold: int
    steps_off: int
    exact: bool
    same_shape: bool
    parallelism_kept: float | None


def match_steps(made: Vectors, gold: Vectors) -> dict[int, int]:
    """Return the pairs of rows, made to gold, with the greatest sum of cosines; both are unit vectors `(steps, d)`.

    A linear sum assignment, solved by OR-tools (Goldberg and Kennedy 1995, "An efficient cost scaling algorithm for the
    assignment problem"); the smaller side is filled up with steps that are like nothing.

    Raises:
        ConfigError: OR-tools is not installed.
    """
    try:
        from ortools.graph.python.linear_sum_assignment import SimpleLinearSumAssignment
    except ImportError:
        raise ConfigError("the matching of steps is not installed: pip install 'compllm[bench]'") from None

    size = max(len(made), len(gold))
    cosines = np.zeros((size, size))
    cosines[: len(made), : len(gold)] = made @ gold.T
    costs = np.rint((1 - cosines) * _PARTS_OF_A_COSINE).astype(np.int64)
    left, right = np.indices((size, size), dtype=np.int32)
    problem = SimpleLinearSumAssignment()
    problem.add_arcs_with_cost(left.ravel(), right.ravel(), costs.ravel())
    problem.solve()
    pairs = {row: problem.right_mate(row) for row in range(len(made))}
    return {row: mate for row, mate in pairs.items() if mate < len(gold)}


def agreement(made: Plan, gold: Plan, rows: Mapping[int, int]) -> Agreement:
    """Compare two plans whose steps are matched by their places, made to gold."""
    matching = {made.steps[row].id: gold.steps[mate].id for row, mate in rows.items()}
    translated = {(matching.get(a), matching.get(b)) for a, b in made.edges}
    right = len(translated & set(gold.edges))
    exact = len(made) == len(gold) and translated == set(gold.edges)
    wide = parallelism(gold)
    return Agreement(
        matching,
        right,
        len(made.edges),
        len(gold.edges),
        abs(len(made) - len(gold)),
        exact,
        exact or same_shape(made, gold),
        min(1.0, parallelism(made) / wide) if wide > 1 else None,
    )


def same_shape(one: Plan, other: Plan) -> bool:
    """Tell whether two plans have the same graph up to the names of their steps (networkx's VF2: Cordella et al. 2004).

    Exponential in the worst case; plans have a dozen steps at most.

    Raises:
        ConfigError: networkx is not installed.
    """
    try:
        import networkx
    except ImportError:
        raise ConfigError("the comparison of graphs is not installed: pip install 'compllm[bench]'") from None

    graphs = []
    for plan in (one, other):
        graph = networkx.DiGraph(plan.edges)
        graph.add_nodes_from(step.id for step in plan.steps)
        graphs.append(graph)
    return bool(networkx.is_isomorphic(*graphs))


def parallelism(plan: Plan) -> float:
    """Return the steps over those of the longest chain: how much faster the plan is than one step after another."""
    _, longest = plan.critical_path({step.id: 1.0 for step in plan.steps})
    return len(plan) / longest
