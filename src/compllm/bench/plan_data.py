"""Questions with the plan that each should get: the rows of the plan bench."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compllm.bench.rows import evenly
from compllm.core.plan import Plan, SubQuery
from compllm.errors import ConfigError, PlanError
from compllm.router.calibration import read_json_lines

_STEP_ID = re.compile(r"s?(\d{1,3})")


@dataclass(frozen=True, slots=True)
class GoldPlan:
    """A question and its plan; a step's tag is the domain of the expert that should answer it, if the row says it."""

    file: str
    kind: str
    question: str
    plan: Plan


def read_gold_files(paths: Sequence[Path], limit: int | None = None) -> list[GoldPlan]:
    """Read the rows of several files as `read_gold_plans` does; files of the same name are told apart by their paths.

    Raises:
        ConfigError: naming file and line.
    """
    stems = [path.stem for path in paths]
    return [
        replace(gold, file=path.stem if stems.count(path.stem) == 1 else str(path))
        for path in paths
        for gold in read_gold_plans(path, limit)
    ]


def read_gold_plans(path: Path, limit: int | None = None) -> list[GoldPlan]:
    """Read JSON lines `{"question", "kind"?, "sub_queries": [{"id", "question", "depends_on", "domain"?}]}`.

    With a limit, as many rows are taken, spread evenly over the file.

    Raises:
        ConfigError: naming file and line.
    """
    found = read_json_lines(path)
    return [_gold(found[place][1], found[place][0], path.stem) for place in evenly(len(found), limit)]


def _gold(row: Mapping[str, object], where: str, file: str) -> GoldPlan:
    question, steps = row.get("question"), row.get("sub_queries")
    if not isinstance(question, str) or not question.strip():
        raise ConfigError(f'{where}: a row needs a "question"')
    if not isinstance(steps, list) or not steps:
        raise ConfigError(f'{where}: a row needs "sub_queries", a list of steps')
    kind = row.get("kind") or row.get("type") or file
    try:
        plan = Plan(tuple(_step(step, where) for step in steps))
    except PlanError as error:
        raise ConfigError(f"{where}: {error}") from error
    return GoldPlan(file, str(kind), question, plan)


def _step(step: object, where: str) -> SubQuery:
    if not isinstance(step, dict) or not isinstance(step.get("question"), str):
        raise ConfigError(f'{where}: a step needs an "id" and a "question"')
    needs = step.get("depends_on") or []
    if not isinstance(needs, list):
        raise ConfigError(f'{where}: "depends_on" must be a list of ids')
    domain = step.get("domain")
    after = frozenset(_number(each, where) for each in needs)
    return SubQuery(_number(step.get("id"), where), step["question"], str(domain) if domain else None, after)


def _number(step_id: object, where: str) -> int:
    match = _STEP_ID.fullmatch(str(step_id))
    if match is None:
        raise ConfigError(f'{where}: a step\'s id is "s1", "s2" and so on, not {step_id!r}')
    return int(match[1])
