"""`compllm init`: writes a team file for the model servers that already run on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compllm.cli.common import reported_errors
from compllm.errors import ConfigError

if TYPE_CHECKING:
    from compllm.experts.discovery import FoundEndpoint, Kind

_HEAD = """\
# A Comp-LLM team. Every key: docs/reference/team-file.md; ask with: compllm ask "..."
# Give each expert a description of this form and five or more example questions: that is what routing goes by.
"""
# Lists of models do not say which of them only embed or rerank; their names mostly do.
_NO_ANSWERS = re.compile(r"embed|rerank|minilm|paraphrase|(?:^|[/_:-])(?:bge|gte|e5)(?:[._:-]|$)", re.IGNORECASE)


def init(
    path: Annotated[Path | None, typer.Argument(help="Where to write; default: ./compllm.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of team files, for editors.")] = False,
) -> None:
    """Look for Ollama, llama-server, vLLM and LM Studio on this machine and write a team file for what is found."""
    from compllm.config import TEAM_FILE, team_schema
    from compllm.experts.discovery import PORTS

    with reported_errors():
        if schema:
            typer.echo(json.dumps(team_schema(), indent=2))
            return
        target = path or Path(TEAM_FILE)
        with _writing(target):
            target = target / TEAM_FILE if target.is_dir() else target
        write_team(target, PORTS, force=force)
        typer.echo(f"written: {target}")


def write_team(path: Path, ports: Mapping[int, Kind], *, force: bool = False) -> None:
    """Write a team file for the model servers that listen on the ports, and say on standard error what was found.

    Raises:
        ConfigError: the file is there already and not to be overwritten, or cannot be written.
    """
    import anyio
    import yaml

    from compllm.experts.discovery import discover
    from compllm.explain import clean

    with _writing(path):
        if path.exists() and not force:
            raise ConfigError(f"{path}: this file is there already; give another name, or --force to overwrite it")
    found = anyio.run(discover, ports)
    for endpoint in found:
        state = endpoint.problem or f"{len(endpoint.models)} model(s): {', '.join(endpoint.models)}"
        typer.echo(clean(f"{endpoint.kind} at {endpoint.base_url}: {state}"), err=True)
    usable = [model for endpoint in found if endpoint.problem is None for model in endpoint.models]
    if all(map(_NO_ANSWERS.search, usable)):
        what = "no usable model server" if not usable else "no model that answers questions"
        typer.echo(f"{what} found on this machine; the bundled model is used", err=True)
    with _writing(path):
        path.write_text(_HEAD + yaml.safe_dump(make_team(found), sort_keys=False, width=110), encoding="utf-8")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None


def make_team(found: list[FoundEndpoint]) -> dict[str, object]:
    """Return a team file's content: every model found, the bundled one if none answers, and an expert to begin with."""
    models: dict[str, dict[str, object]] = {}
    for endpoint in found:
        dialect = endpoint.kind if endpoint.kind in {"llama.cpp", "vllm"} else "openai"
        for model in endpoint.models if endpoint.problem is None else ():
            spec: dict[str, object] = {
                "backend": "endpoint",
                "base_url": endpoint.base_url,
                "model": model,
                "dialect": dialect,
            }
            models[_name(model, models)] = spec
    first = next((name for name, spec in models.items() if not _NO_ANSWERS.search(str(spec["model"]))), None)
    if first is None:
        first = _name("smollm2", models)
        models[first] = {"backend": "embedded"}
        planner: dict[str, object] = {"kind": "rules"}
        aggregator: dict[str, object] = {"kind": "joined"}
    else:
        planner, aggregator = {"kind": "model", "model": first}, {"kind": "model", "model": first}
    general = {
        "model": first,
        "description": "An expert in general knowledge who answers questions about everyday matters of every kind.",
        "examples": ["What is the capital of Peru?", "How many days has a leap year?", "Why is the sky blue?"],
    }
    return {
        "name": "my-team",
        "models": models,
        "experts": {"general": general},
        "router": {"fallback": "general"},
        "planner": planner,
        "aggregator": aggregator,
    }


def _name(model: str, taken: dict[str, dict[str, object]]) -> str:
    """Return a model's name as a key of the team file."""
    bare = re.sub(r"[^A-Za-z0-9_.-]+", "-", model).strip("-_.")[:48] or "model"
    name, number = bare, 2
    while name in taken:
        name, number = f"{bare}-{number}", number + 1
    return name
