"""Who is evicted: the least valuable, and no more than needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.ledger import Model, Replica
from compllm.core.policy import Victim, choose_victims, priority


def victim(name: str, size: int, *, demand: int = 0, load_s: float = 1.0, used_at_s: float = 0.0) -> Victim:
    replica = Replica(Model(name, size, load_s=load_s), "cpu", size, "resident", used_at_s=used_at_s)
    return Victim(replica, demand)


def chosen(candidates: list[Victim], need_bytes: int) -> list[str]:
    return [replica.model.name for replica in choose_victims(candidates, need_bytes)]


def test_priority_counts_the_load() -> None:
    assert priority(3.0, 2.0) == 5.0


def test_the_one_with_the_least_demand_goes_first() -> None:
    assert chosen([victim("a", 10, demand=2), victim("b", 10, demand=1)], 5) == ["b"]


def test_then_the_cheapest_to_reload_per_byte_then_the_longest_idle_then_by_name() -> None:
    assert chosen([victim("a", 10, load_s=9.0), victim("b", 20, load_s=10.0)], 5) == ["b"]
    assert chosen([victim("a", 10, used_at_s=2.0), victim("b", 10, used_at_s=1.0)], 5) == ["b"]
    assert chosen([victim("b", 10), victim("a", 10)], 5) == ["a"]


def test_a_victim_that_a_larger_one_makes_superfluous_is_spared() -> None:
    assert chosen([victim("small", 5), victim("large", 50, demand=1)], 20) == ["large"]
    assert chosen([victim("small", 5), victim("large", 50, demand=1)], 52) == ["small", "large"]


def test_nothing_is_evicted_in_vain() -> None:
    assert chosen([victim("a", 5), victim("b", 5)], 11) == []
    assert chosen([victim("a", 5)], 0) == []
    assert chosen([victim("a", 5)], -3) == []
    assert chosen([], 1) == []


VICTIMS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3), st.floats(0.1, 9)), max_size=7).map(
    lambda rows: [victim(f"m{n}", size, demand=d, load_s=s) for n, (size, d, s) in enumerate(rows)]
)


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
def test_no_victim_is_more_in_demand_than_needed(candidates: list[Victim], need_bytes: int) -> None:
    worst = max((c.demand for c in candidates if c.replica in choose_victims(candidates, need_bytes)), default=0)
    assert sum(c.replica.bytes for c in candidates if c.demand < worst) < need_bytes
