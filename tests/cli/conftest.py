"""A command line in a folder of its own, and teams whose model and encoder are one scripted server on loopback."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from compllm.cli.main import app
from tests.experts.misbehaving import Answer, Connection, Server, plain, serving

SECRET = "sk-0123456789abcdef"
Invoke = Callable[..., Result]
Serve = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPLLM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COMPLLM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TEST_KEY", SECRET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def invoke() -> Invoke:
    """Run a command as the shell would; nothing but its own exit may end it."""

    def run(*arguments: str, given: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=given)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def serve(folder: Path) -> Serve:
    """Write `compllm.yaml` for a server that answers chats by a script and embeds every text the same way."""

    @contextmanager
    def serving_team(*script: Answer, extra: str = "") -> Iterator[Server]:
        with serving(both(list(script))) as server:
            (folder / "compllm.yaml").write_text(team_for(server.url) + extra)
            yield server

    return serving_team


def both(script: list[Answer]) -> Answer:
    def answer(connection: Connection) -> None:
        request = connection.told.seen[-1]
        if request.path.endswith("/embeddings"):
            rows = [{"index": index, "embedding": [1.0, 0.0]} for index in range(len(request.body["input"]))]
            plain(200, json.dumps({"object": "list", "data": rows}).encode())(connection)
        else:
            (script.pop(0) if len(script) > 1 else script[0])(connection)

    return answer


def team_for(url: str) -> str:
    return f"""\
models:
  m: {{backend: endpoint, base_url: "{url}", model: x, api_key_env: TEST_KEY, timeout_s: 2}}
experts:
  a: {{model: m, description: An expert in tests who answers questions about tests}}
router:
  mode: tag
  fallback: a
  encoder: {{base_url: "{url}", model: e}}
"""
