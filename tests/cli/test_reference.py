"""The reference pages are what the code says, and every help text reads well."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import typer.main

import compllm
from compllm.cli.main import app
from compllm.config import load_team, team_schema
from tests.cli.conftest import Invoke

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate() -> Any:
    specification = importlib.util.spec_from_file_location("generate", GENERATOR)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(generate: Any) -> None:
    assert generate.outdated() == [], "run: python docs/generate.py"


def test_every_section_of_a_team_file_is_described(generate: Any) -> None:
    schema = team_schema()
    assert set(generate.PLACES) == {"", *(name for name, each in schema["$defs"].items() if "properties" in each)}
    sections = generate.team_file_page().split("\n## ")
    for section in sections[2:]:
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert rows
        assert all(row.split(" | ")[-1].strip(" |") for row in rows), section


def test_the_example_of_the_reference_is_a_team(generate: Any, folder: Path) -> None:
    (folder / "handbook.md").write_text("# Leave\n")
    (folder / "compllm.yaml").write_text(generate.EXAMPLE)
    config = load_team(folder).config
    assert generate.EXAMPLE in generate.team_file_page()
    assert list(config.experts) == ["general", "personnel"]
    assert config.on_failure == "continue"


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        path,
        *(each for name, below in getattr(command, "commands", {}).items() for each in commands(below, (*path, name))),
    ]


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_explains_itself(invoke: Invoke, flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for path in commands(typer.main.get_command(app)):
        result = invoke(*path, flag)
        assert result.exit_code == 0
        assert "Raises" not in result.stdout
        assert f"Usage: {' '.join(['root', *path])} " in result.stdout.replace("Usage: compllm", "Usage: root")
        assert "\x1b" not in result.stdout


def test_every_argument_and_option_is_explained() -> None:
    def each(command: Any) -> Any:
        yield command
        for below in getattr(command, "commands", {}).values():
            yield from each(below)

    for command in each(typer.main.get_command(app)):
        assert command.help
        assert all(parameter.help for parameter in command.params), command.name


def test_usage_errors_have_their_exit_code(invoke: Invoke) -> None:
    for arguments in (
        ["aks"],
        ["ask", "--tema", "x"],
        ["plan"],
        ["runs", "list", "-n", "0"],
        ["runs", "list", "-n", "x"],
    ):
        assert invoke(*arguments).exit_code == 2
    assert "Did you mean" in invoke("aks").stderr


def test_the_version_is_printed(invoke: Invoke) -> None:
    assert invoke("--version").stdout == f"compllm {compllm.__version__}\n"
