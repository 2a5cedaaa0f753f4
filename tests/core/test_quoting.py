"""Answers as they stand in later questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.quoting import MAX_CHARACTERS, quote


@pytest.mark.parametrize(
    ("answer", "question", "quoted"),
    [
        ("The capital of France is Paris.", "What is the capital of France?", "Paris"),
        ("Paris", "What is the capital of France?", "Paris"),
        (
            "Middlemarch was written by George Eliot.",
            "Who wrote Middlemarch?",
            "Middlemarch was written by George Eliot",
        ),
        (
            "The author of Middlemarch is George Eliot.",
            "Who wrote Middlemarch?",
            "The author of Middlemarch is George Eliot",
        ),
        ("The capital is Rome. It is old.", "What is the capital of Italy?", "The capital is Rome. It is old."),
        ("$100 in #1 and $2.", "How much?", "$100 in #1 and $2"),
        ("In  1914,\nit began", "When?", "In 1914, it began"),
        ("It is", "What is it?", "It is"),
        ("", "What?", ""),
    ],
)
def test_what_only_repeats_the_question_is_left_out(answer: str, question: str, quoted: str) -> None:
    assert quote(answer, question) == quoted


@given(st.text(max_size=5_000), st.text(max_size=200))
def test_a_quotation_is_one_bounded_line_of_the_answer(answer: str, question: str) -> None:
    quoted = quote(answer, question)
    assert len(quoted) <= MAX_CHARACTERS
    assert "\n" not in quoted
    assert quoted in " ".join(answer.split())
