"""Standard streams that are closed, full, or in an encoding that lacks characters."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Serve, team_for
from tests.cli.test_common import COMPLLM
from tests.experts import misbehaving as bad


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run compllm with the arguments and redirections of a command line."""
    return subprocess.run(
        f"exec {shlex.join(COMPLLM)} {command}",
        shell=True,
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )


@pytest.fixture
def team(folder: Path) -> None:
    text = team_for("http://127.0.0.1:9/v1").replace("An expert in tests", "An expert in née → 漢字 😀")
    (folder / "compllm.yaml").write_text(text, encoding="utf-8")


def test_a_closed_output_is_refused(team: None) -> None:
    done = shell("experts list >&- <&-")
    assert done.returncode == 2
    assert done.stderr == b"compllm: standard output is closed; send it to /dev/null if nobody is to read it\n"


def test_a_closed_input_holds_no_question(team: None) -> None:
    done = shell("ask <&-")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"compllm: the question is empty; ask something\n"


def test_closed_streams_that_nobody_needs_do_not_matter(team: None) -> None:
    done = shell("experts list <&- 2>&-")
    assert done.returncode == 0
    assert done.stdout.startswith(b"a (model m)\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [("experts list", ""), ("ask -q Q?", "1"), ("--version", ""), ("--help", ""), ("runs list --help", "1")],
)
def test_a_full_output_is_said_once(serve: Serve, command: str, unbuffered: str) -> None:
    with serve(bad.good("fine")):
        done = shell(f"{command} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, b"compllm: No space left on device\n")


def test_what_an_encoding_lacks_is_escaped(team: None) -> None:
    done = shell("experts list", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert b"An expert in n\xe9e" rb" \u2192 \u6f22\u5b57 \ud83d\ude00" in done.stdout
    asked = shell("experts list --json", PYTHONIOENCODING="latin-1")
    assert json.loads(asked.stdout.decode("latin-1"))["a"]["description"].startswith("An expert in née → 漢字 😀")


def test_who_says_what_becomes_of_other_characters_is_heeded(team: None) -> None:
    done = shell("experts list", PYTHONIOENCODING="latin-1:replace")
    assert done.returncode == 0
    assert b"An expert in n\xe9e ? ?? ?" in done.stdout
