"""`compllm serve` from its start to its end by a signal, and what keeps it from starting."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from compllm.cli import serve as command
from tests.cli.conftest import SECRET, Invoke, Serve
from tests.experts.misbehaving import good


@pytest.fixture(autouse=True)
def own_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the handlers of the root logger as they were."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("compllm"), "level", logging.NOTSET)


def test_it_says_where_it_listens_and_ends_by_a_signal(
    invoke: Invoke, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce, urls = command._announce, []

    def listening(url: str) -> None:
        announce(url)
        urls.append(url)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "_announce", listening)
    with serve(good("yes")):
        result = invoke("serve", "--port", "0")
    assert result.exit_code == 0
    assert re.fullmatch(r"compllm listens on (http://127\.0\.0\.1:\d+) .*\n", result.stdout)
    messages = [json.loads(line)["message"] for line in result.stderr.splitlines()]
    assert [each for each in messages if "Uvicorn" not in each] == ["listening", "draining", "stopped"]
    assert SECRET not in result.output
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(urls[0])


def test_other_machines_are_let_in_with_keys_alone(invoke: Invoke, serve: Serve) -> None:
    with serve(good("yes")):
        result = invoke("serve", "--host", "0.0.0.0", "--port", "0")
    assert result.exit_code == 2
    assert "compllm keys new NAME" in result.stderr


def test_a_broken_team_file_is_said_before_anything_starts(invoke: Invoke, folder: Path) -> None:
    (folder / "compllm.yaml").write_text("models: [")
    for arguments in (["serve"], ["mcp"]):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "compllm.yaml" in result.stderr
