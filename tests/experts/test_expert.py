"""What an expert makes of a question and of what the model says."""

from __future__ import annotations

import pytest

from compllm.core.answers import Passage, SubAnswer
from compllm.core.routing import ExpertProfile
from compllm.errors import ExpertError, ExpertResponseError
from compllm.experts.base import Message
from compllm.experts.expert import Expert
from compllm.experts.fake import FakeExpert

pytestmark = pytest.mark.anyio

PROFILE = ExpertProfile("law", "m", "An expert in law.")
PASSAGES = (Passage("a.md", "A", "First.", 0.9), Passage("a.md", "B", "Second.", 0.5))


async def pieces_of(expert: Expert, fake: FakeExpert, question: str = "Why?") -> list[str | SubAnswer]:
    return [piece async for piece in expert.answer(question, fake)]


async def test_the_words_come_as_they_are_written_and_then_the_whole() -> None:
    fake = FakeExpert({"Why?": " because it is "}, token_s=0.001)
    *words, answer = await pieces_of(Expert(PROFILE), fake)
    assert "".join(str(word) for word in words) == " because it is "
    assert len(words) == 3
    assert isinstance(answer, SubAnswer)
    assert (answer.text, answer.expert, answer.model, answer.passages) == ("because it is", "law", "m", ())
    assert (answer.prompt_tokens, answer.completion_tokens) == (1, 3)
    assert 0 < answer.ttft_s < answer.elapsed_s


async def test_the_model_gets_instructions_then_passages_then_the_question() -> None:
    asked: list[tuple[str, int]] = []

    def retrieve(question: str, limit: int) -> tuple[Passage, ...]:
        asked.append((question, limit))
        return PASSAGES

    fake = FakeExpert()
    *_, answer = await pieces_of(
        Expert(PROFILE, "Be brief.", retrieve, passages=3, max_tokens=7, temperature=0.5), fake
    )
    assert asked == [("Why?", 3)]
    assert fake.calls[0].messages == (
        Message("system", "Be brief."),
        Message("user", "A\nFirst.\n\nB\nSecond.\n\nQuestion: Why?"),
    )
    assert (fake.calls[0].max_tokens, fake.calls[0].temperature) == (7, 0.5)
    assert isinstance(answer, SubAnswer)
    assert answer.passages == PASSAGES


async def test_a_title_is_not_said_twice() -> None:
    passages = (Passage("a.md", "Berlin", "Berlin opens at nine.", 0.9), Passage("a.md", "", "Closed on Sundays.", 0.5))
    fake = FakeExpert()
    await pieces_of(Expert(PROFILE, "", lambda question, limit: passages), fake)
    assert fake.calls[0].messages[-1].content == "Berlin opens at nine.\n\nClosed on Sundays.\n\nQuestion: Why?"


async def test_without_passages_and_instructions_the_question_stands_alone() -> None:
    fake = FakeExpert()
    await pieces_of(Expert(PROFILE, "", lambda question, limit: ()), fake)
    assert fake.calls[0].messages == (Message("user", "Why?"),)


async def test_a_reader_reads_and_without_documents_the_base_model_answers() -> None:
    fake = FakeExpert(str.upper)
    await pieces_of(Expert(PROFILE, "Be brief.", lambda question, limit: PASSAGES, adapter="reader"), fake)
    await pieces_of(Expert(PROFILE, "Be brief.", adapter="reader"), fake)
    assert [call.adapter for call in fake.calls] == ["reader", None]
    assert [call.messages[0].content for call in fake.calls] == ["Read.", "Be brief."]
    assert fake.calls[0].messages[1].content == "First.\n\nSecond.\n\nQuestion: Why?"


async def test_a_reader_with_documents_that_are_silent_asks_no_model() -> None:
    fake = FakeExpert()
    with pytest.raises(ExpertResponseError, match="its documents do not say") as failure:
        await pieces_of(Expert(PROFILE, "", lambda question, limit: (), adapter="reader"), fake)
    assert (failure.value.retryable, fake.calls) == (False, [])


async def test_any_other_adapter_answers_always_as_instructed() -> None:
    fake = FakeExpert(lambda question: "So.")
    await pieces_of(Expert(PROFILE, "Be brief.", adapter="mine"), fake)
    await pieces_of(Expert(PROFILE, "Be brief.", lambda question, limit: PASSAGES, adapter="mine"), fake)
    assert [call.adapter for call in fake.calls] == ["mine", "mine"]
    assert all(call.messages[0] == Message("system", "Be brief.") for call in fake.calls)


async def test_a_reader_that_finds_nothing_has_no_answer() -> None:
    fake = FakeExpert(lambda question: " Not in the documents.\n")
    with pytest.raises(ExpertResponseError, match="documents do not say") as failure:
        await pieces_of(Expert(PROFILE, "", lambda question, limit: PASSAGES, adapter="reader"), fake)
    assert (failure.value.retryable, failure.value.expert) == (False, "law")
    *_, answer = await pieces_of(Expert(PROFILE, "", lambda question, limit: PASSAGES), fake)
    assert isinstance(answer, SubAnswer)
    assert answer.text == "Not in the documents."


@pytest.mark.parametrize("text", ["", " \n"])
async def test_nothing_is_no_answer(text: str) -> None:
    with pytest.raises(ExpertResponseError, match="answered nothing") as failure:
        await pieces_of(Expert(PROFILE), FakeExpert({"Why?": text}))
    assert (failure.value.retryable, failure.value.expert) == (True, "law")


async def test_a_model_that_ran_out_of_tokens_before_it_answered_would_do_so_again() -> None:
    with pytest.raises(ExpertResponseError, match="spent its 7 tokens before it wrote an answer") as failure:
        await pieces_of(Expert(PROFILE, max_tokens=7), FakeExpert({"Why?": ""}, finish_reason="length"))
    assert (failure.value.retryable, failure.value.expert) == (False, "law")


@pytest.mark.parametrize(("finish_reason", "is_cut"), [("stop", False), ("length", True), ("content_filter", True)])
async def test_an_answer_that_was_cut_off_says_so(finish_reason: str, is_cut: bool) -> None:
    fake = FakeExpert({"Why?": "The dose is 5"}, finish_reason=finish_reason)
    *_, answer = await pieces_of(Expert(PROFILE), fake)
    assert isinstance(answer, SubAnswer)
    assert (answer.text, answer.is_cut) == ("The dose is 5", is_cut)
    assert ("raise it for the expert law" in answer.caveat) is is_cut


async def test_a_failure_passes_and_leaves_no_stream() -> None:
    fake = FakeExpert(failures={1: ExpertError("away", retryable=True)})
    with pytest.raises(ExpertError, match="away"):
        await pieces_of(Expert(PROFILE), fake)
    assert fake.open_streams == 0


async def test_closing_early_stops_the_model() -> None:
    fake = FakeExpert({"Why?": "one two three"}, token_s=0.001)
    answer = Expert(PROFILE).answer("Why?", fake)
    assert await anext(answer) == "one "
    await answer.aclose()
    assert (fake.open_streams, len(fake.cancelled)) == (0, 1)


def silent_on_first(message: str) -> str:
    return "Not in the documents." if "First." in message else "Second it is."


async def test_a_reader_that_finds_nothing_in_the_best_passage_reads_the_next() -> None:
    fake = FakeExpert(silent_on_first, token_s=0.001)
    expert = Expert(PROFILE, retrieve=lambda question, limit: PASSAGES[:limit], passages=1, adapter="reader")
    *words, answer = await pieces_of(expert, fake)
    assert "".join(map(str, words)) == "Second it is."
    assert isinstance(answer, SubAnswer)
    assert (answer.text, answer.passages) == ("Second it is.", PASSAGES[1:])
    assert (answer.prompt_tokens, answer.completion_tokens) == (4 + 4, 4 + 3)
    assert 0 < answer.ttft_s <= answer.elapsed_s


@pytest.mark.parametrize("score", [0.49, 0.5])
async def test_only_passages_close_enough_are_read_after_the_best(score: float) -> None:
    passages = (PASSAGES[0], Passage("a.md", "B", "Third.", score))
    fake = FakeExpert(lambda message: "Not in the documents.")
    expert = Expert(PROFILE, retrieve=lambda question, limit: passages[:limit], passages=1, adapter="reader")
    with pytest.raises(ExpertResponseError, match="its documents do not say"):
        await pieces_of(expert, fake)
    assert len(fake.calls) == (2 if score >= 0.5 else 1)


async def test_who_is_no_reader_reads_once() -> None:
    fake = FakeExpert(lambda message: "Not in the documents.")
    *_, answer = await pieces_of(Expert(PROFILE, retrieve=lambda question, limit: PASSAGES[:limit], passages=1), fake)
    assert isinstance(answer, SubAnswer)
    assert (answer.text, len(fake.calls)) == ("Not in the documents.", 1)


async def test_an_answer_that_begins_like_a_refusal_is_shown_whole() -> None:
    fake = FakeExpert(lambda message: "Not in the")
    expert = Expert(PROFILE, retrieve=lambda question, limit: PASSAGES[:limit], adapter="reader")
    word, answer = await pieces_of(expert, fake)
    assert word == "Not in the"
    assert isinstance(answer, SubAnswer)
