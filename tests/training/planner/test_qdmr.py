"""Bridges of Break: phrases that stand in the question become questions, what is left refers to them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from training.planner.qdmr import bridges, single_steps


def row(question: str, *phrases: str, operator: str = "project") -> dict[str, object]:
    steps: list[dict[str, object]] = [{"id": "s1", "question": phrases[0], "depends_on": [], "operator": "select"}]
    for n, phrase in enumerate(phrases[1:], 1):
        steps.append({"id": f"s{n + 1}", "question": phrase, "depends_on": [f"s{n}"], "operator": operator})
    return {"id": "x", "question": question, "sub_queries": steps}


@pytest.mark.parametrize(
    ("question", "phrases", "steps"),
    [
        (
            "Who married a man who starred in Marcus Welby?",
            ["man who  starred in  Marcus Welby", "who  married #1"],
            ["Which man starred in Marcus Welby?", "Who married #1?"],
        ),
        (
            "Where was the director of Roma born ?",
            ["the  director of Roma", "where was  #1 born"],
            ["Who is the director of Roma?", "Where was #1 born?"],
        ),
        (
            "What does the animal formerly known as the pygmy chimpanzee eat?",
            ["animal formerly known as the  pygmy chimpanzee", "what #1 eats"],
            ["What is the animal formerly known as the pygmy chimpanzee?", "What does #1 eat?"],
        ),
        (
            "Which bay is near Maria Anna of Spain's palace?",
            ["Maria Anna of Spain 's palace", "bay near #1"],
            ["What is Maria Anna of Spain's palace?", "Which bay is near #1?"],
        ),
        (
            "How high is the seat of the club that won the cup?",
            ["the  club that won the  cup", "seat of  #1", "how high is  #2"],
            ["Which club won the cup?", "What is the seat of #1?", "How high is #2?"],
        ),
    ],
)
def test_steps_are_cut_from_the_question(question: str, phrases: Sequence[str], steps: Sequence[str]) -> None:
    (made,) = bridges([row(question, *phrases)], "Break")
    assert [step.text for step in made.plan.steps] == list(steps)
    assert [step.parents for step in made.plan.steps] == [(), *((n,) for n in range(1, len(steps)))]
    assert made.question == question.replace(" ?", "?")


@pytest.mark.parametrize(
    ("question", "phrases"),
    [
        ("Where was he born?", ["the director of Roma", "where was #1 born"]),  # not in the question
        (
            "What is the name of the club that won the cup?",
            ["club that won the cup", "name of #1"],
        ),  # asks nothing more
        ("Find the club that won the cup, what is its color?", ["club that won the cup", "color of #1"]),
        ("What may have fallen in love with Narcissus?", ["fallen in love with Narcissus", "what may have #1"]),
    ],
)
def test_what_cannot_be_cut_cleanly_is_left_out(question: str, phrases: Sequence[str]) -> None:
    assert not bridges([row(question, *phrases)], "Break")


def test_only_chains_of_relations_are_bridges() -> None:
    filtered = row(
        "Which man who is old starred in Roma?", "man who starred in Roma", "#1 who is old", operator="filter"
    )
    assert not bridges([filtered, row("Is it?", "it")], "Break")


def test_questions_that_people_left_whole_stay_so() -> None:
    rows = [row("What bird lives here?", "bird that lives here"), row("Where was #9 built?", "where #9 was built")]
    assert single_steps([*rows, row("Who wrote the book that won?", "book that won", "who wrote #1")]) == [
        "What bird lives here?"
    ]
