"""Plans: references, one-pass substitution, order, readiness and the critical path."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.plan import Plan, SubQuery
from compllm.errors import PlanCycleError, PlanError


def chain(*parents: tuple[int, ...]) -> Plan:
    """Make a plan whose step n waits for the n-th tuple."""
    return Plan(tuple(SubQuery(n, f"q{n}", after=frozenset(p)) for n, p in enumerate(parents, 1)))


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("What is the population of #1?", {1}),
        ("#1 or #2, (#3)", {1, 2, 3}),
        ("#12", {12}),
        ("$1 and $100", set()),
        ("C#1 and F#2", set()),
        (r"\#1 is a literal", set()),
        ("##1", set()),
        ("&#49; is an entity", set()),
        ("#1st place", set()),
        ("#1_000", set()),
        ("# 1", set()),
        ("issue #1234567890", set()),
        ("#1#2", {1}),
    ],
)
def test_references(text: str, references: set[int]) -> None:
    assert SubQuery(99, text).references == references


def test_parents_are_references_and_edges_without_substitution() -> None:
    step = SubQuery(4, "#3 and #1", after=frozenset({2, 3}))
    assert step.parents == (1, 2, 3)
    assert step.substitute({1: "a", 3: "c"}) == "c and a"


def test_substitution_is_one_pass() -> None:
    step = SubQuery(3, r"$100 in #1, \#2 and C#1 with #2")
    assert (
        step.substitute({1: " #2 costs $1 \n", 2: r"\#1 \1 \g<0> #1"})
        == r"$100 in #2 costs $1, #2 and C#1 with \#1 \1 \g<0> #1"
    )


def test_substitution_needs_every_answer() -> None:
    with pytest.raises(PlanError, match="step 3 needs the answer of step 2"):
        SubQuery(3, "#1 #2").substitute({1: "x"})


def test_display_keeps_references_and_drops_escapes() -> None:
    assert SubQuery(2, r"Is \#1 at #1?").display == "Is #1 at #1?"


@given(st.text(alphabet=st.sampled_from("\\#&$C1 2a_.é\n"), max_size=12) | st.text())
def test_literal_text_has_no_references_and_reads_the_same(text: str) -> None:
    step = SubQuery.literal(1, text)
    assert not step.references
    assert step.display == step.substitute({}) == text


@given(st.text(alphabet=st.sampled_from("\\#&$C1 2a_."), max_size=12), st.text(alphabet="#12$\\ ", max_size=6))
def test_answers_are_inserted_as_they_are(text: str, answer: str) -> None:
    step = SubQuery(3, text)
    marked = step.substitute(dict.fromkeys(step.references, "\0"))
    assert step.substitute(dict.fromkeys(step.references, answer)) == marked.replace("\0", answer.strip())


def test_order_is_topological_smallest_first() -> None:
    plan = chain((3,), (), (), (1, 2))
    assert plan.order == (2, 3, 1, 4)
    assert plan.edges == ((1, 4), (2, 4), (3, 1))
    assert len(plan) == 4
    assert plan[4].parents == (1, 2)


def test_ready_are_those_whose_parents_are_completed() -> None:
    plan = chain((), (), (1, 2), (3,))
    assert plan.ready(frozenset()) == {1, 2}
    assert plan.ready(frozenset({1})) == {2}
    assert plan.ready(frozenset({1, 2})) == {3}
    assert plan.ready(frozenset({1, 2, 3, 4})) == frozenset()


def test_critical_path() -> None:
    plan = chain((), (), (1, 2), (1,), (3, 4))
    assert plan.critical_path({1: 1.0, 2: 3.0, 3: 1.0, 4: 2.0, 5: 0.5}) == ((2, 3, 5), 4.5)
    assert chain(()).critical_path({1: 0.0}) == ((1,), 0.0)


def test_a_tie_of_critical_paths_goes_to_the_smallest_ids() -> None:
    assert chain((), (), (1, 2)).critical_path(dict.fromkeys((1, 2, 3), 1.0)) == ((1, 3), 2.0)


@given(st.lists(st.floats(0, 10), min_size=6, max_size=6), st.sets(st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_the_critical_path_is_the_longest_of_all_chains(durations: list[float], pairs: set[tuple[int, int]]) -> None:
    plan = chain(*(tuple(a for a, b in pairs if b == n and a < n) for n in range(1, 7)))
    duration_s = dict(enumerate(durations, 1))
    path, length_s = plan.critical_path(duration_s)

    def longest_s(step: int) -> float:
        return duration_s[step] + max((longest_s(parent) for parent in plan[step].parents), default=0.0)

    assert length_s == max(longest_s(step) for step in plan.order)
    assert length_s == pytest.approx(sum(duration_s[step] for step in path))
    assert all(a in plan[b].parents for a, b in itertools.pairwise(path))


def test_cycles_are_named() -> None:
    with pytest.raises(PlanCycleError) as caught:
        chain((), (4, 1), (2,), (3,), (4,))
    cycle = caught.value.cycle
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {2, 3, 4}
    assert "#2 -> #3 -> #4 -> #2" in str(caught.value)


def test_a_step_that_needs_itself_is_a_cycle() -> None:
    with pytest.raises(PlanCycleError) as caught:
        chain((1,))
    assert caught.value.cycle == (1, 1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "no steps"),
        ((SubQuery(1, "a"), SubQuery(1, "b")), "same number"),
        ((SubQuery(1, "a"), SubQuery(2, "#7")), "step 2 needs step 7"),
    ],
)
def test_unusable_plans(steps: tuple[SubQuery, ...], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan(steps)


@given(st.text(alphabet="ab #\\123&C", max_size=12), st.frozensets(st.integers(1, 3)))
def test_a_step_comes_back_from_what_it_looks_like(text: str, after: frozenset[int]) -> None:
    step = SubQuery(4, text, "x", after)
    shown = SubQuery.shown(4, step.display, "x", step.parents)
    assert (shown.display, shown.parents, shown.tag) == (step.display, step.parents, "x")


def test_what_only_looks_like_a_reference_is_none_when_it_comes_back() -> None:
    step = SubQuery.literal(3, "Is #1 before #2?", "x")
    assert SubQuery.shown(3, step.display, "x", ()).substitute({}) == "Is #1 before #2?"
    assert SubQuery.shown(3, step.display, "x", (2,)).substitute({2: "May"}) == "Is #1 before May?"
