"""Traces: workloads as JSON Lines files, one run a line.

{"run": "r0", "at_s": 0.5, "user": "ann", "nodes": [{"id": 1, "expert": "law", "model": "small", "duration_s": 1.2}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compllm.core.workload import Workload, WorkNode, WorkRun
from compllm.errors import ConfigError


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _NodeRecord(_Record):
    id: int = Field(ge=0)
    parents: tuple[int, ...] = Field((), strict=False)
    expert: str = Field(min_length=1)
    model: str = Field(min_length=1)
    duration_s: float = Field(ge=0)
    estimate_s: float | None = Field(None, ge=0)
    added_s: float = Field(0.0, ge=0)


class _RunRecord(_Record):
    run: str = Field(min_length=1)
    at_s: float = Field(ge=0)
    user: str = ""
    priority: int = 0
    deadline_s: float | None = Field(None, gt=0)
    closed_s: float = Field(0.0, ge=0)
    nodes: tuple[_NodeRecord, ...] = Field(min_length=1, strict=False)


def write_trace(path: Path, workload: Workload) -> None:
    """Write a workload, one run a line; what has its default value is left out.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            for run in workload.runs:
                file.write(json.dumps(_run_record(run), ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None


def _run_record(run: WorkRun) -> dict[str, Any]:
    body = _changed(run)
    return {"run": body.pop("id"), **body, "nodes": [_changed(node) for node in run.nodes]}


def _changed(part: WorkRun | WorkNode) -> dict[str, Any]:
    given = ((field, getattr(part, field.name)) for field in fields(part))
    return {field.name: value for field, value in given if value not in (field.default, ())}


def read_trace(path: Path) -> Workload:
    """Read a workload; empty lines are allowed.

    Raises:
        ConfigError: a line is no run; the message names file, line, field and the way out.
    """
    try:
        with path.open(encoding="utf-8") as file:
            runs = tuple(_parse_lines(path, file))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `compllm simulate --record {path}` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from None
    if not runs:
        raise ConfigError(f"{path}: holds no runs; `compllm simulate --record {path}` writes those of the journal")
    return Workload(runs)


def _parse_lines(path: Path, lines: Iterator[str]) -> Iterator[WorkRun]:
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            run = _parse(f"{path}:{number}", line)
            if run.id in seen:
                raise ConfigError(f"{path}:{number}: run {run.id!r} is on line {seen[run.id]}, too; rename one")
            seen[run.id] = number
            yield run


def _parse(where: str, line: str) -> WorkRun:
    try:
        record = _RunRecord.model_validate(json.loads(line.strip()))
        nodes = tuple(WorkNode(**dict(node)) for node in record.nodes)
        return WorkRun(record.run, nodes=nodes, **record.model_dump(exclude={"run", "nodes"}))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: not JSON at column {error.colno}: {error.msg}; write one run a line") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise ConfigError(f"{where}: {place}: {_words(first['type'], first['msg'])}") from None
    except ValueError as error:
        raise ConfigError(f"{where}: {error}; list parents first, each with an id of its own") from None


def _words(kind: str, message: str) -> str:
    match kind:
        case "missing":
            return "this field is missing; add it"
        case "extra_forbidden":
            known = {**_RunRecord.model_fields, **_NodeRecord.model_fields}
            return f"unknown field; known are {', '.join(known)}"
    return message.replace("Input should", "this should", 1)
