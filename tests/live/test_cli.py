"""The command line with the bundled models: a question, a pipe, a terminal, and the calibration of routing."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

COMPLLM = [sys.executable, "-c", "from compllm.cli.main import app; app()"]
QUESTION = "What does a cardiologist treat?"


def compllm(*arguments: str, folder: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COMPLLM_DATA_DIR": str(folder / "data")}
    return subprocess.run(
        [*COMPLLM, *arguments],
        input=given,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=110,
        check=False,
    )


def test_a_question_in_a_pipe_is_answered_recorded_and_explained(tmp_path: Path) -> None:
    asked = compllm("ask", folder=tmp_path, given=QUESTION)
    assert asked.returncode == 0
    assert "heart" in asked.stdout
    assert "→ medicine" in asked.stderr
    assert "\x1b" not in asked.stdout + asked.stderr
    run = json.loads(compllm("runs", "list", "--json", folder=tmp_path).stdout)
    assert (run["question"], run["status"]) == (QUESTION, "answered")
    assert run["answer"] in asked.stdout
    shown = compllm("runs", "show", run["id"][:10], folder=tmp_path)
    assert (shown.returncode, "medicine" in shown.stdout) == (0, True)


def test_a_plan_and_its_routes_are_shown(tmp_path: Path) -> None:
    shown = compllm("plan", "Who wrote Emma, and what is compound interest?", folder=tmp_path)
    assert (shown.returncode, len(shown.stdout.splitlines())) == (0, 2)
    assert "→ literature" in shown.stderr
    assert "→ finance" in shown.stderr
    routed = json.loads(compllm("route", QUESTION, "--tag", "medicine", "--json", folder=tmp_path).stdout)
    assert routed["candidates"][0]["expert"] == "medicine"
    assert len(routed["scores"]) == 10


def test_routing_is_calibrated_on_questions_of_one_s_own(tmp_path: Path) -> None:
    team = json.loads(compllm("experts", "list", "--json", folder=tmp_path).stdout)
    rows = [{"question": q, "expert": name} for name, expert in team.items() for q in expert["examples"]]
    rows += [{"question": q, "expert": None} for q in ("Tie my shoes.", "asdf qwer", "Is it raining here now?")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    fitted = compllm("route", "--calibrate", "rows.jsonl", "--json", folder=tmp_path)
    report = json.loads(fitted.stdout)
    assert fitted.returncode == 0
    assert report["questions"] + report["no_expert_questions"] == len(rows)
    assert (tmp_path / "calibration.json").is_file()


def test_on_a_terminal_a_missing_question_is_asked_for_and_no_colour_shown_if_none_is_wanted(tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    environment = {
        **os.environ,
        "COMPLLM_DATA_DIR": str(tmp_path / "data"),
        "NO_COLOR": "1",
        "TERM": "xterm",
    }
    team = tmp_path / "compllm.yaml"
    team.write_text("models: {m: {backend: embedded}}\nexperts: {a: {model: m}}\n")
    with subprocess.Popen(
        [*COMPLLM, "ask"], stdin=terminal, stdout=terminal, stderr=terminal, cwd=tmp_path, env=environment
    ) as asked:
        os.close(terminal)
        assert asked.wait(60) == 2
    assert b"the question is missing: compllm ask" in os.read(screen, 10_000)
    os.close(screen)
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMPLLM, "plan", "Q?"], stdin=terminal, stdout=terminal, stderr=terminal, cwd=tmp_path, env=environment
    ) as planned:
        os.close(terminal)
        assert planned.wait(60) == 1
    said = os.read(screen, 10_000).decode()
    os.close(screen)
    assert "no expert may answer" in said
    assert not re.search(r"\x1b\[[0-9;]*m", said)
