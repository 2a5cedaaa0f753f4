"""Fair shares: the user served least goes first, nobody saves service up, corrections are not lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.shares import Shares


def test_a_charge_counts_and_an_overcharge_is_taken_off_the_next() -> None:
    shares = Shares()
    shares.charge("a", 10.0)
    shares.charge("a", -4.0)
    assert shares.spent("a") == 10.0
    shares.charge("a", 6.0)
    assert shares.spent("a") == 12.0


def test_who_comes_back_starts_level_with_those_who_stayed() -> None:
    shares = Shares()
    shares.enter("busy")
    for _ in range(5):
        shares.serve("busy", 10.0)
    shares.enter("late")
    assert shares.spent("late") == 40.0  # where the busy one stood when it was served last
    assert shares.spent("busy") == 50.0


def test_who_was_never_served_more_than_others_is_forgotten() -> None:
    shares = Shares()
    shares.enter("once")
    shares.leave("once")
    assert shares._spent == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-50, 50)), max_size=40))
def test_counters_never_fall_and_lose_nothing(charges: list[tuple[str, float]]) -> None:
    shares, before = Shares(), {"a": 0.0, "b": 0.0, "c": 0.0}
    for user, tokens in charges:
        shares.charge(user, tokens)
        assert shares.spent(user) >= before[user]
        before[user] = shares.spent(user)
    for user in "abc":
        total = sum(tokens for each, tokens in charges if each == user)
        assert abs(shares.spent(user) - shares._overpaid.get(user, 0.0) - total) < 1e-6
