import random

import pytest

from training.reader.rows import NOTHING
from training.reader.text import normalised
from training.reader.written import passages, questions, rows, samples

TEXT = "Elm Hall stands in Derby. It was put up by Bo Lund in 1830, and Ida Lund sold it in 1901."
ASKED: list[dict[str, str | None]] = [
    {"passage": "p1", "question": "Who built Elm Hall?", "answer": "Bo Lund"},
    {"passage": "p1", "question": "Who restored Elm Hall?", "answer": None},
    {"passage": "elsewhere", "question": "Who built Ash Hall?", "answer": "Al Reed"},
]


def test_a_question_whose_passage_is_not_there_is_left_out() -> None:
    assert [sample.question for sample in samples(ASKED, {"p1": TEXT})] == [
        "Who built Elm Hall?",
        "Who restored Elm Hall?",
    ]


def test_an_answer_that_does_not_stand_in_its_passage_is_named() -> None:
    with pytest.raises(ValueError, match="'Al Reed' does not stand in the passage elsewhere"):
        list(samples(ASKED, {"elsewhere": TEXT}))


def test_every_answer_is_asked_and_what_is_not_told_is_refused() -> None:
    made = list(rows(list(samples(ASKED, {"p1": TEXT})), random.Random(0)))
    by_question = {(row.user.rpartition("Question: ")[2], row.completion) for row in made}
    assert ("Who built Elm Hall?", "Bo Lund") in by_question
    assert ("Who restored Elm Hall?", NOTHING) in by_question
    assert ("Who restored Elm Hall?", "Bo Lund") not in by_question


def test_texts_are_those_that_the_writers_read() -> None:
    documents = {
        "multihop_paragraphs": [{"id": "m", "text": "Port Blair ( capital ) , India"}],
        "2wiki_corpus_hipporag": [],
        "xquad_en_paragraphs": [{"id": "x", "text": "As  it stands"}],
        "pubmed_abstracts": [],
        "finance_wikipedia_terms": [{"id": "f", "text": " ".join(str(number) for number in range(300))}],
    }
    texts = passages(documents)
    assert texts["m"] == "Port Blair (capital), India"
    assert texts["x"] == "As  it stands"
    assert texts["f"].split()[-1] == "169"


def test_what_was_written_is_well_formed_and_stands_once() -> None:
    written = questions()
    assert len(written) > 2000
    assert len({(row["passage"], normalised(row["question"])) for row in written}) == len(written)
    assert all(row["question"].strip() and row["answer"] != "" for row in written)
    assert 0.05 < sum(row["answer"] is None for row in written) / len(written) < 0.2
