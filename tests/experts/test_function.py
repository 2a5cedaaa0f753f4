"""A function in the place of a model: what it gets, what it may return, and how it fails."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from compllm.config import load_team
from compllm.errors import ConfigError, ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Message
from compllm.experts.calculator import calculate
from compllm.experts.function import FunctionBackend, find_function
from compllm.pipeline import Team
from compllm.router.base import Encoder
from tests.router.encoders import WordEncoder

pytestmark = pytest.mark.anyio

ASKED = ChatRequest((Message("system", "Be brief."), Message("user", "Why?")))
TEAM = """
models:
  sums: {{backend: function, function: "{function}"}}
planner: {{kind: rules}}
router: {{mode: tag, fallback: mathematics}}
experts:
  mathematics: {{model: sums, description: An expert in mathematics who answers about sums.}}
"""


async def text_of(function: Callable[[str], Any]) -> str:
    backend = FunctionBackend(function, "f")
    return "".join([chunk.text async for chunk in backend.stream(ASKED)])


async def test_it_gets_the_question_and_its_answer_is_the_text() -> None:
    assert isinstance(FunctionBackend(str, "f"), Backend)
    assert (await FunctionBackend(str, "f").load()).footprint_bytes == 0
    assert await text_of(str.upper) == "WHY?"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda _: None, "f has no answer"),
        (lambda _: "", "f has no answer"),
        (lambda _: " \n", "f has no answer"),
        (lambda _: 3, "f returned int instead of text"),
        (lambda question: {}[question], "f raised KeyError: 'Why\\?'"),
    ],
)
async def test_what_is_no_answer_fails_with_a_reason(function: Callable[[str], object], reason: str) -> None:
    with pytest.raises(ExpertResponseError, match=reason) as failure:
        await text_of(function)
    assert not failure.value.retryable


async def test_a_slow_function_is_not_waited_for_when_it_is_cancelled() -> None:
    begun, end = threading.Event(), threading.Event()

    def wait(question: str) -> str:
        begun.set()
        end.wait(10)
        return question

    async with anyio.create_task_group() as group:
        group.start_soon(text_of, wait)
        await anyio.to_thread.run_sync(begun.wait)
        assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0  # others have all of theirs
        group.cancel_scope.cancel()
    assert not end.is_set()
    end.set()


def test_a_function_that_never_returns_keeps_no_process_from_ending() -> None:
    script = """
import threading, anyio
from compllm.experts.base import ChatRequest, Message
from compllm.experts.function import FunctionBackend
begun = threading.Event()

def hang(question):
    begun.set()
    threading.Event().wait()

async def ask():
    async for chunk in FunctionBackend(hang, "f").stream(ChatRequest((Message("user", "Why?"),))):
        pass

async def main():
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()

anyio.run(main)
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "ended\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_module:f", "no_such_module cannot be imported .ModuleNotFoundError"),
        ("broken_module:f", "cannot be imported .NameError"),
        ("leaving_module:f", "cannot be imported .SystemExit: 3"),
        ("compllm.experts.calculator:f", "has no function f"),
        ("compllm.experts.calculator:MAX_CHARACTERS", "has no function MAX_CHARACTERS"),
        ("waiting_module:f", "waiting_module:f is a coroutine function"),
    ],
)
def test_a_function_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    (tmp_path / "broken_module.py").write_text("def f(question): return question\nnonsense\n")
    (tmp_path / "waiting_module.py").write_text("async def f(question): return question\n")
    (tmp_path / "leaving_module.py").write_text("import sys\ndef f(question): return question\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"^models\.sums: .*{reason}"):
        find_function(path, "models.sums")
    assert find_function("compllm.experts.calculator:calculate", "models.sums") is calculate


def opened(folder: Path, function: str) -> Team:
    (folder / "compllm.yaml").write_text(TEAM.format(function=function))
    encoder: Encoder = WordEncoder()
    return Team(load_team(folder / "compllm.yaml"), encoder=encoder)


async def test_a_team_may_have_one(tmp_path: Path) -> None:
    async with opened(tmp_path, "compllm.experts.calculator:calculate") as team:
        assert (await team.ask("What is 6 times 7?")).text == "42"


@pytest.mark.parametrize("function", ["calculate", "os:", "a b:c"])
def test_what_cannot_be_a_function_is_refused_with_its_form(tmp_path: Path, function: str) -> None:
    with pytest.raises(ConfigError, match=r"a function like `package\.module:name`"):
        opened(tmp_path, function)


@pytest.mark.parametrize("stage", ["planner", "aggregator"])
def test_no_stage_can_be_a_function(tmp_path: Path, stage: str) -> None:
    text = TEAM.format(function="compllm.experts.calculator:calculate").replace("planner: {kind: rules}\n", "")
    (tmp_path / "compllm.yaml").write_text(f"{text}{stage}: {{kind: model, model: sums}}\n")
    with pytest.raises(ConfigError, match="a function is no language model"):
        load_team(tmp_path / "compllm.yaml")
