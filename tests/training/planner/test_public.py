"""Reading public sets: rows become plans, and what the planner could not write is left out."""

from __future__ import annotations

import random

from compllm.core.plan import SubQuery
from training.planner.examples import Question
from training.planner.public import Single, by_subject, compared, examples, letters, singles, without
from training.planner.tagger import tag_steps


def test_rows_become_plans_with_their_edges_and_fields() -> None:
    row = {
        "question": "Let X be it: Who?  Now, when was X born ?",
        "kind": "bridge",
        "sub_queries": [
            {"id": "s1", "question": "Who?", "depends_on": [], "domain": "film_tv"},
            {"id": "s2", "question": "When was #1 born?", "depends_on": ["s1"], "domain": "history"},
            {"id": "s3", "question": "Why?", "depends_on": ["s2"], "domain": "history"},
        ],
    }
    (made,) = examples([row], "test")
    assert made.question == "Let X be it: Who? Now, when was X born?"
    assert made.completion.splitlines()[0] == "1. [film and television] Who?"
    assert made.completion.splitlines()[2] == "3. [history] Why? (after #2)"
    assert made.shape == "bridge"


def test_a_number_sign_that_is_no_reference_leaves_the_row_out() -> None:
    rows = [
        {"question": "Which was #1?", "sub_queries": [{"id": "s1", "question": "Which was #1?", "depends_on": []}]},
        {"question": "Is # 6 it?", "sub_queries": [{"id": "s1", "question": "Is # 6 it?", "depends_on": []}]},
    ]
    assert examples(rows, "test") == []


def wiki(question: str, *steps: str) -> dict[str, object]:
    listed = [{"id": f"s{n}", "question": text, "depends_on": []} for n, text in enumerate(steps, 1)]
    return {"question": question, "type": "comparison", "sub_queries": listed}


def test_comparisons_get_the_step_that_their_evidence_leaves_out() -> None:
    made = compared(
        wiki("Which film came out first, Ogro or Mcdull?", "What is the publication date of McDull?",
             "What is the publication date of Ogro?")
    )  # fmt: skip
    assert made is not None
    assert [step.text for step in made.plan.steps] == [
        "What is the publication date of Ogro?",
        "What is the publication date of Mcdull?",
        "Which is earlier, #1 or #2?",
    ]
    assert [step.tag for step in made.plan.steps] == ["film and television", "film and television", "mathematics"]


def test_lost_references_are_put_back() -> None:
    made = compared(
        wiki("Which film has the director born later, A or B?", "What is the director of A?",
             "What is the director of B?", "What is the date of birth of Ann?", "What is the date of birth of #2?")
    )  # fmt: skip
    assert made is not None
    assert [step.text for step in made.plan.steps[2:]] == [
        "What is the date of birth of #1?",
        "What is the date of birth of #2?",
        "Which is later, #3 or #4?",
    ]
    assert compared(wiki("Is it so?", "What is the date of A?", "What is the date of B?")) is None


def test_single_questions_are_cleaned_and_never_forbidden_ones() -> None:
    rows = [
        {"question": "Who wrote  the novel Emma ?", "domain": "literature", "answer": "Jane Austen"},
        {"question": "Who wrote the novel Emma?", "domain": "literature", "answer": "Jane Austen"},
        {"question": "Who sang the #1 song of 1980?", "domain": "music"},
        {"question": "What was the revenue in 2019?", "domain": "finance_docs"},
    ]
    found = without(singles(rows), set())
    assert [single.question for single in found] == [Question("Who wrote the novel Emma?", "literature")]
    assert without(found, {"who wrote the novel emma"}) == []


def test_letters_replace_the_answer_of_another_question() -> None:
    bank = [
        Single(Question("Who wrote the novel Emma?", "literature"), "Jane Austen", "a"),
        Single(Question("In which town did Jane Austen die?", "history"), "Winchester", "b"),
    ]
    made = letters(bank, random.Random(0), 1)
    assert made[0].completion == (
        "1. [literature] Who wrote the novel Emma?\n2. [history] In which town did #1 die?"
    )  # fmt: skip


def test_fields_follow_the_subject_and_comparing_is_mathematics() -> None:
    row = wiki("What is the Urdu name of the birthplace of A?", "What is the birthplace of A?")
    row["sub_queries"] += [{"id": "s2", "question": "What is the Urdu name of #1?", "depends_on": ["s1"]}]  # type: ignore[operator]
    (made,) = examples([row], "test")
    assert [step.tag for step in by_subject(made).plan.steps] == ["history", "language"]
    steps = [
        SubQuery(1, "When did Caesar die?"),
        SubQuery(2, "When was flight invented?"),
        SubQuery(3, "Is #1 before #2?"),
    ]
    assert [step.tag for step in tag_steps(steps, ["history", "science", "sports"])] == [
        "history",
        "science",
        "mathematics",
    ]
    assert (
        tag_steps([SubQuery(1, "What is pesto?"), SubQuery(2, "Is #1 green?")], ["cooking", "art"])[1].tag == "cooking"
    )
