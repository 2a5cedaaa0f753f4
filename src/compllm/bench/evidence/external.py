"""Public sets of composed questions as evidence rows, with as much of a plan and of answers as each has.

One reader serves every file: MultiExpertQA's own rows; `{"question", "answer", "sub_queries": [...]}` as StrategyQA,
2WikiMultihopQA and compound sets are normalised to; MuSiQue as published (Trivedi et al. 2022); and plain
`{"question", "answer"}` rows such as HotpotQA comparisons and ParallelQA. FanOutQA comes from its package.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from compllm.bench.evidence.rows import EvidenceRow, GoldStep, checked, evidence_row, texts
from compllm.bench.rows import evenly
from compllm.core.plan import SubQuery
from compllm.errors import ConfigError
from compllm.router.calibration import read_json_lines

FANOUTQA = "fanoutqa"
_REFERENCE = re.compile(r"(?<![\w#\\&])#(\d{1,9})(?!\w)")
_NUMBER = re.compile(r"\d+")


def read_set(source: str, limit: int | None = None) -> list[EvidenceRow]:
    """Read a file, or `fanoutqa`; at most `limit` rows, spread evenly.

    Raises:
        ConfigError: naming file and line, or what to install.
    """
    if source == FANOUTQA:
        rows = list(_fanoutqa())
    else:
        path = Path(source)
        rows = [_row(row, where, path.stem) for where, row in read_json_lines(path)]
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        if row.id in seen:
            raise ConfigError(f"{source}: rows {seen[row.id]} and {number} have the same id {row.id!r}")
        seen[row.id] = number
    return [rows[place] for place in evenly(len(rows), limit)]


def _row(row: Mapping[str, object], where: str, stem: str) -> EvidenceRow:
    if "parts" in row:
        return evidence_row(row, where)
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or answer is None:
        raise ConfigError(f'{where}: a row needs "parts", or a "question" and its "answer"')
    try:
        steps = tuple(_steps(row))
        parts = tuple(map(texts, answer)) if isinstance(answer, list) else ((*texts(answer), *_aliases(row)),)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(f"{where}: its steps cannot be read: {type(error).__name__}: {error}") from None
    return checked(EvidenceRow(_id(row, where), stem, question, parts, steps), where)


def _id(row: Mapping[str, object], where: str) -> str:
    """Return the id that a row has, else its file and line, wherever the file lies."""
    given = [row[key] for key in ("id", "_id") if row.get(key) not in (None, "")]
    return str(given[0]) if given else Path(where).name


def _steps(row: Mapping[str, Any]) -> Iterator[GoldStep]:
    for number, step in enumerate(row.get("question_decomposition") or (), start=1):
        question = _literal(step["question"], range(1, number))
        needs = tuple(sorted(SubQuery(number, question).references))
        yield GoldStep(number, question, depends_on=needs, answers=texts(step["answer"]))
    for step in row.get("sub_queries") or ():
        domain = str(step.get("domain") or "")
        needs = tuple(map(_number, step.get("depends_on") or ()))
        yield GoldStep(
            _number(step["id"]),
            _literal(step["question"], needs),
            domain.replace("_", " "),
            needs,
            domain,
            (*(() if step.get("answer") in (None, "") else texts(step["answer"])), *_aliases(step)),
        )


def _literal(question: str, needs: Collection[int]) -> str:
    """Return a question in which `#n` is a number sign unless the step needs step n, as in "the #1 hit"."""
    return _REFERENCE.sub(lambda match: match[0] if int(match[1]) in needs else f"\\{match[0]}", question)


def _aliases(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        alias for alias in texts(row.get("answer_aliases") or []) if alias.strip() and alias != row.get("answer")
    )


def _number(step_id: object) -> int:
    return int(_NUMBER.findall(str(step_id))[0])


def _fanoutqa() -> Iterator[EvidenceRow]:
    """Yield the development questions of FanOutQA (Zhu et al. 2024); nested sub-questions become one flat plan."""
    try:
        fanoutqa = import_module(FANOUTQA)
    except ModuleNotFoundError:
        raise ConfigError("the set FanOutQA comes with its package; install it with: pip install fanoutqa") from None
    for row in fanoutqa.load_dev():
        steps: list[GoldStep] = []
        _flatten(row.decomposition, {}, steps)
        yield EvidenceRow(row.id, FANOUTQA, row.question, tuple(_leaves(row.answer)), tuple(steps), "FanOutQA")


def _flatten(nodes: Any, numbers: dict[str, int], steps: list[GoldStep]) -> None:
    """Number the sub-questions so that those which others need come first; a parent needs its own decomposition."""
    for node in nodes:
        _flatten(node.decomposition, numbers, steps)
        inner = [numbers[each.id] for each in node.decomposition]
        needs = [numbers[each] for each in node.depends_on if each in numbers]
        numbers[node.id] = len(steps) + 1
        said = ", ".join(leaf for (leaf,) in _leaves(node.answer)) if node.answer is not None else ""
        answers = (said,) if said else ()
        steps.append(
            GoldStep(len(steps) + 1, _literal(node.question, ()), depends_on=(*inner, *needs), answers=answers)
        )


def _leaves(answer: Any) -> Iterator[tuple[str]]:
    """Yield the single values of an answer, which may be nested lists and objects; each is a part."""
    if isinstance(answer, Mapping):
        for key, value in answer.items():
            yield (str(key),)
            yield from _leaves(value)
    elif isinstance(answer, list | tuple):
        for value in answer:
            yield from _leaves(value)
    else:
        yield (str(answer),)
