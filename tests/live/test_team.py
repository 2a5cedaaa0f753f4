"""The starter team with its real model: answers, explains, remembers, substitutes, and stops when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import platformdirs
import psutil
import pytest

import compllm
from compllm.config import load_team, starter_path
from compllm.core import events as ev
from compllm.journal import Journal
from compllm.pipeline import Team
from compllm.settings import Settings
from tests.wiring import answer_of, of

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio]

CACHE_DIR = Path(os.environ.get("COMPLLM_CACHE_DIR") or platformdirs.user_cache_dir("compllm"))
QUESTION = "What does a cardiologist treat, and what does an endocrinologist treat?"

# Two specialists on the bundled model, with short answers, so that each test takes seconds.
SMALL = """
name: small
models:
  smollm2: {backend: embedded, slots: 2, context_tokens: 256}
router: {fallback: general}
experts:
  general: {model: smollm2, max_tokens: 16, instructions: Answer in one short sentence.}
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
async def starter(anyio_backend: str, data_dir: Path) -> AsyncIterator[Team]:
    async with Team(load_team(starter_path()), Settings(CACHE_DIR, data_dir)) as team:
        yield team


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "compllm.yaml"
    path.write_text(SMALL)
    return path


@pytest.mark.timeout(240)
async def test_two_specialists_answer_and_the_journal_has_it(starter: Team, data_dir: Path) -> None:
    answer = await starter.ask(QUESTION)
    assert "heart" in answer.text.lower()
    assert "[1]" in answer.text
    assert "[2]" in answer.text
    assert answer.gaps == ()
    with Journal(data_dir / "runs.sqlite3") as journal:
        assert journal.run(answer.run).question == QUESTION
        events = [stamped.event for stamped in journal.events(answer.run)]
    assert answer_of(events) == answer.text
    completed = of(ev.NodeCompleted, events)
    assert [event.answer.expert for event in completed] == ["medicine", "medicine"]
    assert all(event.answer.passages for event in completed)


@pytest.mark.timeout(240)
async def test_the_starter_plans_what_depends_on_what(starter: Team) -> None:
    plan, assignments, notes = await starter.plan("What is the population of the capital of France?")
    assert plan.edges == ((1, 2),)
    assert "capital of France" in plan[1].display
    assert assignments[1].expert == "geography"
    assert notes == []
    plan, _, notes = await starter.plan("What is the capital of France?")
    assert [step.display for step in plan.steps] == ["What is the capital of France?"]
    assert notes == []


@pytest.mark.timeout(240)
async def test_the_second_question_finds_the_model_warm_and_a_plan_substitutes(starter: Team) -> None:
    plan = compllm.parse_plan(
        "1. [geography] What is the capital of France?\n2. [geography] Which river flows through #1?"
    )
    events = [stamped.event async for stamped in starter.stream("Which river?", plan=plan)]
    assert of(ev.ModelLoading, events) == []
    first, second = of(ev.NodeCompleted, events)
    assert "Paris" in first.answer.text
    asked = of(ev.NodeRouted, events)[0].question
    assert "#1" not in asked
    assert "Paris" in asked
    assert second.answer.text
    assert "[2]" in answer_of(events)


@pytest.mark.timeout(120)
async def test_one_line_of_python_answers(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPLLM_CACHE_DIR", str(CACHE_DIR))
    monkeypatch.setenv("COMPLLM_DATA_DIR", str(tmp_path / "data"))
    before = _workers(psutil.Process())
    ask = partial(compllm.ask, "What is the capital of France?", team=small)
    answer = await anyio.to_thread.run_sync(ask)  # it has a loop of its own
    assert "Paris" in str(answer)
    assert _workers(psutil.Process()) == before


@pytest.mark.timeout(120)
def test_an_interrupt_ends_with_130_and_leaves_no_worker(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace("max_tokens: 16", "max_tokens: 200"))
    environment = {**os.environ, "COMPLLM_CACHE_DIR": str(CACHE_DIR), "COMPLLM_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-c", "from compllm.cli.main import app; app()", "ask", "--json", "--team", str(small)]
    with subprocess.Popen(
        [*command, "Tell me a long story about the sea."], env=environment, stdout=subprocess.PIPE, text=True
    ) as asking:
        assert asking.stdout is not None
        seen = next(line for line in asking.stdout if "node_delta" in line)
        workers = _workers(psutil.Process(asking.pid))
        asking.send_signal(signal.SIGINT)
        rest = asking.stdout.read()
        code = asking.wait(timeout=20)
    assert seen
    assert workers
    assert "run_completed" not in rest
    assert code == 130
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children(recursive=True) if "compllm" in " ".join(child.cmdline())]


@pytest.mark.timeout(120)
async def test_whoever_stops_reading_frees_the_model(small: Path, tmp_path: Path) -> None:
    async with Team(load_team(small), Settings(CACHE_DIR, tmp_path / "data")) as team:
        events = team.stream("Tell me a story about a ship.")
        async for stamped in events:
            if isinstance(stamped.event, ev.NodeDelta):
                break
        await events.aclose()
        with anyio.fail_after(30):
            assert (await team.ask("What is the capital of France?")).text
