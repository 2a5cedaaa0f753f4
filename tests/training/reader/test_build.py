import random

from training.reader.build import bench_questions, clean, rows
from training.reader.rows import NOTHING, Sample

HELD_OUT = Sample(
    "Who built Elm Hall?",
    "Bo Lund",
    "Elm Hall is a large and quiet house in the north of Derby. Bo Lund built it in the spring of 1830.",
    ("Nobody lives at Elm Hall today.",),
    "xquad",
    "asked",
)


def sample(number: int) -> Sample:
    text = f"House {number} is a stone house by the river. Its owner is Ann Lee number {number}{number}."
    return Sample(f"Who owns house {number}?", f"Ann Lee number {number}{number}", text, (), "wiki", "owner")


def test_nothing_held_out_is_trained_on() -> None:
    same_question = Sample(HELD_OUT.question, "Ann Lee", "Ann Lee built Elm Hall.", (), "wiki", "built")
    same_passage = Sample("When was it built?", "1830", f"A new start. {HELD_OUT.passage}", (), "wiki", "built")
    kept, removed = clean([sample(1), same_question, same_passage, sample(1)], [HELD_OUT])
    assert kept == [sample(1)]
    assert removed == {"held-out text": 2, "repeated": 1}


def test_rows_are_unique_and_repeatable() -> None:
    people, made = [sample(n) for n in range(8)], [sample(n) for n in range(8, 40)]
    built = rows(people, made, random.Random(0))
    assert built == rows(people, made, random.Random(0))
    assert len(set(built)) == len(built)
    assert {row.completion == NOTHING for row in built} == {True, False}


def test_each_held_out_question_is_asked_twice() -> None:
    far = Sample("Where is Corby?", "England", "Corby is a town in England.", (), "xquad", "asked")
    asked = list(bench_questions([HELD_OUT, far], random.Random(0)))
    assert [entry["answerable"] for entry in asked] == [True, False, True, False]
    assert asked[0]["answers"] == ["Bo Lund"]
    assert asked[1]["answers"] == []
    assert asked[1]["id"].endswith("-hard")
    assert asked[1]["passages"] == ["Nobody lives at Elm Hall today."]
