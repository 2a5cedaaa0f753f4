"""`compllm init`: writes a team file for the model servers that already run on this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer
import yaml

from compllm.cli.common import synchronous
from compllm.config import TEAM_FILE, TeamConfig
from compllm.errors import ConfigError
from compllm.experts.discovery import FoundEndpoint, discover

_HEAD = """\
# A Comp-LLM team. Every key: docs/reference/team-file.md; ask with: compllm ask "..."
# Give each expert a description of this form and five or more example questions: that is what routing goes by.
"""


@synchronous
async def init(
    path: Annotated[Path, typer.Argument(help="Where to write.")] = Path(TEAM_FILE),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of team files, for editors.")] = False,
) -> None:
    """Look for Ollama, llama-server, vLLM and LM Studio on this machine and write a team file for what is found."""
    if schema:
        typer.echo(json.dumps(TeamConfig.model_json_schema(), indent=1))
        return
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; give another name, or --force to overwrite it")
    found = await discover()
    for endpoint in found:
        state = endpoint.problem or f"{len(endpoint.models)} model(s): {', '.join(endpoint.models)}"
        typer.echo(f"{endpoint.kind} at {endpoint.base_url}: {state}", err=True)
    if not found:
        typer.echo("no model server found on this machine; the bundled model is used", err=True)
    path.write_text(_HEAD + yaml.safe_dump(make_team(found), sort_keys=False, width=110), encoding="utf-8")
    typer.echo(f"written: {path}")


def make_team(found: list[FoundEndpoint]) -> dict[str, object]:
    """Return a team file's content: every model found, else the bundled one, and an expert to begin with."""
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
    if not models:
        models["smollm2"] = {"backend": "embedded"}
        planner: dict[str, object] = {"kind": "rules"}
        aggregator: dict[str, object] = {"kind": "joined"}
    else:
        first = next(iter(models))
        planner, aggregator = {"kind": "model", "model": first}, {"kind": "model", "model": first}
    general = {
        "model": next(iter(models)),
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
