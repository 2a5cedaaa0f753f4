"""Follow-ups that are made to stand alone, and questions that are left as they are."""

from __future__ import annotations

import pytest

from compllm.serve.history import Turn, standalone
from compllm.serve.names import Name, names

FRANCE = ("What is the capital of France?", "The capital of France is Paris. [1]")
ELIOT = ("Who wrote Middlemarch?", "Middlemarch was written by the English novelist George Eliot. [1]")
STROKE = ("What is a stroke?", "A stroke is a loss of blood flow to part of the brain.")
LOVELACE = ("Where was Ada Lovelace born?", "Ada Lovelace was born in London.")


def asked_after(before: tuple[str, str], question: str) -> str:
    return standalone([Turn("user", before[0]), Turn("assistant", before[1]), Turn("user", question)])


@pytest.mark.parametrize(
    ("before", "question", "expected"),
    [
        (FRANCE, "What is its population?", "What is Paris's population?"),
        (FRANCE, "Is it true that it is old?", "Is it true that Paris is old?"),
        (FRANCE, "Who lives there?", "Who lives in Paris?"),
        (ELIOT, "When was she born?", "When was George Eliot born?"),
        (ELIOT, "And who was her father?", "Who was George Eliot's father?"),
        (ELIOT, "Who met her in London?", "Who met George Eliot in London?"),
        (ELIOT, "When was it published?", "When was Middlemarch published?"),
        (STROKE, "How is it treated?", "How is a stroke treated?"),
        (STROKE, "What are its symptoms?", "What are a stroke's symptoms?"),
        (LOVELACE, "What did she do?", "What did Ada Lovelace do?"),
        (("Who is Marie Curie?", "A physicist from Warsaw."), "When was she born?", "When was Marie Curie born?"),
        (
            ("Tell me about Leonardo da Vinci.", "He painted."),
            "What did he paint?",
            "What did Leonardo da Vinci paint?",
        ),
        (("Who wrote Emma?", ""), "What is that?", "What is Emma?"),
        (("What causes scurvy?", "A lack of vitamin C."), "How is it treated?", "How is it treated?"),
    ],
)
def test_a_pronoun_stands_for_a_name_before_it(before: tuple[str, str], question: str, expected: str) -> None:
    assert asked_after(before, question) == expected


@pytest.mark.parametrize(
    ("before", "question", "expected"),
    [
        (FRANCE, "What about Germany?", "What is the capital of Germany?"),
        (FRANCE, "And in Germany?", "What is the capital of Germany?"),
        (FRANCE, "how about the Netherlands", "What is the capital of the Netherlands?"),
        (FRANCE, "And the population?", "What is the population of France?"),
        (FRANCE, "And its population?", "What is Paris's population?"),
        (FRANCE, "Why?", "The capital of France is Paris. Why?"),
        (("Who led France in 1950?", "Vincent Auriol."), "And in 1960?", "Who led France in 1960?"),
        (("Who led France?", "Vincent Auriol."), "And in 1960?", "Who led France in 1960?"),
        (("Who was king in England?", "George V."), "And in 1900?", "Who was king in England in 1900?"),
        (("Who was king in England in 1820?", "George."), "And in 1900?", "Who was king in England in 1900?"),
        (("Who was king in England in 1820?", "George."), "And in France?", "Who was king in France in 1820?"),
        (
            ("What is the population of Paris in 1900?", ""),
            "And in London?",
            "What is the population of London in 1900?",
        ),
        (
            ("What does a cardiologist treat?", "Hearts."),
            "And an endocrinologist?",
            "What does an endocrinologist treat?",
        ),
        (("What are signs of diabetes?", "Thirst."), "And asthma?", "What are signs of asthma?"),
        (("What is insulin?", "A hormone."), "And glucagon?", "What is glucagon?"),
        (("Does Rome have a river?", ""), "When?", "Does Rome have a river? When?"),
    ],
)
def test_a_fragment_takes_a_place_in_the_question_before_it(
    before: tuple[str, str], question: str, expected: str
) -> None:
    assert asked_after(before, question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Spain?",
        "Is it true that cats can swim?",
        "What time is it?",
        "Are there bears?",
        "Who was Alan Turing and what did he do?",
        "What is a heart and what does it do?",
        "Thanks!",
        "And what about what we said of the thing that you know so well by now?",
        "And more",
        "",
        "She said so. " * 30,
    ],
)
def test_what_stands_alone_or_cannot_be_resolved_is_left_as_it_is(question: str) -> None:
    assert asked_after(("Where did he live?", "In a house."), question) == question.strip()
    assert standalone([Turn("user", question)]) == question


@pytest.mark.parametrize(
    "question",
    [
        "Ok thanks, who painted Guernica?",
        "Ok. Who painted Guernica?",
        "And now, what is the capital of Peru?",
        "Then I have another question: who wrote Faust?",
        "But I asked for the river.",
        "But that's wrong.",
        "And please be brief.",
    ],
)
def test_what_says_or_asks_something_by_itself_is_no_fragment(question: str) -> None:
    assert asked_after(FRANCE, question) == question
    assert asked_after(FRANCE, "And in which year was it founded?") == "In which year was Paris founded?"


@pytest.mark.parametrize(
    "long", ["What is " + "a" * 50_000, "What is " + "A b " * 20_000, " " * 50_000 + "x", "Ab. " * 9_000]
)
def test_long_turns_take_no_long_time(long: str) -> None:
    turns = [Turn("user", long), Turn("assistant", long), Turn("user", "Who wrote it?"), Turn("assistant", long)]
    assert standalone([*turns, Turn("user", "And when?")])


def test_of_many_turns_full_of_pronouns_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0

    def counting(text: str) -> list[Name]:
        nonlocal looked_at
        looked_at += len(text)
        return names(text)

    monkeypatch.setattr("compllm.serve.history.names", counting)
    turns = [Turn("user", "it " * 60), Turn("assistant", "Cd x " * 95)] * 400
    assert standalone([*turns, Turn("user", "What is its name?")])
    assert 0 < looked_at < 200_000  # all turns have 262,000 characters, and each pronoun looked at what was before


def test_a_conversation_is_resolved_turn_by_turn() -> None:
    turns = [
        *(Turn("user", t) for t in ("What is the capital of France?", "And Germany?")),
        Turn("assistant", "Berlin."),
    ]
    assert standalone([*turns, Turn("user", "What is its population?")]) == "What is Berlin's population?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The University of Oxford and King's College", ["University of Oxford", "King's College"]),
        ("Usually the French poet met Mary Shelley's friends in May.", ["Mary Shelley"]),
        ("Paris is old. Yes, NASA says so.", ["Paris", "NASA"]),
        ("what is insulin?", []),
    ],
)
def test_names_are_found_by_their_capitals(text: str, expected: list[str]) -> None:
    found = names(text)
    assert [name.text for name in found] == expected
    assert all(text[name.start : name.end] == name.text for name in found)
