"""The files of the routing bench: labelled questions, questions for nobody, and experts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compllm.core.routing import ExpertProfile
from compllm.errors import ConfigError
from compllm.router.calibration import read_json_lines

SPLITS = ("example", "calib", "test")
_SUBFIELDS: Mapping[str, tuple[str, ...]] = {
    "history": ("ancient history", "military history", "medieval history", "the French Revolution"),
    "geography": ("physical geography", "capital cities", "rivers", "countries of Africa"),
    "literature": ("poetry", "English literature", "Shakespeare", "novels"),
    "music": ("opera", "rock music", "classical music", "jazz"),
    "film and television": ("cinema", "sitcoms", "film actors", "TV series"),
    "sports": ("football", "tennis", "the Olympic Games", "basketball"),
    "science": ("astronomy", "chemistry", "physics", "biology"),
    "medicine": ("cardiology", "oncology", "pharmacology", "neurology"),
    "law": ("criminal law", "contract law", "constitutional law", "tax law"),
    "finance and economics": ("accounting", "stock markets", "macroeconomics", "corporate finance"),
    "computer science": ("algorithms", "computer networks", "software engineering", "machine learning"),
    "mathematics": ("algebra", "geometry", "statistics", "calculus"),
}


@dataclass(frozen=True, slots=True)
class BenchRow:
    """A question, the expert that should answer it (None: nobody), and the split it belongs to."""

    question: str
    domain: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class OodRow:
    """A question for no expert; `kind` groups the figures, as in near and far."""

    question: str
    kind: str = "ood"


@dataclass(frozen=True, slots=True)
class BenchExpert:
    """An expert as routing sees it; `label` is its field in a word or two, `subfields` are parts of that field."""

    name: str
    label: str
    description: str
    examples: tuple[str, ...] = ()
    subfields: tuple[str, ...] = ()

    def profile(self, examples: Sequence[str] | None = None) -> ExpertProfile:
        """Return the profile, with these examples instead of its own if given."""
        chosen = self.examples if examples is None else tuple(examples)
        return ExpertProfile(self.name, self.name, self.description, chosen)


def read_rows(path: Path) -> list[BenchRow]:
    """Read JSON lines `{"question", "domain"?, "split"?}`.

    Raises:
        ConfigError: naming file and line.
    """
    rows = []
    for where, row in read_json_lines(path):
        split = _text(row, "split", where)
        if split is not None and split not in SPLITS:
            raise ConfigError(f'{where}: "split" must be one of {", ".join(SPLITS)}, not {split!r}')
        rows.append(BenchRow(_question(row, where), _text(row, "domain", where), split))
    return rows


def read_ood(path: Path) -> list[OodRow]:
    """Read JSON lines `{"question", "kind"?}`.

    Raises:
        ConfigError: naming file and line.
    """
    return [OodRow(_question(row, where), _text(row, "kind", where) or "ood") for where, row in read_json_lines(path)]


def read_experts(path: Path) -> list[BenchExpert]:
    """Read a JSON list of `{"name", "description", "label"?, "examples"?, "subfields"?}`.

    Raises:
        ConfigError: naming the file and what is wrong in it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{path}: expected a JSON list of experts")
    experts = [_expert(row, f"{path}: expert {number}") for number, row in enumerate(data, start=1)]
    if len({expert.name for expert in experts}) < len(experts):
        raise ConfigError(f"{path}: two experts have the same name")
    return experts


def _expert(row: object, where: str) -> BenchExpert:
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected a JSON object")
    name, description = _text(row, "name", where), _text(row, "description", where)
    if not name or not description:
        raise ConfigError(f'{where}: an expert needs a "name" and a "description"')
    label = _text(row, "label", where) or name
    subfields = _texts(row, "subfields", where) or _SUBFIELDS.get(label, ())
    return BenchExpert(name, label, description, _texts(row, "examples", where), subfields)


def _text(row: Mapping[str, object], key: str, where: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f'{where}: "{key}" must be a text, not {value!r}')
    return value


def _texts(row: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = row.get(key) or []
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise ConfigError(f'{where}: "{key}" must be a list of texts')
    return tuple(value)


def _question(row: Mapping[str, object], where: str) -> str:
    question = _text(row, "question", where)
    if not question or not question.strip():
        raise ConfigError(f'{where}: a row needs a "question"')
    return question
