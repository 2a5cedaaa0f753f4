"""Adapters of the bundled model, made on the spot: who asks for one gets it, and nobody else does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import anyio
import pytest

from compllm.errors import ConfigError, ExpertResponseError
from compllm.experts.base import ChatRequest, Message
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.embedded.footprint import read_header
from compllm.experts.embedded.weights import bundled_source
from compllm.pipeline import Team
from compllm.planner.language import grammar
from compllm.settings import load_settings
from tests.adapters import write_adapter

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio]

CACHE_DIR = load_settings().cache_dir
CONTEXT_TOKENS = 256
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, base = tmp_path_factory.mktemp("adapters"), read_header(bundled_source())
    strengths = {"nothing": 0.0, "some": 0.5, "other": 0.5}  # 0.5 garbles the model: no near ties
    return {
        name: write_adapter(folder / f"{name}.gguf", base, strength, seed=seed)
        for seed, (name, strength) in enumerate(strengths.items())
    }


def backend(adapters: Mapping[str, Path]) -> EmbeddedBackend:
    return EmbeddedBackend(
        cache_dir=CACHE_DIR, threads=2, context_tokens=CONTEXT_TOKENS, slots=3, adapters=dict(adapters)
    )


@pytest.fixture(scope="module")
async def loaded(anyio_backend: str, adapters: dict[str, Path]) -> AsyncIterator[EmbeddedBackend]:
    model = backend(adapters)
    await model.load()
    yield model
    await model.evict()


async def reply(model: EmbeddedBackend, adapter: str | None, question: str = QUESTION, max_tokens: int = 8) -> str:
    request = ChatRequest((Message("user", question),), max_tokens, adapter=adapter)
    return "".join([chunk.text async for chunk in model.stream(request)])


async def test_an_adapter_answers_only_who_asked_for_it(loaded: EmbeddedBackend) -> None:
    base = await reply(loaded, None)
    assert "Paris" in base
    assert await reply(loaded, "nothing") == base
    changed = {name: await reply(loaded, name) for name in ("some", "other")}
    assert len({base, *changed.values()}) == 3
    assert await reply(loaded, None) == base


async def test_the_base_answers_as_if_there_were_no_adapters(loaded: EmbeddedBackend) -> None:
    alone = backend({})
    await alone.load()
    try:
        assert await reply(alone, None) == await reply(loaded, None)
        with pytest.raises(ExpertResponseError, match="no adapter 'some'"):
            await reply(alone, "some")
    finally:
        await alone.evict()


async def test_a_prompt_that_another_adapter_read_is_read_anew(loaded: EmbeddedBackend) -> None:
    names = (None, "some", "other")
    expected = {name: await reply(loaded, name) for name in names}
    assert len(set(expected.values())) == 3
    for before in names:
        for name in names:
            async with anyio.create_task_group() as group:  # every slot has read the prompt under `before`
                for _ in range(loaded.slots):
                    group.start_soon(reply, loaded, before, QUESTION, 1)
            assert await reply(loaded, name) == expected[name]


@pytest.mark.timeout(240)
async def test_requests_at_the_same_time_do_not_mix(loaded: EmbeddedBackend) -> None:
    names = (None, "some", "other") * 3
    expected = {name: await reply(loaded, name) for name in set(names)}
    replies: list[tuple[str | None, str]] = []

    async def ask(name: str | None) -> None:
        replies.append((name, await reply(loaded, name)))

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(ask, name)
    assert len(replies) == len(names)
    assert all(said == expected[name] for name, said in replies)


async def test_a_plan_is_constrained_under_an_adapter(loaded: EmbeddedBackend) -> None:
    request = ChatRequest((Message("user", QUESTION),), 24, grammar=grammar(12, tagged=True), adapter="some")
    written = "".join([chunk.text async for chunk in loaded.stream(request)])
    assert written.startswith("1. [")


async def test_adapters_are_part_of_the_footprint(loaded: EmbeddedBackend, adapters: dict[str, Path]) -> None:
    files_bytes = sum(path.stat().st_size for path in adapters.values())
    assert loaded.estimated_footprint_bytes() - backend({}).estimated_footprint_bytes() == files_bytes
    for name in adapters:
        await reply(loaded, name, f"{name} " + "many words " * 50, 64)
    assert loaded._worker is not None
    assert loaded._worker.resident_bytes() <= loaded.estimated_footprint_bytes()


TEAM = """\
models:
  m: {backend: embedded, context_tokens: 512, slots: 2, adapters: {mine: ADAPTER}}
experts:
  general: {model: m, adapter: mine, max_tokens: 8}
router: {fallback: general}
"""


async def test_a_team_answers_with_an_adapter_of_its_own(
    tmp_path: Path, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch, loaded: EmbeddedBackend
) -> None:
    monkeypatch.setenv("COMPLLM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COMPLLM_CACHE_DIR", str(CACHE_DIR))
    file = tmp_path / "compllm.yaml"
    file.write_text(TEAM.replace("ADAPTER", str(adapters["some"])))
    async with Team.load(file) as team:
        answer = await team.ask(QUESTION)
    assert answer.text == (await reply(loaded, "some")).strip()


def test_a_team_with_a_file_that_is_no_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(bundled_source().read_bytes())
    file = tmp_path / "compllm.yaml"
    file.write_text(TEAM.replace("ADAPTER", "model.gguf"))
    with pytest.raises(ConfigError, match=r"model\.gguf is not a LoRA adapter"):
        Team.load(file)
