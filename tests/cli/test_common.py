import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from compllm.cli.common import reported_errors
from compllm.errors import ConfigError, JournalError, ModelTooLargeError, PlanError, RunError
from compllm.journal import Journal
from compllm.settings import load_settings
from tests.cli.conftest import Invoke, Serve
from tests.experts import misbehaving as bad

COMPLLM = [sys.executable, "-c", "from compllm.cli.main import app; app()"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("team.yaml:1: odd\x1b"), 2, "compllm: team.yaml:1: odd␛\n"),
        (PlanError("the question is empty"), 2, "compllm: the question is empty\n"),
        (ModelTooLargeError("m is too large", need_bytes=2, capacity_bytes=1), 2, "compllm: m is too large\n"),
        (RunError("no answer", run="r1"), 1, "compllm: no answer\nwhat happened: compllm runs show r1\n"),
        (JournalError("full"), 1, "compllm: full\n"),
        (KeyboardInterrupt(), 130, "compllm: interrupted\n"),
    ],
)
def test_an_error_becomes_a_message_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    with pytest.raises(typer.Exit) as left, reported_errors():
        raise error
    assert left.value.exit_code == code
    assert capsys.readouterr() == ("", said)


def test_a_bug_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), reported_errors():
        raise ZeroDivisionError


def test_a_reader_that_leaves_ends_the_command_quietly(serve: Serve) -> None:
    with (
        serve(bad.good(*["word "] * 300)),
        subprocess.Popen([*COMPLLM, "ask", "--json", "Q?"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked,
    ):
        assert asked.stdout is not None
        assert asked.stderr is not None
        assert asked.stdout.readline().startswith(b'{"at_s"')
        asked.stdout.close()
        assert asked.stderr.read() == b""
        assert asked.wait(30) in {0, 1}


def test_in_a_pipe_nothing_moves_and_nothing_is_coloured(serve: Serve) -> None:
    with serve(bad.good("fine")):
        done = subprocess.run([*COMPLLM, "ask"], input=b"Q?\n", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"fine\n")
    assert b"\x1b" not in done.stderr
    assert b"\r" not in done.stderr


def test_an_interrupt_cancels_the_run_and_has_its_exit_code(serve: Serve) -> None:
    with (
        serve(bad.stalling(bad.ROLE, bad.delta("half"))) as server,
        subprocess.Popen([*COMPLLM, "ask", "-q", "Q?"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked,
    ):
        assert server.stalled.wait(30)
        os.kill(asked.pid, signal.SIGINT)
        _, said = asked.communicate(timeout=30)
        assert (asked.returncode, said) == (130, b"compllm: interrupted\n")
        assert server.disconnected.wait(10)
    with Journal(load_settings().journal_path) as journal:
        assert [row.status for row in journal.runs()] == ["cancelled"]


def test_a_journal_that_is_another_file_is_refused(invoke: Invoke, folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "runs.sqlite3").write_bytes(b"no database " * 100)
    result = invoke("runs", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "runs.sqlite3" in result.stderr
