"""Backoff and the circuit breaker."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.health import Backoff, Health

BACKOFF = Backoff(first_s=1.0, longest_s=5.0, breaker_failures=3, breaker_s=60.0)


def fail(health: Health, now_s: float, *, retryable: bool = True) -> None:
    health.note_failure(BACKOFF, "boom", now_s, retryable=retryable)


def test_pauses_double_up_to_the_longest() -> None:
    assert [BACKOFF.pause_s(n) for n in range(6)] == [1.0, 1.0, 2.0, 4.0, 5.0, 5.0]


@given(st.integers(0, 1_000))
def test_a_pause_is_never_longer_than_the_longest(failures: int) -> None:
    assert BACKOFF.pause_s(failures) <= BACKOFF.longest_s <= BACKOFF.pause_s(failures + 1_000)


def test_a_new_model_rests_for_no_time() -> None:
    assert Health().rests_until_s == -math.inf
    assert not Health().broken


def test_failures_in_a_row_open_the_circuit() -> None:
    health = Health()
    fail(health, 10.0)
    assert (health.rests_until_s, health.broken, health.reason) == (11.0, False, "boom")
    fail(health, 11.0)
    assert (health.rests_until_s, health.broken) == (13.0, False)
    fail(health, 13.0)
    assert (health.rests_until_s, health.broken) == (73.0, True)


def test_half_open_one_more_failure_opens_it_again() -> None:
    health = Health()
    for now_s in (0.0, 0.0, 0.0):
        fail(health, now_s)
    fail(health, 60.0)
    assert (health.rests_until_s, health.broken) == (120.0, True)


def test_a_success_starts_a_new_record() -> None:
    health = Health()
    for now_s in (0.0, 0.0, 0.0):
        fail(health, now_s)
    health.note_success()
    fail(health, 100.0)
    assert (health.failures, health.rests_until_s, health.broken) == (1, 101.0, False)


def test_what_is_not_retryable_opens_it_at_once() -> None:
    health = Health()
    fail(health, 0.0, retryable=False)
    assert (health.broken, health.rests_until_s) == (True, 60.0)


def test_a_rest_never_shrinks() -> None:
    health = Health()
    fail(health, 0.0, retryable=False)
    fail(health, 1.0)
    assert health.rests_until_s == 61.0
