"""Token buckets and slots on a clock that the test turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.serve.limits import Bucket, Limit


def test_a_bucket_holds_a_minute_and_says_when_the_next_request_may_come() -> None:
    bucket = Bucket(120)
    assert [bucket.take(10.0) for _ in range(120)] == [0.0] * 120
    assert bucket.take(10.0) == pytest.approx(0.5)
    assert bucket.take(10.4) == pytest.approx(0.1)
    assert bucket.take(10.5) == 0.0
    assert bucket.take(10.5) > 0


def test_without_a_rate_nobody_waits() -> None:
    bucket = Bucket()
    assert all(bucket.take(0.0) == 0 for _ in range(1000))


@given(
    st.integers(1, 600), st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=400), st.floats(0, 1_000_000)
)
def test_never_more_than_a_minute_s_requests_and_what_trickles_in(rate: int, gaps: list[float], now_s: float) -> None:
    bucket, began_s, taken = Bucket(rate), now_s, 0
    for gap_s in gaps:
        now_s += gap_s
        wait_s = bucket.take(now_s)
        taken += not wait_s
        assert wait_s <= 60 / rate * 1.000001
    assert taken <= rate + (now_s - began_s) * rate / 60 + 1e-6


def test_slots_are_given_back_and_a_refusal_takes_nothing() -> None:
    limit = Limit()
    limit.allow(60, 1)
    assert limit.enter(0.0) == 0.0
    assert all(limit.enter(0.0) > 0 for _ in range(100))
    limit.leave()
    entered = 0
    while not limit.enter(0.0):
        limit.leave()
        entered += 1
    assert entered == 59  # the hundred refusals have cost no token


def test_other_bounds_hold_at_once_and_what_is_under_way_still_counts() -> None:
    limit = Limit()
    assert limit.enter(0.0) == limit.enter(0.0) == 0.0
    limit.allow(None, 1)
    limit.leave()
    assert limit.enter(0.0) > 0
    limit.leave()
    assert limit.enter(0.0) == 0.0
    limit.allow(30, None)
    assert sum(not limit.enter(0.0) for _ in range(100)) == 30
