"""Counting what calls cost."""

from __future__ import annotations

import pytest

from compllm.errors import ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Message
from compllm.experts.fake import FakeExpert
from compllm.experts.metered import Metered, Usage

pytestmark = pytest.mark.anyio
REQUEST = ChatRequest((Message("user", "one two three"),))


async def test_calls_and_tokens_of_several_backends_add_up() -> None:
    usage = Usage()
    for answer in ("four five", "six"):
        backend: Backend = Metered(FakeExpert(lambda _, said=answer: said), usage)
        assert [chunk.text async for chunk in backend.stream(REQUEST)] == [answer, ""]
    assert usage == Usage(calls=2, prompt_tokens=6, completion_tokens=3)


async def test_a_call_that_fails_counts_without_tokens() -> None:
    usage = Usage()
    backend = Metered(FakeExpert({}), usage)
    with pytest.raises(ExpertResponseError):
        [chunk async for chunk in backend.stream(REQUEST)]
    assert usage == Usage(calls=1)


async def test_loads_evictions_and_deaths_are_those_of_the_backend() -> None:
    fake = FakeExpert(footprint_bytes=7)
    backend = Metered(fake, Usage())
    assert (await backend.load()).footprint_bytes == 7
    await backend.evict()
    assert (fake.loads, fake.evictions) == (1, 1)
    await backend.load()
    fake.crash("gone")
    assert await backend.crashed() == "gone"
    assert (backend.supports_grammar, backend.supports_json_schema) == (True, True)
