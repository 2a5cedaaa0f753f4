"""The bundled model through the embedded backend: answers, constraints, batching, footprint."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import platformdirs
import pytest

from compllm.errors import ExpertLoadError, ExpertOutOfMemoryError, ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Chunk, LoadReport, Message
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.embedded.launch import Worker
from compllm.experts.embedded.weights import bundled_weights

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio]

CACHE_DIR = Path(os.environ.get("COMPLLM_CACHE_DIR") or platformdirs.user_cache_dir("compllm"))
CONTEXT_TOKENS = 256
SLOTS = 3


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def loaded(anyio_backend: str) -> AsyncIterator[tuple[EmbeddedBackend, LoadReport]]:
    backend = EmbeddedBackend(cache_dir=CACHE_DIR, threads=2, context_tokens=CONTEXT_TOKENS, slots=SLOTS)
    report = await backend.load()
    yield backend, report
    await backend.evict()


async def answer(backend: EmbeddedBackend, question: str, max_tokens: int = 24, **constraint: str) -> list[Chunk]:
    request = ChatRequest((Message("user", question),), max_tokens, **constraint)  # type: ignore[arg-type]
    return [chunk async for chunk in backend.stream(request)]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def test_capital_of_france(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    chunks = await answer(loaded[0], "What is the capital of France?")
    assert "Paris" in text(chunks)
    assert isinstance(loaded[0], Backend)
    assert chunks[-1].text == ""
    assert chunks[-1].finish_reason == "stop"
    assert (chunks[-1].prompt_tokens or 0) > 10
    assert 0 < (chunks[-1].completion_tokens or 0) <= 24


async def test_grammar_and_schema_are_enforced(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    assert text(await answer(loaded[0], "Which colour?", grammar='root ::= "mauve" | "ochre"')) in ("mauve", "ochre")
    schema = '{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}'
    reply = "".join(text(await answer(loaded[0], "Is it?", json_schema=schema)).split())
    assert reply in ('{"ok":true}', '{"ok":false}')


async def test_bad_grammar_is_refused_and_harms_nobody(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    with pytest.raises(ExpertResponseError) as failure:
        await answer(loaded[0], "Hello", grammar="root ::= (")
    assert not failure.value.retryable
    assert await answer(loaded[0], "Hello", 2)


async def test_question_longer_than_the_context_names_both(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    with pytest.raises(ExpertResponseError, match=f"context of {CONTEXT_TOKENS}") as failure:
        await answer(loaded[0], "word " * 400)
    assert not failure.value.retryable


async def test_more_requests_than_slots_are_all_answered(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    replies: list[str] = []

    async def ask(number: int) -> None:
        replies.append(text(await answer(loaded[0], f"Say something about the number {number}.", 4)))

    async with anyio.create_task_group() as group:
        for number in range(2 * SLOTS):
            group.start_soon(ask, number)
    assert len(replies) == 2 * SLOTS
    assert all(replies)


async def test_footprint_bounds_what_full_contexts_hold(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    backend, report = loaded
    async with anyio.create_task_group() as group:
        for number in range(SLOTS):
            group.start_soon(answer, backend, f"{number} " + "many words " * 100, 400)
    assert backend._worker is not None
    resident_bytes = backend._worker.resident_bytes()
    assert resident_bytes <= report.footprint_bytes < 1.15 * resident_bytes
    assert resident_bytes <= backend.estimated_footprint_bytes() < 1.16 * resident_bytes


async def test_many_different_prompts_do_not_pile_up(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    assert loaded[0]._worker is not None
    before_bytes = loaded[0]._worker.resident_bytes()
    for number in range(8):  # some 100 tokens each, 23 kB a token
        await answer(loaded[0], f"{number} is the number of this prompt. " + f"{number} " * 40, 1)
    assert loaded[0]._worker.resident_bytes() - before_bytes < 4 * 2**20


async def test_requests_without_the_key_are_refused(loaded: tuple[EmbeddedBackend, LoadReport]) -> None:
    import httpx

    assert loaded[0]._worker is not None
    async with httpx.AsyncClient(base_url=loaded[0]._worker._client.base_url, trust_env=False) as stranger:
        assert (await stranger.get("/slots")).status_code == 401
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        assert (await stranger.post("/v1/chat/completions", json=body)).status_code == 401


async def test_file_that_is_cut_off_cannot_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    with bundled_weights(CACHE_DIR).open("rb") as whole:
        path.write_bytes(whole.read(4 * 2**20))
    backend = EmbeddedBackend(path, cache_dir=tmp_path, threads=1, slots=1)
    with pytest.raises(ExpertLoadError, match=r"cut\.gguf could not be loaded") as failure:
        await backend.load()
    assert not failure.value.retryable
    assert backend.worker_pid is None


async def test_want_of_memory_is_reported_as_such() -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of another process can be set on Linux only")
    worker = await Worker.start(slots=1)
    limit_bytes = 600 * 2**20  # enough for the runtime and the file, too little for the KV cache
    resource.prlimit(worker.process.pid, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    settings = {
        "model_path": str(bundled_weights(CACHE_DIR)),
        "context_tokens": 8192,
        "slots": 2,
        "threads": 1,
        "alone": True,
        "batch_tokens": 64,
        "adapters": [],
        "need_bytes": 700 * 2**20,
    }
    try:
        with pytest.raises(ExpertOutOfMemoryError):
            await worker.load("m", settings)
    finally:
        await worker.end()
