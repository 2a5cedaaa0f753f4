"""Random questions, and what each way of answering makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compllm.bench.projection.assumptions import GPUS, LLAMA_70B, Assumptions
from compllm.bench.projection.questions import Part, Shape, composed, final_tokens, monolithic, random_questions

GIVEN = Assumptions()
QUESTION = (Part("law", (), 10.0), Part("tax", (), 20.0), Part("physics", (0, 1), 40.0))


def test_the_same_seed_gives_the_same_questions_on_any_gpu() -> None:
    questions = random_questions("All", 20, GIVEN, 3)
    assert questions == random_questions("All", 20, replace(GIVEN, gpu=GPUS["a100"]), 3)
    assert questions != random_questions("All", 20, GIVEN, 4)
    longer = random_questions("All", 20, replace(GIVEN, answer_tokens=128.0), 3)
    assert [len(each) for each in longer] == [len(each) for each in questions]
    assert longer[0][0].answer_tokens == pytest.approx(2 * questions[0][0].answer_tokens)


@pytest.mark.parametrize(("shape", "sizes"), [("P", {2, 3, 4, 5}), ("D", {2, 3, 4})])
def test_shapes_have_their_sizes(shape: Shape, sizes: set[int]) -> None:
    questions = random_questions(shape, 100, GIVEN, 0)
    assert {len(question) for question in questions} == sizes
    chained = [part.needs == ((place - 1,) if place else ()) for each in questions for place, part in enumerate(each)]
    assert all(chained) == (shape == "D")


def test_the_whole_answer_is_made_of_the_parts_that_no_other_needs() -> None:
    assert final_tokens(QUESTION) == 40
    assert final_tokens(QUESTION[:2]) == 30


def test_a_composition_plans_asks_and_joins() -> None:
    (run,) = composed([QUESTION], GIVEN, one_by_one=False).runs
    assert [node.model for node in run.nodes] == ["general", "law", "tax", "physics", "general"]
    assert [node.parents for node in run.nodes] == [(), (), (), (2, 3), (1, 2, 3, 4)]
    added_s = [node.added_s for node in run.nodes]
    assert added_s == sorted(added_s)
    assert run.closed_s == added_s[-1] == pytest.approx(run.nodes[0].duration_s, rel=0.05)
    assert run.nodes[1].duration_s < run.nodes[1].estimate_s  # type: ignore[operator]


def test_one_by_one_differs_in_nothing_but_the_waiting() -> None:
    (run,) = composed([QUESTION], GIVEN, one_by_one=True).runs
    (other,) = composed([QUESTION], GIVEN, one_by_one=False).runs
    assert [node.parents for node in run.nodes] == [(), (1,), (2,), (3,), (4,)]
    assert [replace(node, parents=()) for node in run.nodes] == [replace(node, parents=()) for node in other.nodes]


def test_a_monolith_writes_the_whole_answer_alone() -> None:
    one, two = (monolithic([QUESTION], "big", LLAMA_70B, gpus, GIVEN).runs[0] for gpus in (1, 2))
    assert [node.model for node in one.nodes] == ["big"]
    assert one.work_s / 2 < two.work_s < one.work_s
