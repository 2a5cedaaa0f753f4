from __future__ import annotations

import random

from compllm.bench.evidence.builder.wording import lowered, together

QUESTIONS = ["Who wrote Emma?", "When was Bonn founded?", "Name a river of France?"]


def test_no_word_of_a_question_is_lost() -> None:
    forms = {together(QUESTIONS[:2], random.Random(seed)) for seed in range(60)}
    assert len(forms) >= 6
    for form in forms:
        assert all(question.rstrip("?")[1:] in form for question in QUESTIONS[:2])
        assert form[-1] == "?"


def test_names_keep_their_capitals() -> None:
    assert lowered("Where is Bonn?") == "where is Bonn?"
    assert lowered("Warsaw's theatre?") == "Warsaw's theatre?"
    assert all("name a river" not in together(QUESTIONS, random.Random(seed)) for seed in range(40))
