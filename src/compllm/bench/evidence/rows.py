"""MultiExpertQA rows: questions for several experts, what their answers must hold, and the plan that leads there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from compllm.core.plan import Plan, SubQuery
from compllm.errors import ConfigError, PlanError


@dataclass(frozen=True, slots=True)
class GoldStep:
    """A step of the right plan: `#n` in its question is the answer of step n.

    `expert` is who should answer it and `passage` the document that says it, as far as a set knows; `answers` are the
    gold one and its aliases, none if the set has none.
    """

    id: int
    question: str
    tag: str = ""
    depends_on: tuple[int, ...] = ()
    expert: str = ""
    answers: tuple[str, ...] = ()
    passage: str = ""

    @property
    def sub_query(self) -> SubQuery:
        """The step in the plan language."""
        return SubQuery(self.id, self.question, self.tag or None, frozenset(self.depends_on))


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """A question; each of `parts` is a gold answer with its aliases, in the order in which the answer should hold them.

    `set` is P (independent parts), D (a bridge between fields), J (a join of two answers), or the name of another set.
    """

    id: str
    set: str
    question: str
    parts: tuple[tuple[str, ...], ...]
    plan: tuple[GoldStep, ...] = ()
    source: str = ""
    licence: str = ""

    @property
    def gold_plan(self) -> Plan:
        """The right plan.

        Raises:
            PlanError: the set has none for this question.
        """
        return Plan(tuple(step.sub_query for step in self.plan))


def evidence_row(row: Mapping[str, object], where: str) -> EvidenceRow:
    """Read a row of MultiExpertQA; `where` names it in errors.

    Raises:
        ConfigError: a field is missing or of another kind, or the plan is none.
    """
    try:
        steps = tuple(_step(step) for step in _list(row.get("plan") or []))
        parts = tuple(texts(part) for part in _list(row["parts"]))
        named = (str(row["id"]), str(row["set"]), str(row["question"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: not a MultiExpertQA row: {type(error).__name__}: {error}") from None
    return checked(
        EvidenceRow(*named, parts, steps, str(row.get("source", "")), str(row.get("licence", ""))),
        where,
    )


def checked(row: EvidenceRow, where: str) -> EvidenceRow:
    """Return a row that can be asked and scored; `where` names it in errors.

    Raises:
        ConfigError: it has no question, a part without a gold answer, or steps that are no plan.
    """
    if not row.question.strip():
        raise ConfigError(f"{where}: the question is empty")
    if not row.parts or not all(part and all(map(str.strip, part)) for part in row.parts):
        raise ConfigError(f"{where}: every part needs a gold answer, and none may be empty")
    try:
        _ = row.plan and row.gold_plan
    except PlanError as error:
        raise ConfigError(f"{where}: its steps are no plan: {error}") from None
    return row


def texts(value: object) -> tuple[str, ...]:
    """Return a list of texts, or a single text, number or truth value, as a tuple of texts.

    True and false are answers to "Is it ...?", as in StrategyQA: they are "yes" and "no".

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, bool):
        return ("yes", "true") if value else ("no", "false")
    return (str(value),) if isinstance(value, str | int | float) else tuple(str(text) for text in _list(value))


def write_rows(path: Path, rows: Iterable[EvidenceRow]) -> None:
    """Write rows as JSON lines, the same bytes for the same rows."""
    lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def _step(step: object) -> GoldStep:
    if not isinstance(step, Mapping):
        raise TypeError(f"a step is an object, not {step!r}")
    return GoldStep(
        int(step["id"]),
        str(step["question"]),
        str(step.get("tag") or ""),
        tuple(int(str(each)) for each in _list(step.get("depends_on") or [])),
        str(step.get("expert") or ""),
        texts(step.get("answers") or []),
        str(step.get("passage") or ""),
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"a list was expected, not {value!r}")
    return value
