"""The bench of applications on invented runs, and the memory of a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from compllm.bench.application import (
    Memory,
    Outcome,
    Question,
    application_figures,
    outcome,
    question_figures,
    read_questions,
    watched_memory,
)
from compllm.core.answers import SubAnswer
from compllm.core.events import Event, ModelLoaded, NodeCompleted, RunCompleted, RunFailed, Stamped
from compllm.errors import ConfigError
from tests.cli.conftest import Invoke, Serve, folder, invoke, serve
from tests.experts import misbehaving as bad

__all__ = ["folder", "invoke", "serve"]

QUESTION = Question("q", "What is it, and who has it?", (("28 days", "28"), ("the Crystal Palace",)), ("hr", "it"))
LOAD = ModelLoaded("m", "cpu", 1, 0.5)


def done(answer: str, *experts: str, loads: tuple[ModelLoaded, ...] = (), elapsed_s: float = 1.0) -> Outcome:
    return Outcome(QUESTION, answer, experts, loads, elapsed_s)


@pytest.mark.parametrize(
    ("answer", "kept", "f1"),
    [
        ("28 days [1]\nCrystal Palace [2]", (True, True), 1.0),
        ("It is 28. [1][2]", (True, False), 0.3333),
        ("128 days", (False, False), 0.3333),
        ("Days [28]", (False, False), 0.4),
        ("", (False, False), 0.0),
    ],
)
def test_parts_are_kept_word_for_word_and_citations_are_no_words(
    answer: str, kept: tuple[bool, ...], f1: float
) -> None:
    assert done(answer).kept == kept
    assert done(answer).f1 == pytest.approx(f1, abs=1e-4)


def test_no_answer_keeps_no_part_even_if_that_is_an_article() -> None:
    nothing = Outcome(Question("v", "Which vitamin is it?", (("A",),), ("hr",)), "", (), (), 1.0)
    assert (nothing.kept, nothing.f1) == ((False,), 0.0)


def test_experts_that_answered_are_held_against_those_that_know() -> None:
    assert done("", "hr", "desk").right_experts == 0.5
    assert done("", "it", "hr").right_experts == 1.0
    assert done("").right_experts == 0.0


def test_a_load_that_two_runs_saw_counts_once() -> None:
    memory = Memory(psutil.Process(), peak_bytes=7)
    figures = application_figures(
        [done("28 days, Crystal Palace", "hr", "it", loads=(LOAD,)), done("", loads=(LOAD,), elapsed_s=3.0)], memory
    )
    assert (figures["questions"], figures["parts_kept"], figures["all_kept"]) == (2, 0.5, 0.5)
    assert (figures["right_experts"], figures["unanswered"], figures["loads"]) == (0.5, 1, 1)
    assert (figures["answer_s_p50"], figures["peak_bytes"]) == (2.0, 7)


def test_an_outcome_is_read_from_the_events_of_a_run() -> None:
    steps = [NodeCompleted("r", node, SubAnswer("x", expert, "m")) for node, expert in enumerate(("hr", "it", "hr"), 1)]
    seen: list[Event] = [LOAD, *steps, RunCompleted("r", "28 days")]
    events = [Stamped(float(at), event) for at, event in enumerate(seen)]
    assert outcome(QUESTION, events) == Outcome(QUESTION, "28 days", ("hr", "it"), (LOAD,), 4.0)
    assert outcome(QUESTION, [Stamped(2.0, RunFailed("r", "no"))]) == Outcome(QUESTION, "", (), (), 2.0)
    assert question_figures(outcome(QUESTION, events))["parts_kept"] == 1


@pytest.mark.parametrize(
    "row",
    [
        {"id": "q", "question": "Q?", "experts": ["hr"]},
        {"id": "q", "question": "Q?", "parts": ["28"], "experts": ["hr"]},
        {"id": "q", "question": "Q?", "parts": [["28"]]},
        {"id": "q", "question": "Q?", "parts": [["28", ""]], "experts": ["hr"]},
        {"id": "q", "question": " ", "parts": [["28"]], "experts": ["hr"]},
        {"question": "Q?", "parts": [["28"]], "experts": ["hr"]},
    ],
)
def test_a_malformed_question_names_its_line(tmp_path: Path, row: dict[str, object]) -> None:
    path = tmp_path / "questions.jsonl"
    good = {"id": "a", "question": "A?", "parts": [["1"]], "experts": ["hr"]}
    path.write_text("\n".join(map(json.dumps, (good, row))))
    with pytest.raises(ConfigError, match=r"questions\.jsonl:2: "):
        read_questions(path)


def test_the_memory_of_a_process_and_those_below_it_is_sampled() -> None:
    hold = "b = bytearray(64 << 20); print(len(b), flush=True); input()"
    spawn = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with (
        subprocess.Popen([sys.executable, "-c", spawn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent,
        watched_memory(psutil.Process(parent.pid), 0.001) as memory,
    ):
        assert parent.stdout is not None
        parent.stdout.readline()
        memory.sample()
        parent.communicate(b"\n")
    assert memory.samples >= 1
    assert memory.peak_bytes > 64 << 20
    memory.sample()  # of a process that is gone


def test_even_an_instant_is_measured() -> None:
    with watched_memory() as memory:
        pass
    assert memory.peak_bytes > 0


def test_the_command_asks_every_question_and_shows_what_became_of_it(invoke: Invoke, serve: Serve) -> None:
    rows = [
        {"id": "right", "question": "Is it?", "parts": [["yes"]], "experts": ["a"]},
        {"id": "wrong", "question": "Is it not?", "parts": [["never"]], "experts": ["b"]},
    ]
    Path("questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with serve(bad.good("yes")):
        report = json.loads(invoke("bench", "application", ".", "--json").stdout)
        table = invoke("bench", "application", ".", "--limit", "1")
    assert [(row["question"], row["parts_kept"], row["experts"]) for row in report["rows"]] == [
        ("right", 1, "a"),
        ("wrong", 0, "a"),
    ]
    assert (report["all"]["f1"], report["all"]["loads"]) == (0.5, 0)
    assert report["all"]["peak_bytes"] > 0
    assert (table.exit_code, "right" in table.stdout, "wrong" in table.stdout) == (0, True, False)


def test_a_folder_without_questions_is_refused(invoke: Invoke) -> None:
    result = invoke("bench", "application", ".")
    assert result.exit_code == 2
    assert "questions.jsonl: cannot be read" in result.stderr
