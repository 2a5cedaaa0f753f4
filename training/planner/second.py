"""The rows of the second pass: what the first left wrong, and StrategyQA only where its graph can be foretold."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compllm.router.onnx_encoder import OnnxEncoder
from training.planner import public
from training.planner.banks import web
from training.planner.events import amounts_compared, events_compared
from training.planner.examples import Example
from training.planner.own import SEED, many, whole
from training.planner.sets import asked, balanced, confirmed

# Chosen by leave-one-out accuracy over the training rows of StrategyQA: 0.42 at 0.3, 0.45 at 3, 0.46 at 10, 0.45 at 30.
_RIDGE = 10.0


def second_pass(
    first: Sequence[Example], sets: dict[str, list[public.Row]], held: dict[str, list[Example]]
) -> list[Example]:
    """Return the rows of the second pass: those of the first, each once, new shapes, and more questions kept whole."""
    rng, net = random.Random(SEED + 1), web(random.Random(SEED), held_out=False)
    rows = list(dict.fromkeys(first))
    rows += many(450, lambda: events_compared(net, rng))
    rows += many(110, lambda: amounts_compared(net, rng))
    if sets:
        encoder = OnnxEncoder()
        unsure = [example for example in rows if example.shape == "StrategyQA"]
        sure = set(foretold(unsure, encoder))
        rows = [example for example in rows if example.shape != "StrategyQA" or example in sure]
        rows += unseen(sets, [*first, *(example for examples in held.values() for example in examples)], encoder, rng)
    rng.shuffle(rows)
    return rows


def unseen(
    sets: dict[str, list[public.Row]], known_rows: Sequence[Example], encoder: OnnxEncoder, rng: random.Random
) -> list[Example]:
    """Return single questions that no row asks or composes, to be kept whole."""
    fresh = confirmed(sets, asked(known_rows, sets), encoder, rng)
    return [whole(single.question, single.source) for single in balanced(fresh, rng, 75)]


def foretold(examples: Sequence[Example], encoder: OnnxEncoder) -> list[Example]:
    """Return the examples whose graph the other examples foretell from the question.

    People split the same question differently, and what cannot be foretold teaches nothing but noise. Ridge regression
    of the graph on the vector of the question, each example judged by the others (the closed form of leave-one-out:
    Allen 1974, "The relationship between variable selection and data augmentation and a method for prediction"); to
    drop the rows that the others contradict is a simple case of "Confident learning" (Northcutt et al. 2021). Cubic in
    the size of a vector.
    """
    graphs = [graph(example) for example in examples]
    kinds = sorted(set(graphs))
    wanted = np.array([kinds.index(each) for each in graphs])
    guessed = left_out(encoder.encode([example.question for example in examples]), np.eye(len(kinds))[wanted])
    return [example for example, right in zip(examples, guessed.argmax(axis=1) == wanted, strict=True) if right]


def graph(example: Example) -> tuple[tuple[int, int], ...]:
    """Return the edges of an example's plan, in order."""
    return tuple(sorted(example.plan.edges))


def left_out(vectors: NDArray[np.float32], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what ridge regression on all other rows says of each: vectors `(n, d)`, targets and result `(n, k)`."""
    rows = np.hstack([vectors, np.ones((len(vectors), 1))]).astype(np.float64)
    penalty = np.diag([_RIDGE] * vectors.shape[1] + [1e-6])
    hat = rows @ np.linalg.solve(rows.T @ rows + penalty, rows.T)
    own = np.diag(hat)[:, None]
    return np.asarray((hat @ targets - own * targets) / (1 - own))
