"""Answers that a model writes, as they are or sentence by sentence against the sub-answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from compllm.aggregator.base import Part
from compllm.aggregator.written import ModelAggregator
from compllm.errors import AggregationError, ExpertError
from compllm.experts.base import Backend, Message
from tests.wiring import WrittenPlans

pytestmark = pytest.mark.anyio

QUESTION = "What do a cardiologist and an endocrinologist treat?"
HEART = Part(1, "What does a cardiologist treat?", "A cardiologist treats the heart.", "medicine")
GLANDS = Part(2, "What does an endocrinologist treat?", "Endocrinologists treat diabetes and glands.", "medicine")
MERGED = "A cardiologist treats the heart, while an endocrinologist treats diabetes and glands."


async def join(
    *replies: str | Exception,
    checked: bool,
    parts: tuple[Part, ...] = (HEART, GLANDS),
    size: int = 7,
    adapter: str | None = None,
) -> str:
    model = WrittenPlans(*replies, piece_characters=size)

    @asynccontextmanager
    async def lease() -> AsyncIterator[Backend]:
        yield model

    try:
        aggregator = ModelAggregator("m", lease, checked=checked, adapter=adapter)
        return "".join([piece async for piece in aggregator.join(QUESTION, parts)])
    finally:
        assert model.open_streams == 0


async def test_unchecked_the_answer_is_the_models() -> None:
    assert await join(" All [1] of\nit. ", checked=False) == " All [1] of\nit. "


@pytest.mark.parametrize("reply", ["", " \n "])
@pytest.mark.parametrize("checked", [True, False])
async def test_nothing_is_not_an_answer(reply: str, checked: bool) -> None:
    with pytest.raises(AggregationError, match="wrote nothing"):
        await join(reply, checked=checked)


@pytest.mark.parametrize("checked", [True, False])
async def test_a_failing_model_is_not_hidden(checked: bool) -> None:
    with pytest.raises(ExpertError, match="away"):
        await join(ExpertError("away"), checked=checked)


@pytest.mark.parametrize("size", [1, 13, 999])
async def test_checked_a_good_merge_stands_with_its_sources(size: int) -> None:
    assert await join(MERGED, checked=True, size=size) == f"{MERGED} [1][2]"


@pytest.mark.parametrize(
    "reply",
    [
        "An endocrinologist treats the heart, while a cardiologist treats diabetes and glands.",
        "A cardiologist treats glands. Endocrinologists treat the heart and diabetes.",
        "Doctor House treats 7 diseases in London.",
        "A cardiologist does not treat the heart.",
        "A cardiologist treats the",
    ],
)
async def test_checked_what_does_not_stand_gives_way_to_the_sub_answers(reply: str) -> None:
    assert await join(reply, checked=True) == f"{HEART.answer} [1] {GLANDS.answer} [2]"


async def test_checked_what_the_model_forgot_is_added() -> None:
    assert await join("A cardiologist treats the heart.", checked=True) == f"{HEART.answer} [1] {GLANDS.answer} [2]"


async def test_checked_what_the_model_writes_twice_is_shown_once() -> None:
    reply = f"{HEART.answer} A cardiologist also treats the heart. {GLANDS.answer} They treat diabetes and glands."
    assert await join(reply, checked=True) == f"{HEART.answer} [1] {GLANDS.answer} [2]"


async def test_checked_what_a_sub_answer_says_twice_is_shown_once() -> None:
    twice = Part(1, HEART.question, f"{HEART.answer} They also treat the heart.", "medicine")
    assert await join("Nonsense Nobody Said.", checked=True, parts=(twice, GLANDS)) == (
        f"{HEART.answer} [1] {GLANDS.answer} [2]"
    )


async def test_checked_the_same_word_from_two_steps_keeps_both_citations() -> None:
    parts = (Part(1, "Capital?", "Paris", "a"), Part(2, "Louvre?", "Paris", "b"))
    assert await join("Nonsense Nobody Said.", checked=True, parts=parts) == "Paris. [1] Paris. [2]"


async def test_checked_an_answer_is_not_kept_by_the_words_of_the_steps_before_it() -> None:
    born = (Part(1, "When was Ann born?", "In 1869", "a"), Part(2, "When was Bob born?", "In 1863", "a"))
    parts = (*born, Part(3, "Who was born first, Ann or Bob?", "Bob", "a", (1, 2)))
    answer = await join(
        "Ann was born first [3]. Ann was born in 1869 [1], and Bob in 1863 [2].", checked=True, parts=parts
    )
    assert answer == "Ann was born in 1869 [1], and Bob in 1863 [2]. Bob. [3]"


async def test_checked_a_later_sentence_of_a_step_that_is_kept_is_shown_too() -> None:
    long = Part(
        1,
        HEART.question,
        "A cardiologist treats heart attack, heart failure, high blood pressure and bad valves. They use ultrasound.",
        "medicine",
    )
    reply = (
        "A cardiologist treats heart attack, heart failure, high blood pressure and bad valves. They use ultrasound."
    )
    answer = await join(reply, checked=True, parts=(long, GLANDS))
    assert "They use ultrasound. [1]" in answer


async def test_the_model_is_asked_with_everything_it_needs() -> None:
    for checked in (True, False):
        model = WrittenPlans(MERGED)

        @asynccontextmanager
        async def lease(model: Backend = model) -> AsyncIterator[Backend]:
            yield model

        aggregator = ModelAggregator("m", lease, checked=checked)
        assert [piece async for piece in aggregator.join(QUESTION, (HEART, GLANDS))]
        asked = model.calls[0].messages[-1].content
        assert QUESTION in asked
        assert HEART.answer in asked
        assert (HEART.question in asked) is not checked
        assert ("every sentence checked" in aggregator.name) is checked


@pytest.mark.parametrize("adapter", [None, "aggregator"])
async def test_checked_a_gap_is_never_filled(adapter: str | None) -> None:
    gap = Part(3, "What is the dose?", "", "")
    reply = f"{HEART.answer} The dose is 5 mg. {GLANDS.answer}"
    answer = await join(reply, checked=True, parts=(HEART, GLANDS, gap), adapter=adapter)
    assert answer == f"{HEART.answer} [1] {GLANDS.answer} [2]"


async def test_an_adapter_sees_the_question_the_edges_and_the_gaps() -> None:
    model = WrittenPlans("So [1].")

    @asynccontextmanager
    async def lease() -> AsyncIterator[Backend]:
        yield model

    parts = (HEART, GLANDS, Part(3, "Which is larger?", "", "", (1, 2)))
    aggregator = ModelAggregator("m", lease, checked=False, adapter="aggregator")
    assert "".join([piece async for piece in aggregator.join(QUESTION, parts)]) == "So [1]."
    assert aggregator.name == "model m, adapter aggregator"
    assert model.calls[0].adapter == "aggregator"
    assert model.calls[0].messages == (
        Message("system", "Join."),
        Message(
            "user",
            f"{QUESTION}\n[1] {HEART.question} -> {HEART.answer}\n[2] {GLANDS.question} -> {GLANDS.answer}\n"
            "[3 after 1, 2] Which is larger? -> (no answer)",
        ),
    )
