"""Results as JSON lines, one for each question and system: written as they come, so that a run can go on later."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from io import SEEK_END, FileIO
from pathlib import Path
from typing import Any, TypeVar

from compllm.bench.evidence.reply import Cost
from compllm.bench.evidence.scores import Scores
from compllm.errors import ConfigError
from compllm.router.calibration import read_json_lines

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one question with one system; `setting` is the fingerprint of what it was asked with."""

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
    # Half of a character, as a model that breaks off leaves it, is no text in UTF-8.
    line = (json.dumps(asdict(record), ensure_ascii=False) + "\n").encode(errors="replace")
    try:
        with path.open("a+b", buffering=0) as file:
            _write_line(file, line)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def _write_line(file: FileIO, line: bytes) -> None:
    """Write a line at the end of a file, or leave the file as it was; a disk that fills up takes half of a line."""
    end = file.seek(0, SEEK_END)
    file.seek(max(0, end - 1))
    rest = line if file.read(1) in (b"", b"\n") else b"\n" + line  # an editor may have taken the last line's end
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(end)
        raise


def read_records(path: Path) -> list[Record]:
    """Read the records of a file.

    Raises:
        ConfigError: naming file and line; a second result of the same system for the same row is one too many.
    """
    found: dict[tuple[str, str], Record] = {}
    for where, row in read_json_lines(path):
        record = _record(row, where)
        if record.key in found:
            raise ConfigError(f"{where}: a second result of {record.system} for {record.id}: remove one of the two")
        found[record.key] = record
    return list(found.values())


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
    """Return scores or costs whose values are numbers; what has no value may be None."""
    for field in fields(kind):  # type: ignore[arg-type]
        value = values[field.name]
        is_number = isinstance(value, int | float) and math.isfinite(value)
        if not is_number and not (value is None and "None" in str(field.type)):
            raise TypeError(f"{field.name} is no number but {value!r}")
    return kind(**{field.name: values[field.name] for field in fields(kind)})  # type: ignore[arg-type]
