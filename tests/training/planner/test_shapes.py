"""Generated shapes: their graphs are what their questions need, for any seed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from training.planner.banks import Web, fields, web, written
from training.planner.bridges import bridge, let
from training.planner.build import repeated
from training.planner.comparisons import bridged_comparison, comparison, join
from training.planner.examples import Example, Question, is_writable, normalised
from training.planner.frames import framed
from training.planner.independent import independent, shared_head, together, two_of_one
from training.planner.own import HERE, own
from training.planner.phrases import noun_phrase, phrased_bridge, phrased_comparison, phrases
from training.planner.wordings import load

SEEDS = range(12)
BANK = [
    Question("Who wrote Emma?", "literature"),
    Question("What is law?", "law"),
    Question("Which band recorded Help?", "music"),
    Question("Who painted Guernica?", "art"),
    Question("In what year was Nokia founded?", "business"),
]


@pytest.fixture(scope="module")
def net() -> Web:
    return web(random.Random(7), held_out=False)


def edges(example: Example) -> list[tuple[int, ...]]:
    return [step.parents for step in example.plan.steps]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_independent_questions_have_no_edges_and_keep_every_text(count: int) -> None:
    for seed in SEEDS:
        made = independent(BANK, random.Random(seed), "test", count=count)
        assert edges(made) == [()] * count
        assert all(normalised(step.text) in normalised(made.question) for step in made.plan.steps)


def test_shared_heads_and_pronouns_are_spelt_out_in_the_steps() -> None:
    field = next(field for field in fields() if field.tag == "literature")
    for seed in SEEDS:
        for made in (shared_head(field, random.Random(seed)), two_of_one(field, random.Random(seed))):
            assert set(edges(made)) == {()}
            assert all(any(name in step.text for name in field.of) for step in made.plan.steps)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_each_step_of_a_bridge_needs_the_one_before(net: Web, hops: int) -> None:
    for seed in SEEDS:
        made = bridge(net, random.Random(seed), hops=hops)
        assert edges(made) == [(), *((n,) for n in range(1, hops + 1))]
        assert "#" not in made.question
        assert "{" not in made.question + made.completion


def test_a_letter_stands_for_the_first_answer() -> None:
    texts = {let("Who wrote Emma?", "When was {x} born?", random.Random(seed)) for seed in SEEDS}
    assert len(texts) > len(SEEDS) / 3
    assert all("Who wrote Emma?" in text and "{" not in text for text in texts)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (comparison, [(), (), (1, 2)]),
        (bridged_comparison, [(), (), (1,), (2,), (3, 4)]),
    ],
)
def test_comparisons_end_in_a_step_that_names_both(
    net: Web, make: Callable[[Web, random.Random], Example], expected: list[tuple[int, ...]]
) -> None:
    for seed in SEEDS:
        assert edges(make(net, random.Random(seed))) == expected


def test_joins_end_in_arithmetic_over_every_answer() -> None:
    for seed in SEEDS:
        made = join(BANK, BANK, random.Random(seed), "test")
        assert made.plan.steps[-1].tag == "mathematics"
        assert made.plan.steps[-1].parents == tuple(range(1, len(made.plan.steps)))


def test_plans_asked_together_keep_their_own_edges(net: Web) -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        parts = [bridge(net, rng, hops=1), comparison(net, rng)]
        made = together(list(parts), rng)
        assert edges(made) in ([(), (1,), (), (), (3, 4)], [(), (), (1, 2), (), (4,)])


def test_every_frame_fills_its_slots() -> None:
    for family in load("frames")["frames"]:
        for seed in SEEDS:
            made = framed(family, random.Random(seed))
            assert "{" not in made.question + made.completion
            assert is_writable(made)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who wrote Emma?", ("the person who wrote Emma", "person")),
        ("Who was the drummer of The Who?", ("the drummer of The Who", "person")),
        ("Which band recorded Help?", ("the band that recorded Help", "band")),
        ("What actress played Amélie?", ("the actress who played Amélie", "person")),
        ("In what year was Nokia founded?", ("the year Nokia was founded", "year")),
        ("Who did Emma marry?", None),
        ("What was the animal featured in the film?", None),
        ("Which is larger?", None),
    ],
)
def test_noun_phrases(question: str, expected: tuple[str, str] | None) -> None:
    assert noun_phrase(question) == expected


def test_noun_phrases_stand_in_bridges_and_comparisons(net: Web) -> None:
    named = phrases(BANK)
    assert {phrase for _, phrase, _ in named} >= {"the person who wrote Emma", "the year Nokia was founded"}
    for seed in SEEDS:
        assert edges(phrased_bridge(named, net, random.Random(seed))) == [(), (1,)]
        assert edges(phrased_comparison(named, random.Random(seed))) == [(), (), (1,), (2,), (3, 4)]


def test_names_for_measuring_are_never_trained_on() -> None:
    train, held = web(random.Random(7), held_out=False), web(random.Random(7), held_out=True)
    assert all(not set(train.names[kind]) & set(held.names[kind]) for kind in train.names)


def test_own_examples_are_writable_and_the_same_for_the_same_seed() -> None:
    train, held = own(random.Random(3))
    assert [example.question for example in train] == [example.question for example in own(random.Random(3))[0]]
    assert all(is_writable(example) for example in [*train, *held])
    assert len(held) >= 140


def test_hand_written_examples() -> None:
    examples = written(HERE / "handwritten.txt")
    assert len(examples) >= 120
    whole = [example for example in examples if len(example.plan.steps) == 1]
    assert all(example.plan.steps[0].text == example.question for example in whole)


def test_strategyqa_comes_once_in_each_half() -> None:
    plan = written(HERE / "handwritten.txt")[0].plan
    examples = [Example(str(n), plan, "test", "StrategyQA" if n % 2 else "whole") for n in range(40)]
    mixed = [
        example.question
        for example in repeated(examples, random.Random(1), lambda example: example.shape == "StrategyQA")
    ]
    twice = {text for text in mixed if mixed.count(text) == 2}
    assert twice == {str(n) for n in range(1, 40, 2)}
    assert len(mixed) == 60
