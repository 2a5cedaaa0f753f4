"""Agreement with gold answers, by hand."""

from __future__ import annotations

import pytest

from compllm.bench.squad import exact_match, normalised, token_f1


def test_case_punctuation_and_articles_do_not_count() -> None:
    assert normalised(" The  Cat, an owl. ") == "cat owl"
    assert exact_match("The Cat!", ["dog", "cat"])
    assert not exact_match("a cat sat", ["cat"])


@pytest.mark.parametrize(
    ("said", "answers", "f1"),
    [
        ("the cat", ["A cat."], 1.0),
        ("black cat", ["cat"], 2 / 3),
        ("dog", ["cat"], 0.0),
        ("", ["cat"], 0.0),
        ("cat", ["black dog", "black cat"], 2 / 3),
        ("cat", [], 0.0),
    ],
)
def test_f1_is_that_of_the_nearest_answer(said: str, answers: list[str], f1: float) -> None:
    assert token_f1(said, answers) == pytest.approx(f1)
