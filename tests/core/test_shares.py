"""Fair shares: the user served least goes first, nobody saves service up, corrections are not lost."""

from __future__ import annotations

from collections import Counter as Multiset

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
        counters.charge("busy", 10.0)
    counters.enter("late")
    assert counters.spent("late") == 50.0


def test_a_newcomer_starts_with_the_lowest_who_waits_whatever_others_were_served() -> None:
    counters = Counters()
    for name in ("busy", "modest"):
        counters.enter(name)
    counters.charge("busy", 1_000.0)
    counters.charge("modest", 30.0)
    counters.enter("late")
    assert counters.spent("late") == 30.0
    counters.leave("modest")
    counters.leave("late")
    counters.enter("later")
    assert counters.spent("later") == 1_000.0  # only the busy one waits


def test_who_comes_when_nobody_waits_starts_where_the_others_left() -> None:
    counters = Counters()
    for name in ("busy", "modest"):
        counters.enter(name)
    counters.charge("busy", 1_000.0)
    counters.charge("modest", 30.0)
    for name in ("busy", "modest"):
        counters.leave(name)
    counters.enter("late")
    assert counters.spent("late") == 1_000.0


def test_coming_and_going_leaves_nothing_behind() -> None:
    counters = Counters()
    counters.enter("patient")
    for _ in range(1_000):
        counters.enter("guest")
        counters.leave("guest")
    assert len(counters._lowest) < 100


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "charge"]), st.sampled_from("abcd")), max_size=80))
def test_the_level_of_newcomers_is_the_lowest_that_waits_and_never_falls(moves: list[tuple[str, str]]) -> None:
    counters, waiting, level = Counters(), Multiset[str](), 0.0
    for move, name in moves:
        before, others = counters.spent(name), [counters.spent(each) for each in +waiting]
        if move == "charge":
            counters.charge(name, 10.0)
        elif move == "leave" and waiting[name]:
            counters.leave(name)
            waiting[name] -= 1
        elif move == "enter":
            counters.enter(name)
            is_new = others and not waiting[name]
            waiting[name] += 1
            assert not is_new or counters.spent(name) == max(before, min(others))
        if +waiting:
            lowest = min(counters.spent(each) for each in +waiting)
            assert lowest >= level
            level = lowest


def test_of_those_who_have_gone_only_some_are_remembered() -> None:
    counters = Counters()
    for number in range(10_000):
        counters.enter(f"guest{number}")
        counters.leave(f"guest{number}")
        counters.charge(f"guest{number}", 8.0)
    assert len(counters) < 2_500


def test_a_group_is_charged_for_its_members_and_members_count_within_it() -> None:
    shares = Shares()
    for user in ("ann/x", "ann/y", "bob"):
        shares.enter(user)
    shares.charge("ann/x", 10.0)
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
