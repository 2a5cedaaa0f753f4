"""Examples: what the grammar of the run time can write, and how questions stand inside sentences."""

from __future__ import annotations

import pytest

from compllm.core.plan import Plan, SubQuery
from training.planner.examples import Example, Question, is_writable, normalised, plan_of
from training.planner.wordings import bare, ended, small


def example(*texts: str) -> Example:
    return Example("Who?", plan_of([Question(text, "history") for text in texts]), "test", "test")


def test_a_row_holds_the_plan_in_the_plan_language() -> None:
    row = example("Who wrote Emma?", "When was #1 born?").row()
    assert row["completion"] == "1. [history] Who wrote Emma?\n2. [history] When was #1 born?"
    assert (row["system"], row["user"], row["source"], row["shape"]) == ("Plan.", "Who?", "test", "test")


@pytest.mark.parametrize(
    "text", [r"Which song was \#1?", "What is colour #D9E650?", "(a) Who?", "[x] Who?", "Who\nis it?"]
)
def test_what_the_grammar_cannot_write_is_refused(text: str) -> None:
    assert not is_writable(example(text))


def test_references_are_writable_also_before_an_apostrophe() -> None:
    assert is_writable(example("Who wrote Emma?", "Who is #1's mother?", "Is #1 older than #2?"))
    thirteen = [SubQuery(n, "Who?", "history") for n in range(1, 14)]
    assert not is_writable(Example("Who?", Plan(tuple(thirteen)), "test", "test"))


def test_questions_lose_their_capital_inside_a_sentence_but_names_do_not() -> None:
    assert small("What is law?") == "what is law?"
    assert small("Armsia petasus lives where?") == "Armsia petasus lives where?"
    assert bare("Who is it? ") == "Who is it"
    assert (ended("Play some jazz"), ended("Who?")) == ("Play some jazz.", "Who?")


def test_duplicates_are_told_by_their_words() -> None:
    assert normalised("Who wrote “Emma”?") == normalised("who wrote Emma")
