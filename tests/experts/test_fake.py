"""The shipped fake keeps the promises of a backend, and records what was done with it."""

from contextlib import aclosing

import anyio
import pytest

from compllm.errors import ExpertError, ExpertLoadError, ExpertOutOfMemoryError, ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Chunk, LoadReport, Message
from compllm.experts.fake import FakeExpert

pytestmark = pytest.mark.anyio


def asking(text: str) -> ChatRequest:
    return ChatRequest((Message("system", "You answer."), Message("user", text)))


async def chunks_of(expert: FakeExpert, text: str) -> list[Chunk]:
    return [chunk async for chunk in expert.stream(asking(text))]


async def test_it_is_a_backend() -> None:
    backend: Backend = FakeExpert()
    assert isinstance(backend, Backend)


async def test_it_echoes_in_one_piece_and_counts_words() -> None:
    assert await chunks_of(FakeExpert(), "one two") == [Chunk("one two"), Chunk("", 4, 2, "stop")]


async def test_it_answers_by_mapping_or_function() -> None:
    assert (await chunks_of(FakeExpert({"a?": "A"}), "a?"))[0].text == "A"
    assert (await chunks_of(FakeExpert(str.upper), "abc"))[0].text == "ABC"
    with pytest.raises(ExpertResponseError, match="no answer is scripted for 'b"):
        await chunks_of(FakeExpert({"a?": "A"}), "b?")


@pytest.mark.parametrize("text", ["", " ", "a", " one  two\nthree "])
async def test_words_join_to_the_text(text: str) -> None:
    assert "".join(chunk.text for chunk in await chunks_of(FakeExpert(token_s=1e-4), text)) == text


async def test_words_come_one_by_one() -> None:
    chunks = await chunks_of(FakeExpert(token_s=1e-4), "one two three")
    assert [chunk.text for chunk in chunks] == ["one ", "two ", "three", ""]


async def test_delays_pass() -> None:
    expert = FakeExpert(first_token_s=0.05, token_s=0.02, load_s=0.03, footprint_bytes=9)
    begin = anyio.current_time()
    assert await expert.load() == LoadReport(9, 0.03)
    loaded = anyio.current_time()
    await chunks_of(expert, "one two")
    assert loaded - begin >= 0.029
    assert anyio.current_time() - loaded >= 0.069


async def test_failures_follow_the_script() -> None:
    expert = FakeExpert(
        failures={2: ExpertError("second", retryable=True)}, load_failures={1: ExpertOutOfMemoryError("full")}
    )
    with pytest.raises(ExpertOutOfMemoryError):
        await expert.load()
    assert not expert.loaded
    await expert.load()
    await chunks_of(expert, "first")
    with pytest.raises(ExpertError, match="second"):
        await chunks_of(expert, "x")
    await chunks_of(expert, "third")
    assert (expert.loads, len(expert.calls), expert.cancelled, expert.open_streams) == (2, 3, [], 0)


async def test_a_hanging_stream_ends_by_cancellation_alone() -> None:
    expert = FakeExpert(hang=True)
    with anyio.move_on_after(0.02) as scope:
        await chunks_of(expert, "x")
    assert scope.cancelled_caught
    assert expert.cancelled == [asking("x")]
    assert expert.open_streams == 0


async def test_closing_before_the_end_is_a_cancellation_and_after_it_is_not() -> None:
    expert = FakeExpert()
    for pieces, cancelled in ((1, 1), (2, 1)):
        async with aclosing(expert.stream(asking("x"))) as stream:
            for _ in range(pieces):
                await anext(stream)
        assert len(expert.cancelled) == cancelled


async def test_the_most_streams_at_once_are_remembered() -> None:
    expert = FakeExpert(first_token_s=0.01)
    async with anyio.create_task_group() as group:
        for text in ("a", "b", "c"):
            group.start_soon(chunks_of, expert, text)
    await chunks_of(expert, "d")
    assert (expert.max_open_streams, expert.open_streams) == (3, 0)


async def test_a_crash_ends_streams_and_is_reported_until_the_next_load() -> None:
    expert = FakeExpert(hang=True)
    await expert.load()
    reasons: list[str] = []

    async def watch() -> None:
        reasons.append(await expert.crashed())

    async def ask() -> None:
        with pytest.raises(ExpertLoadError, match="killed"):
            await chunks_of(expert, "x")

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        expert.crash("killed")
    assert reasons == ["killed"]
    assert not expert.loaded
    expert.hang = False
    with pytest.raises(ExpertLoadError):
        await chunks_of(expert, "x")
    await expert.load()
    assert (await chunks_of(expert, "x"))[0].text == "x"
    with anyio.move_on_after(0.01) as scope:
        await expert.crashed()
    assert scope.cancelled_caught


async def test_evicting_counts_only_what_was_loaded() -> None:
    expert = FakeExpert()
    await expert.evict()
    await expert.load()
    await expert.evict()
    assert (expert.evictions, expert.loaded) == (1, False)
