import random

from training.reader.rows import NOTHING, SYSTEM, Sample, answered, prompt, refused, shaped

SAMPLE = Sample(
    question="Who built Fern Hall?",
    answer="Ada Finch",
    passage="Fern Hall is a house in Corby. It was built by Ada Finch in 1820.",
    rivals=("Elm Hall is a house in Derby. It was built by Bo Lund.",),
    source="invented",
    kind="built",
)
STRANGERS = ("The dose is 5 mg a day.", "Ada Finch was a poet.", "Trains leave at noon. The last one leaves at ten.")


def test_prompt_is_passages_then_question() -> None:
    assert prompt(["One.", "Two."], "Who?") == "One.\n\nTwo.\n\nQuestion: Who?"


def test_right_row_holds_the_answer_word_for_word() -> None:
    row = answered(SAMPLE, STRANGERS, 0, random.Random(0))
    assert row is not None
    assert (row.system, row.completion, row.shape) == (SYSTEM, "Ada Finch", "built, right")
    assert row.completion in row.user


def test_companions_never_hold_the_answer_and_places_vary() -> None:
    rows = [answered(SAMPLE, STRANGERS, 1, random.Random(seed)) for seed in range(30)]
    users = [row.user for row in rows if row is not None]
    assert users
    assert all(user.count("Ada Finch") == 1 and user.count("\n\n") == 2 for user in users)
    assert {user.startswith("Fern Hall") for user in users} == {True, False}


def test_hard_refusal_shows_a_rival_without_the_answer() -> None:
    row = refused(SAMPLE, STRANGERS, hard=True, count=1, rng=random.Random(0))
    assert row is not None
    assert row.completion == NOTHING
    assert "Elm Hall" in row.user
    assert "Ada Finch" not in row.user


def test_hard_without_rivals_becomes_easy() -> None:
    lone = Sample(SAMPLE.question, SAMPLE.answer, SAMPLE.passage, (), "invented", "built")
    rows = [shaped("hard", lone, STRANGERS, random.Random(seed)) for seed in range(10)]
    assert {row.shape for row in rows if row is not None} == {"built, wrong easy"}


def test_a_row_too_long_is_left_out() -> None:
    long = Sample("Who?", "Ada Finch", "Ada Finch " + "wrote very long letters " * 60 + ".", (), "invented", "long")
    assert answered(long, STRANGERS, 0, random.Random(0)) is None
