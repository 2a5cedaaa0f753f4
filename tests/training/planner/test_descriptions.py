"""Things described instead of named: every description can be asked for, asked about, and followed further."""

from __future__ import annotations

import random

from training.planner.banks import web
from training.planner.descriptions import described, described_further, descriptions
from training.planner.examples import is_writable, normalised
from training.planner.frames import framed
from training.planner.own import HERE
from training.planner.third import own_rows
from training.planner.wordings import load

BANK = descriptions()
NET = web(random.Random(7), held_out=False)


def test_each_description_is_found_by_a_question_of_its_own() -> None:
    assert len({each.phrase for each in BANK}) == len({each.question.text for each in BANK}) == len(BANK)
    for each in BANK:
        assert each.question.text.endswith("?")
        assert each.question.tag
        assert len(each.asks) >= 4
        assert all("{x}" in ask.text for ask in each.asks)
        # The question asks for what the phrase says: they share most of their words.
        words = set(normalised(each.phrase).split()) - {"the", "that", "who", "in", "which"}
        assert len(words & set(normalised(each.question.text).split())) >= len(words) / 2


def test_a_described_thing_is_found_first_and_asked_about_then() -> None:
    rng = random.Random(0)
    for _ in range(300):
        example = described(BANK, rng)
        first, last = example.plan.steps
        assert is_writable(example)
        assert first.text in {each.question.text for each in BANK}
        assert last.parents == (1,)
        assert "#1" in last.text
        assert "{" not in example.question
        assert "#" not in example.question


def test_what_is_related_to_it_takes_one_step_more() -> None:
    rng = random.Random(0)
    for _ in range(300):
        example = described_further(BANK, NET, rng)
        assert is_writable(example)
        assert [step.parents for step in example.plan.steps] == [(), (1,), (2,)]
        assert "{" not in example.question + example.completion


def test_lists_pairs_and_houses_fill_every_slot() -> None:
    rng = random.Random(0)
    for family in ("lists", "pairs", "houses"):
        frames = load("frames")["frames"][family]
        seen = set()
        for _ in range(40 * len(frames)):
            example = framed(family, rng)
            assert is_writable(example)
            assert "{" not in example.question + example.completion
            seen.add(tuple(step.parents for step in example.plan.steps))
        assert len(seen) == len({_graph(frame["s"]) for frame in frames})


def test_no_new_row_asks_what_is_held_out() -> None:
    held = {normalised(line) for name in ("twohop", "shapes") for line in _questions(name)}
    assert not held & {normalised(row.question) for row in own_rows(random.Random(1))}


def _questions(name: str) -> list[str]:
    lines = (HERE / "heldout" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("//") and not line[0].isdigit()]


def _graph(steps: list[str]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(n for n in range(1, len(steps) + 1) if f"#{n}" in step) for step in steps)
