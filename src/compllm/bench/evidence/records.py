"""Results as JSON lines, one for each question and system: written as they come, so that a run can go on later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from compllm.bench.evidence.reply import Cost
from compllm.bench.evidence.scores import Scores
from compllm.errors import ConfigError
from compllm.router.calibration import read_json_lines

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one question with one system; `setting` is the `fingerprint` of what it was asked with."""

    system: str
    id: str
    set: str
    question: str
    gold: tuple[tuple[str, ...], ...]
    answer: str
    scores: Scores
    cost: Cost
    steps: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()
    setting: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What no other record of a file shares: the system and the row."""
        return self.system, self.id


def append(path: Path, record: Record) -> None:
    """Add a record to a file, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    line = json.dumps(asdict(record), ensure_ascii=False) + "\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def read_records(path: Path) -> list[Record]:
    """Read the records of a file.

    Raises:
        ConfigError: naming file and line.
    """
    return [_record(row, where) for where, row in read_json_lines(path)]


def _record(row: Mapping[str, Any], where: str) -> Record:
    try:
        return Record(
            str(row["system"]),
            str(row["id"]),
            str(row["set"]),
            str(row["question"]),
            tuple(map(tuple, row["gold"])),
            str(row["answer"]),
            _made(Scores, row["scores"]),
            _made(Cost, row["cost"]),
            tuple(tuple(step) for step in row["steps"]),
            tuple(row["notes"]),
            str(row.get("setting", "")),
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{where}: not a result of `compllm bench run`: {type(error).__name__}: {error}") from None


def _made(kind: type[T], values: Mapping[str, Any]) -> T:
    return kind(**{field.name: values[field.name] for field in fields(kind)})  # type: ignore[arg-type]
