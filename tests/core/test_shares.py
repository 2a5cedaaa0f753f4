"""Fair shares: the user served least goes first, nobody saves service up, corrections are not lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.shares import Counters, Shares


def test_a_charge_counts_and_an_overcharge_is_taken_off_the_next() -> None:
    counters = Counters()
    counters.charge("a", 10.0)
    counters.charge("a", -4.0)
    assert counters.spent("a") == 10.0
    counters.charge("a", 6.0)
    assert counters.spent("a") == 12.0


def test_who_comes_back_starts_level_with_those_who_stayed() -> None:
    counters = Counters()
    counters.enter("busy")
    for _ in range(5):
        counters.serve("busy", 10.0)
    counters.enter("late")
    assert counters.spent("late") == 40.0  # where the busy one stood when it was served last
    assert counters.spent("busy") == 50.0


def test_of_those_who_have_gone_only_some_are_remembered() -> None:
    counters = Counters()
    for number in range(10_000):
        counters.enter(f"guest{number}")
        counters.leave(f"guest{number}")
        counters.serve(f"guest{number}", 8.0)
    assert len(counters) < 2_500


def test_a_group_is_charged_for_its_members_and_members_count_within_it() -> None:
    shares = Shares()
    for user in ("ann/x", "ann/y", "bob"):
        shares.enter(user)
    shares.serve("ann/x", 10.0)
    assert shares.spent("ann/x") == (10.0, 10.0)
    assert shares.spent("ann/y") == (10.0, 0.0)
    assert shares.spent("bob") == (0.0, 0.0)
    assert sorted(("ann/x", "ann/y", "bob"), key=shares.spent) == ["bob", "ann/y", "ann/x"]


@given(st.lists(st.tuples(st.sampled_from(["a", "a/x", "a/y", "b", "/x"]), st.floats(-50, 50)), max_size=40))
def test_what_orders_users_never_falls(charges: list[tuple[str, float]]) -> None:
    shares = Shares()
    for user, tokens in charges:
        before = shares.spent(user)
        shares.charge(user, tokens)
        assert shares.spent(user) >= before


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-50, 50)), max_size=40))
def test_counters_never_fall_and_lose_nothing(charges: list[tuple[str, float]]) -> None:
    counters, before = Counters(), {"a": 0.0, "b": 0.0, "c": 0.0}
    for name, tokens in charges:
        counters.charge(name, tokens)
        assert counters.spent(name) >= before[name]
        before[name] = counters.spent(name)
    for name in "abc":
        total = sum(tokens for each, tokens in charges if each == name)
        assert abs(counters.spent(name) - counters._overpaid.get(name, 0.0) - total) < 1e-6
