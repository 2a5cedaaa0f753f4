"""Writes docs/reference from the code: `python docs/generate.py`; with `--check` it only says what is out of date."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from compllm.cli.main import app
from compllm.config import team_schema

REFERENCE = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by docs/generate.py from the code; change it there. -->"

_TEAM_FILE = """\
# The team file

`compllm` reads the team from the file given with `--team`, else from `compllm.yaml` in the current folder, else it uses
the starter team that comes with it. `compllm init` writes a first file. The file is YAML, read as data: tags are
refused and nothing in it runs. Relative paths count from the file's folder. A mistake is answered with file, line, key.

For completion and checks in an editor, save the schema (`compllm init --schema > compllm.schema.json`, the same as
[compllm.schema.json](compllm.schema.json)) beside the file and begin the file with this line:

```
# yaml-language-server: $schema=compllm.schema.json
```

Names of devices, models and experts are letters, digits, `_`, `-` and `.`, 64 at most.

## A complete example

```yaml
"""

EXAMPLE = """\
name: company

devices:
  cpu:
    capacity: 8GiB
    cores: 4

models:
  small:
    backend: embedded # the bundled SmolLM2-135M-Instruct
    slots: 4
    pinned: true
  big:
    backend: endpoint
    base_url: http://127.0.0.1:11434/v1
    model: llama3.1:8b
    timeout_s: 60

planner:
  kind: model
  model: big
  max_steps: 8

aggregator:
  kind: model
  model: big

router:
  mode: auto
  fallback: general

experts:
  general:
    model: big
    instructions: Answer in one or two sentences.
  personnel:
    model: small
    description: An expert in personnel who answers questions about leave, contracts, salaries and working hours.
    examples:
      - How many days of leave do I have?
      - When is the salary paid?
      - How long is the notice period?
      - Who approves remote work?
      - What happens to unused leave?
    instructions: Use the passages to answer in one or two sentences.
    documents: [handbook.md]
    fallback: general

limits:
  deadline_s: 120

server:
  host: 0.0.0.0
  keys:
    - name: intranet # from `compllm keys new intranet`
      hash: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      requests_per_minute: 600
      concurrency: 50

on_failure: continue
"""


def team_file_page() -> str:
    """Return the reference of team files: every key with its type, default and meaning."""
    schema = team_schema()
    sections = {"": schema, **schema["$defs"]}
    tables = "\n".join(line for name in PLACES for line in _section(name, sections))
    return f"{_NOTE}\n{_TEAM_FILE}{EXAMPLE}```\n\n{tables}"


# Where a section of the schema stands in the file, in the order of the page.
PLACES = {
    "": "The whole file",
    "DeviceConfig": "`devices.NAME`",
    "EmbeddedModelConfig": "`models.NAME` with `backend: embedded`",
    "EndpointModelConfig": "`models.NAME` with `backend: endpoint`",
    "FunctionModelConfig": "`models.NAME` with `backend: function`",
    "ExpertConfig": "`experts.NAME`",
    "RouterConfig": "`router`",
    "EncoderConfig": "`router.encoder`",
    "PlannerConfig": "`planner`",
    "AggregatorConfig": "`aggregator`",
    "LimitsConfig": "`limits`",
    "ServerConfig": "`server`",
    "KeyConfig": "`server.keys[]`",
}


def _section(name: str, sections: dict[str, Any]) -> Iterator[str]:
    schema = sections[name]
    yield f"## {PLACES[name]}\n"
    if name:
        yield f"{schema['description']}\n"
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    required = schema.get("required", [])
    for key, field in schema["properties"].items():
        default = "required" if key in required else _default(field)
        yield f"| `{key}` | {_type(field)} | {default} | {_meaning(field, sections)} |"
    yield ""


def _meaning(field: dict[str, Any], sections: dict[str, Any]) -> str:
    section = sections.get(field.get("$ref", "").rpartition("/")[2], {})
    return _cell(field.get("description") or section.get("description", ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value in (None, "") or isinstance(value, dict | list):
        return ""
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _type(field: dict[str, Any]) -> str:
    """Return what a field takes, in words."""
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "4GiB" in field.get("examples", ()):
        return "bytes"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(each) for each in field["anyOf"] if each.get("type") != "null"))
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "$ref" in field or field.get("type") == "object":
        return "mapping"
    if field.get("format") == "path":
        return "path"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    return words[field["type"]] + _bounds(field)


def _bounds(field: dict[str, Any]) -> str:
    signs = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    return "".join(f", {word} {field[key]:,}" for key, word in signs.items() if key in field)


def command_page() -> str:
    """Return the reference of the command line: the help of every command."""
    group = typer.main.get_command(app)
    intro = "The same as `compllm COMMAND --help` says."
    return "\n".join([_NOTE, "# The command line", "", intro, "", *_command("compllm", group)])


def _command(path: str, command: Any) -> Iterator[str]:
    yield f"{'#' * (1 + len(path.split()))} `{path}`\n"
    yield f"{command.help or ''}\n"
    rows = [parameter for parameter in command.params if not parameter.hidden]
    if rows:
        yield "| argument or option | default | meaning |"
        yield "|---|---|---|"
        for parameter in rows:
            yield f"| {_names(parameter)} | {_given(parameter)} | {_cell(parameter.help or '')} |"
        yield ""
    if command.epilog:
        yield f"{command.epilog}\n"
    for name, below in getattr(command, "commands", {}).items():
        yield from _command(f"{path} {name}", below)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in parameter.opts)


def _given(parameter: Any) -> str:
    if parameter.required:
        return "required"
    return "" if parameter.default in (None, False) else f"`{parameter.default}`"


def pages() -> dict[str, str]:
    """Return what each file below docs/reference should hold."""
    return {
        "team-file.md": team_file_page().rstrip() + "\n",
        "compllm.schema.json": json.dumps(team_schema(), indent=2) + "\n",
        "cli.md": command_page().rstrip() + "\n",
    }


def outdated() -> list[str]:
    """Return the names of the files that do not hold what they should."""
    return [
        name
        for name, text in pages().items()
        if not (REFERENCE / name).is_file() or (REFERENCE / name).read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(outdated())}; run python docs/generate.py" if outdated() else 0)
    REFERENCE.mkdir(exist_ok=True)
    for file, content in pages().items():
        (REFERENCE / file).write_text(content, encoding="utf-8")
