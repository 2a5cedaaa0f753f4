from __future__ import annotations

import tracemalloc

import pytest

from compllm.bench.evidence.statistics import interval, paired


def test_an_interval_holds_its_mean_and_narrows_with_more_values() -> None:
    few, many = interval([0.0, 1.0] * 5), interval([0.0, 1.0] * 50)
    assert few.low < few.mean == many.mean == 0.5 < few.high
    assert many.high - many.low < few.high - few.low
    assert interval([0.0, 1.0] * 5) == few


def test_values_without_spread_have_no_interval() -> None:
    alike = interval([0.25] * 8)
    assert (alike.low, alike.mean, alike.high) == (0.25, 0.25, 0.25)


def test_the_half_width_is_that_of_the_normal_approximation() -> None:
    spread = interval([0.0, 1.0] * 200)
    assert spread.high - spread.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.05)


def test_a_steady_difference_is_significant_and_noise_is_not() -> None:
    base = [0.1 * n for n in range(10)]
    better = paired([value + 0.2 for value in base], base)
    assert better.interval.mean == pytest.approx(0.2)
    assert better.p_value < 0.01
    assert paired([1, 0] * 10, [0, 1] * 10).p_value > 0.9
    assert paired(base, base).p_value == 1.0


def test_the_exact_p_value_is_met() -> None:
    """Five differences of one sign: 2 of 32 sign patterns are as extreme."""
    assert paired([1.0] * 5, [0.0] * 5).p_value == pytest.approx(2 / 32, rel=0.15)


def test_memory_does_not_grow_with_the_questions() -> None:
    values = [number / 400 for number in range(400)]
    tracemalloc.start()
    try:
        paired(values, values[::-1])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 50 * 2**20


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="as many"):
        paired([1.0], [])
    with pytest.raises(ValueError, match="no values"):
        paired([], [])
    with pytest.raises(ValueError, match="no values"):
        interval([])
