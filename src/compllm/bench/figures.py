"""Figures as the benches give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Figures: TypeAlias = dict[str, object]


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return rounded(sum(values) / len(values)) if values else None


def ratio(part: float, whole: float) -> float | None:
    """Return a share, or None of nothing."""
    return rounded(part / whole) if whole else None


def percentiles(name: str, seconds: Sequence[float]) -> Figures:
    """Return the median and the 95th percentile, named after what was timed."""
    return {f"{name}_p{share}": rounded(float(np.percentile(seconds, share))) for share in (50, 95)}


def rounded(value: float) -> float:
    """Return a figure to four places."""
    return round(float(value), 4)
