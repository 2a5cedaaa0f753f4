"""`compllm runs resume`: a process that was killed in the middle of a question, and the answer all the same."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from compllm.journal import Journal
from compllm.settings import load_settings
from tests.cli.conftest import Invoke, Serve
from tests.cli.test_common import COMPLLM
from tests.experts import misbehaving as bad


def test_a_killed_question_is_answered_without_asking_twice(invoke: Invoke, serve: Serve, folder: Path) -> None:
    (folder / "plan.txt").write_text("1. Who?\n2. When was #1 born?\n")
    with (
        serve(bad.good("Ada"), bad.stalling(bad.ROLE, bad.delta("18")), bad.good("1815")) as server,
        subprocess.Popen([*COMPLLM, "ask", "-q", "--plan", "plan.txt", "Who, and when?"]) as asked,
    ):
        assert server.stalled.wait(60)
        run = _until_two_have_started()
        asked.send_signal(signal.SIGKILL)
        assert asked.wait(10) == -signal.SIGKILL
        assert "interrupted" in invoke("runs", "list").stdout
        resumed = invoke("runs", "resume", run[:-3])
        asked_for = [request.body["messages"][-1]["content"] for request in server.seen if "messages" in request.body]
    assert (resumed.exit_code, resumed.stdout) == (0, "Ada. [1]\n1815. [2]\n")
    assert "#1 answered in" in resumed.stderr
    assert "at the same time as" not in resumed.stderr
    assert asked_for == ["Who?", "When was Ada born?", "When was Ada born?"]
    shown = invoke("runs", "show", run).stdout
    assert "interrupted" in shown
    assert "1815" in shown
    assert json.loads(invoke("runs", "list", "--json").stdout)["status"] == "answered"


def _until_two_have_started() -> str:
    """Wait until the journal knows of the second step, and return the run."""
    until_s = time.monotonic() + 30
    with Journal(load_settings().journal_path) as journal:
        while time.monotonic() < until_s:
            run = journal.runs()[0].id
            if [event.event.kind for event in journal.events(run)].count("node_started") == 2:
                return run
            os.sched_yield()
    raise AssertionError("the second step never started")


def test_what_cannot_be_resumed_is_said(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("fine")):
        invoke("ask", "Is it fine?")
        run = json.loads(invoke("runs", "list", "--json").stdout)["id"]
        done, unknown = invoke("runs", "resume", run), invoke("runs", "resume", "nope")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "only a run whose process has died can be resumed; this one is answered" in done.stderr
    assert (unknown.exit_code, "has no run 'nope'" in unknown.stderr) == (1, True)
