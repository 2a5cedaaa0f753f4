"""Who is evicted: the least valuable, and no more than needed."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.ledger import Model, Replica
from compllm.core.policy import Credits, Victim, choose_victims, priority

NEVER = math.inf


def victim(
    name: str, size: int, *, idle_s: float = NEVER, load_s: float = 1.0, credit: float = 0.0, used_at_s: float = 0.0
) -> Victim:
    replica = Replica(Model(name, size, load_s=load_s), "cpu", size, "resident", used_at_s=used_at_s)
    return Victim(replica, idle_s, load_s, credit)


def chosen(candidates: list[Victim], need_bytes: int) -> list[str]:
    return [replica.model.name for replica in choose_victims(candidates, need_bytes)]


def test_priority_counts_the_load() -> None:
    assert priority(3.0, 2.0) == 5.0


def test_what_no_plan_needs_goes_before_what_one_needs() -> None:
    assert chosen([victim("needed", 10, idle_s=900.0), victim("free", 10, credit=9.0)], 5) == ["free"]


def test_of_what_is_needed_the_farthest_next_use_goes_first() -> None:
    assert chosen([victim("soon", 10, idle_s=1.0), victim("late", 10, idle_s=9.0)], 5) == ["late"]


def test_the_distance_is_weighted_by_reload_seconds_per_byte() -> None:
    dear, cheap = victim("dear", 10, idle_s=9.0, load_s=10.0), victim("cheap", 10, idle_s=5.0, load_s=1.0)
    assert chosen([dear, cheap], 5) == ["cheap"]
    assert chosen([victim("small", 5, idle_s=9.0), victim("large", 50, idle_s=5.0)], 5) == ["large"]


def test_outside_the_plans_credit_decides_then_the_longest_idle_then_the_name() -> None:
    assert chosen([victim("a", 10, credit=2.0), victim("b", 10, credit=1.0)], 5) == ["b"]
    assert chosen([victim("a", 10, used_at_s=2.0), victim("b", 10, used_at_s=1.0)], 5) == ["b"]
    assert chosen([victim("b", 10), victim("a", 10)], 5) == ["a"]


def test_credit_grows_with_use_and_falls_behind_with_age() -> None:
    kept = Credits()
    for _ in range(3):
        kept.note_use("often", reload_s=4.0, size_bytes=2)
    kept.note_use("once", reload_s=4.0, size_bytes=2)
    assert (kept.of("often"), kept.of("once"), kept.of("never")) == (6.0, 2.0, 0.0)
    for _ in range(3):
        kept.note_eviction("once")
        kept.note_use("once", reload_s=4.0, size_bytes=2)
    assert kept.of("once") > kept.of("often")


def test_a_victim_that_a_larger_one_makes_superfluous_is_spared() -> None:
    assert chosen([victim("small", 5), victim("large", 50, idle_s=1.0)], 20) == ["large"]
    assert chosen([victim("small", 5), victim("large", 50, idle_s=1.0)], 52) == ["small", "large"]


def test_nothing_is_evicted_in_vain() -> None:
    assert chosen([victim("a", 5), victim("b", 5)], 11) == []
    assert chosen([victim("a", 5)], 0) == []
    assert chosen([victim("a", 5)], -3) == []
    assert chosen([], 1) == []


VICTIMS = st.lists(
    st.tuples(st.integers(1, 20), st.sampled_from([0.0, 1.0, 5.0, NEVER]), st.floats(0.1, 9)), max_size=7
).map(lambda rows: [victim(f"m{n}", size, idle_s=idle, load_s=s) for n, (size, idle, s) in enumerate(rows)])


@given(VICTIMS, st.integers(1, 60), st.randoms(use_true_random=False))
def test_the_set_suffices_and_no_member_can_be_spared(candidates: list[Victim], need_bytes: int, rng: object) -> None:
    replicas = choose_victims(candidates, need_bytes)
    sizes = [replica.bytes for replica in replicas]
    if sum(c.replica.bytes for c in candidates) < need_bytes:
        assert not replicas
    else:
        assert sum(sizes) >= need_bytes
        assert all(sum(sizes) - size < need_bytes for size in sizes)
    rng.shuffle(candidates)  # type: ignore[attr-defined]
    assert choose_victims(candidates, need_bytes) == replicas


@given(VICTIMS, st.integers(1, 60))
def test_what_plans_need_goes_only_where_the_rest_does_not_suffice(candidates: list[Victim], need_bytes: int) -> None:
    replicas = choose_victims(candidates, need_bytes)
    if any(c.idle_s < NEVER for c in candidates if c.replica in replicas):
        assert sum(c.replica.bytes for c in candidates if c.idle_s == NEVER) < need_bytes
