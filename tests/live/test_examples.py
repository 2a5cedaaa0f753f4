"""The applications in `examples/` with the real model: some questions of each, and the memory that the edge takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs
import psutil
import pytest

from compllm.bench.application import QUESTIONS_FILE, asked, read_questions, watched_memory
from compllm.config import load_team
from compllm.explain.text import render_text
from compllm.pipeline import Team
from compllm.settings import Settings

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio, pytest.mark.timeout(240)]

CACHE_DIR = Path(os.environ.get("COMPLLM_CACHE_DIR") or platformdirs.user_cache_dir("compllm"))
EXAMPLES = Path(__file__).parents[2] / "examples"
COMPLLM = [sys.executable, "-c", "from compllm.cli.main import app; app()"]
PERIOD_S = 0.02
EDGE_BYTES = 640_000_000
WITHOUT_MODEL_BYTES = 150_000_000

# Among them single, compound and two-hop questions.
CHOSEN = {
    "business": ("finance-purchases", "two-leave-budget", "bridge-parental"),
    "medicine": ("endo-thyroid", "two-sugar", "three-tests"),
    "education": ("literature-hard-times", "three-coal", "bridge-dickens"),
    "edge": ("navigation-pass", "two-star-ukulele", "music-jazz"),
}


def run(*arguments: str, folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Return what a command prints, as JSON lines, and the most that it and all processes below it held."""
    environment = {**os.environ, "COMPLLM_DATA_DIR": str(folder)}
    with (
        subprocess.Popen([*COMPLLM, *arguments], env=environment, stdout=subprocess.PIPE, text=True) as running,
        watched_memory(psutil.Process(running.pid), PERIOD_S) as memory,
    ):
        printed, _ = running.communicate(timeout=200)
    assert running.returncode == 0
    assert memory.samples > 5
    return [json.loads(line) for line in printed.splitlines()], memory.peak_bytes


@pytest.mark.parametrize("application", CHOSEN)
async def test_the_right_experts_answer_with_every_part(application: str, tmp_path: Path) -> None:
    folder = EXAMPLES / application
    chosen = [each for each in read_questions(folder / QUESTIONS_FILE) if each.id in CHOSEN[application]]
    async with Team(load_team(folder), Settings(CACHE_DIR, tmp_path)) as team:
        done = [await asked(team, question) for question in chosen]
    assert len(done) == len(CHOSEN[application])
    assert {each.question.id: each.answer for each in done if not all(each.kept)} == {}
    assert {each.question.id: each.experts for each in done if each.right_experts < 1} == {}


async def test_a_case_tells_who_said_what_from_which_passage(tmp_path: Path) -> None:
    question = "What does the cardiologist find in Mr. Birch, and what does the endocrinologist find in Mr. Birch?"
    async with Team(load_team(EXAMPLES / "medicine"), Settings(CACHE_DIR, tmp_path)) as team:
        story = render_text((await team.ask(question)).explanation)
    assert "heart failure" in story
    assert "Case B: Mr. Birch (cardiology.md)" in story
    assert "Case B: Mr. Birch, hormones (endocrinology.md)" in story


async def test_literature_answers_with_what_history_has_said(tmp_path: Path) -> None:
    async with Team(load_team(EXAMPLES / "education"), Settings(CACHE_DIR, tmp_path)) as team:
        answer = await team.ask("How did the Industrial Revolution influence Victorian literature?")
    first, second = answer.explanation.nodes
    assert (first.expert, second.expert, second.parents) == ("history", "literature", (1,))
    assert first.answer is not None
    assert first.answer.text.rstrip(".") in second.question
    assert "[2]" in answer.text


def test_the_edge_answers_with_three_models_in_the_memory_of_one(tmp_path: Path) -> None:
    question = "How long does rice need, how high is Saddle Pass, and where did jazz begin?"
    events, peak_bytes = run("ask", "--json", "--team", str(EXAMPLES / "edge"), question, folder=tmp_path)
    assert all(part in events[-1]["answer"] for part in ("15 minutes", "2,105", "New Orleans"))
    kinds = [event["kind"] for event in events]
    assert (kinds.count("model_loaded"), kinds.count("model_evicted")) == (3, 2)
    assert EDGE_BYTES / 2 < peak_bytes < EDGE_BYTES


def test_without_a_model_the_program_is_small(tmp_path: Path) -> None:
    rows, peak_bytes = run("experts", "list", "--json", "--team", str(EXAMPLES / "edge"), folder=tmp_path)
    assert set(rows[0]) >= {"cooking", "navigation", "music"}
    assert 0 < peak_bytes < WITHOUT_MODEL_BYTES
