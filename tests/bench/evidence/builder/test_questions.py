from __future__ import annotations

import random
import re

from compllm.bench.evidence.builder.encyclopaedia import Kind, Library, Person, Work
from compllm.bench.evidence.builder.facts import Fact, Passage
from compllm.bench.evidence.builder.questions import dependent, joins


def test_a_maker_who_comes_up_again_leaves_the_others_their_turn() -> None:
    def work(field: str, number: int, maker: str) -> Work:
        kind = Kind(field, field, re.compile(""), "maker", "made")
        return Work(Passage(f"{field}-{number}", field, f"T{number}", "t"), kind, f"T{number}", maker, 1950)

    names = ["Anna Ash", "Bert Birch", "Cora Cedar", "Dora Dell", "Emil Elm"]
    people = {name: Person(Passage(name, "biography", name, "t"), name, "2 May 1921", "", "") for name in names}
    films = [work("film", number, name) for number, name in enumerate(names[:3] * 4)]
    books = [work("literature", number, name) for number, name in enumerate(names[3:5])]
    library = Library(tuple(films + books), people)
    for seed in range(5):
        rows = list(dependent(library, 30, random.Random(seed)))
        assert sorted(row.plan[0].answers[0] for row in rows) == names


def test_joins_end_where_there_are_no_more() -> None:
    facts = [
        Fact(f"f{number}", field, "?", (str(1900 + number),), "p", "s", "l", f"event {number}", "year", 1900 + number)
        for number, field in enumerate(("law", "art", "law"))
    ]
    assert len(list(joins(facts, 50, random.Random(1)))) == 2
    assert list(joins(facts, 0, random.Random(1))) == []
    assert list(joins(facts[:1], 5, random.Random(1))) == []


def test_years_between_are_asked_only_where_they_can_be_counted() -> None:
    dates = ("13 June 1895", "April 1991")
    facts = [
        Fact(f"f{field}", field, "?", (date,), "p", "s", "l", f"event {field}", "year", int(date[-4:]))
        for field, date in zip(("law", "art"), dates, strict=True)
    ]
    rows = [row for seed in range(30) for row in joins(facts, 1, random.Random(seed))]
    assert len(rows) == 30
    assert not any(row.question.startswith("How many") for row in rows)
