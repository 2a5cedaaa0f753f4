"""Two models in the memory of one: both answer, one is evicted for the other, and the capacity is never exceeded."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import platformdirs
import psutil
import pytest

from compllm.config import load_team
from compllm.core import events as ev
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.pipeline import Team
from compllm.planner.language import parse_plan
from compllm.settings import Settings
from tests.wiring import answer_of, of

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio]

CACHE_DIR = Path(os.environ.get("COMPLLM_CACHE_DIR") or platformdirs.user_cache_dir("compllm"))
SAMPLE_S = 0.02
TOLERANCE = 1.05
FILE = """
devices: {{cpu: {{capacity: {capacity}}}}}
models:
  one: {{backend: embedded, slots: 1, context_tokens: 512}}
  two: {{backend: embedded, slots: 1, context_tokens: 512}}
router: {{fallback: first}}
experts:
  first: {{model: one, max_tokens: 16, description: An expert in countries., instructions: Answer in one sentence.}}
  second: {{model: two, max_tokens: 16, description: An expert in rivers., instructions: Answer in one sentence.}}
"""
PLAN = "1. [countries] What is the capital of France?\n2. [rivers] Which river flows through #1?"


class Memory:
    """Samples what all worker processes hold together."""

    def __init__(self) -> None:
        self.most_bytes = self.samples = self.most_workers = 0

    async def watch(self) -> None:
        me = psutil.Process()
        while True:
            held = [_held_bytes(child) for child in me.children(recursive=True)]
            self.most_bytes = max(self.most_bytes, sum(held))
            self.most_workers = max(self.most_workers, len(held))
            self.samples += 1
            await anyio.sleep(SAMPLE_S)


def _held_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@pytest.mark.timeout(180)
async def test_a_plan_that_needs_two_models_fits_the_memory_of_one(tmp_path: Path) -> None:
    alone = EmbeddedBackend(cache_dir=CACHE_DIR, threads=2, context_tokens=512, slots=1).estimated_footprint_bytes()
    capacity_bytes = int(1.1 * alone)
    path = tmp_path / "compllm.yaml"
    path.write_text(FILE.format(capacity=capacity_bytes))
    memory = Memory()
    async with anyio.create_task_group() as sampling:
        sampling.start_soon(memory.watch)
        async with Team(load_team(path), Settings(CACHE_DIR, tmp_path / "data")) as team:
            events = [stamped.event async for stamped in team.stream("Which river?", plan=parse_plan(PLAN))]
        sampling.cancel_scope.cancel()
    assert [event.answer.model for event in of(ev.NodeCompleted, events)] == ["one", "two"]
    assert [event.model for event in of(ev.ModelEvicted, events)] == ["one"]
    assert [event.model for event in of(ev.ModelLoaded, events)] == ["one", "two"]
    assert "Paris" in answer_of(events)
    assert memory.samples > 50
    assert alone / 2 < memory.most_bytes <= TOLERANCE * capacity_bytes
