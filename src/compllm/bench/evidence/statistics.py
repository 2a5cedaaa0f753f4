"""Confidence intervals and paired tests; seeded, so the same records give the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_SEED = 20251126
_LEVEL_PERCENT = 95.0
# Values drawn at a time: memory does not grow with the questions.
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds of its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a mean lies above another over the same questions, with its interval and the p-value of no difference.

    `questions` is how many both have a value for.
    """

    interval: Interval
    p_value: float
    questions: int


def interval(values: Sequence[float]) -> Interval:
    """Return the mean with its percentile bootstrap interval (Efron 1979); O(resamples * values).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values, no mean")
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(_SEED)
    means = _means(len(data), lambda rows: data[rng.integers(0, len(data), (rows, len(data)))])
    low, high = np.percentile(means, [(100 - _LEVEL_PERCENT) / 2, (100 + _LEVEL_PERCENT) / 2])
    return Interval(float(data.mean()), float(low), float(high))


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two systems on the same questions by a two-sided sign-flip randomisation test (Fisher 1935).

    Raises:
        ValueError: there are no values, or not as many of one as of the other.
    """
    if len(first) != len(second):
        raise ValueError("a paired test needs as many values of one as of the other")
    if not first:
        raise ValueError("no values, no difference")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    rng = np.random.default_rng(_SEED)
    means = _means(len(differences), lambda rows: rng.choice((-1.0, 1.0), (rows, len(differences))) * differences)
    flipped = np.abs(means)
    as_far = int((flipped >= abs(differences.mean()) - 1e-12).sum())
    return Difference(interval(differences.tolist()), (as_far + 1) / (RESAMPLES + 1), len(differences))


def _means(count: int, draw: Callable[[int], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the means of as many draws of so many values as there are resamples; `draw` makes that many rows."""
    rows = max(1, _BLOCK // count)
    blocks = [draw(min(rows, RESAMPLES - first)).mean(axis=1) for first in range(0, RESAMPLES, rows)]
    return np.concatenate(blocks)
