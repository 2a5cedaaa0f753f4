"""The aggregator of last resort loses nothing."""

from __future__ import annotations

import pytest

from compllm.aggregator.base import Part
from compllm.aggregator.joined import JoinedAggregator

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("Paris", "Paris. [2]"),
        ("Paris.", "Paris. [2]"),
        ("Really?", "Really? [2]"),
        (" two:\n- a\n- b ", "two:\n- a\n- b. [2]"),
        ("Run:\n```\nls\n```", "Run:\n```\nls\n```\n[2]"),
    ],
)
async def test_every_answer_is_a_cited_sentence(answer: str, line: str) -> None:
    parts = (Part(1, "q", "One.", "a"), Part(2, "q", answer, "b"))
    pieces = [piece async for piece in JoinedAggregator().join("?", parts)]
    assert pieces == ["One. [1]", f"\n{line}"]


async def test_a_gap_has_no_line() -> None:
    parts = (Part(1, "q", "", ""), Part(2, "q", "Two.", "b"))
    assert [piece async for piece in JoinedAggregator().join("?", parts)] == ["Two. [2]"]


@pytest.mark.parametrize(
    ("second", "chosen", "line"),
    [
        ("1938.", "1895", "1895 (When was Ann born?). [3]"),
        ("1938", "1938.", "1938 (When did it rain?). [3]"),
        ("1895", "1895", "1895. [3]"),
        ("1938", "43", "43. [3]"),
    ],
)
async def test_a_choice_between_answers_says_what_was_chosen(second: str, chosen: str, line: str) -> None:
    given = (Part(1, "When was Ann born?", "1895.", "a"), Part(2, "When did it rain?", second, "b"))
    parts = (*given, Part(3, "Which is earlier?", chosen, "c", (1, 2)))
    assert [piece async for piece in JoinedAggregator().join("?", parts)][-1] == f"\n{line}"


async def test_a_result_that_equals_what_it_came_from_is_no_choice() -> None:
    legs = (Part(1, "How many legs has a dog?", "4", "a"), Part(2, "How many legs has a spider?", "8", "a"))
    parts = (*legs, Part(3, "What is the difference between 8 and 4?", "4", "b", (1, 2)))
    assert [piece async for piece in JoinedAggregator().join("?", parts)][-1] == "\n4. [3]"


async def test_an_answer_handed_on_is_no_choice() -> None:
    parts = (Part(1, "q", "1895", "a"), Part(2, "r", "1895", "b", (1,)))
    assert [piece async for piece in JoinedAggregator().join("?", parts)][-1] == "\n1895. [2]"


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("Which came first, the birth of Ann or the great rain?", "The birth of Ann (1895). [3]"),
        ("What happened earlier: the great rain or the birth of Ann?", "The birth of Ann (1895). [3]"),
        ("Which came first, A or B?", "1895 (When was Ann born?). [3]"),
        ("Which came first, Ann or the rain, and who is Bob?", "1895 (When was Ann born?). [3]"),
        ("Was Ann born before the rain?", "1895 (When was Ann born?). [3]"),
        ("Who is Bob? Which came first, Ann or the rain?", "1895 (When was Ann born?). [3]"),
    ],
)
async def test_what_was_chosen_has_the_name_that_the_question_gives_it(question: str, line: str) -> None:
    given = (Part(1, "When was Ann born?", "1895.", "a"), Part(2, "When was the great rain?", "1938", "b"))
    parts = (*given, Part(3, "Which is earlier?", "1895", "c", (1, 2)))
    assert [piece async for piece in JoinedAggregator().join(question, parts)][-1] == f"\n{line}"


async def test_one_of_three_is_named_by_its_question() -> None:
    given = tuple(Part(n, f"When was {name}?", f"{1900 + n}", "a") for n, name in enumerate(("Ann", "Bob", "Cid"), 1))
    parts = (*given, Part(4, "Which is earliest?", "1902", "c", (1, 2, 3)))
    pieces = [piece async for piece in JoinedAggregator().join("Which came first, Ann, Bob or Cid?", parts)]
    assert pieces[-1] == "\n1902 (When was Bob?). [4]"


@pytest.mark.parametrize(
    ("question", "asked", "line"),
    [
        ("Which is older, Rome or the city of Ann?", ("When was the foundation of Rome?", "When?"), "Rome (1895). [3]"),
        ("Who died first, Bob or the author of It?", ("When did the author of Us die?", "When?"), None),
        ("In the war, who fell first, Ann or Bob?", ("When did Ann fall?", "When did Bob fall?"), None),
    ],
)
async def test_no_choice_gets_the_name_of_the_other(question: str, asked: tuple[str, str], line: str | None) -> None:
    given = (Part(1, asked[0], "1895", "a"), Part(2, asked[1], "1938", "b"))
    parts = (*given, Part(3, "Which is earlier?", "1895", "c", (1, 2)))
    pieces = [piece async for piece in JoinedAggregator().join(question, parts)]
    assert pieces[-1] == f"\n{line or f'1895 ({asked[0]}). [3]'}"
