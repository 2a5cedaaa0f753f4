"""Safe YAML with the line of every key, so that an error can point at its place."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from compllm.errors import ConfigError

MAX_BYTES = 1_000_000
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed YAML; `lines` holds the line (from 1) of every key and list item by its path."""

    path: Path
    data: Any
    lines: dict[Key, int]

    def error(self, key: Key, problem: str, remedy: str) -> ConfigError:
        """Return an error that names file, line, key, problem and remedy."""
        return ConfigError(f"{self.path}:{self.line(key)}: {_dotted(key)}: {problem}; {remedy}")

    def line(self, key: Key) -> int:
        """Return the line of a key, or of the nearest one above it."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)


def read_yaml(path: Path) -> Document:
    """Read a YAML file without running anything in it.

    Raises:
        ConfigError: it is missing, unreadable, too large, not text, not YAML, or says a key twice.
    """
    text = _read_text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Key, int] = {}
        for key, node in _walk(root, (), path) if root is not None else ():
            lines.setdefault(key, node.start_mark.line + 1)
        return Document(path, yaml.safe_load(text), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}; check indentation and quotes") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; is this a team file?")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8; a team file is YAML") from None
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; `compllm init` writes one, or leave it out for the starter team"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


def _walk(node: yaml.Node, at: Key, path: Path) -> Iterator[tuple[Key, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key_node, value in node.value:
            key = (*at, key_node.value)
            if key_node.value in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"{path}:{line}: {_dotted(key)}: the key is there twice; remove one")
            seen.add(key_node.value)
            yield key, key_node
            yield from _walk(value, key, path)
    elif isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            yield (*at, place), item
            yield from _walk(item, (*at, place), path)


def explain_errors(document: Document, error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line for each thing that does not fit the model."""
    return "\n".join(_explain(document, dict(found), model) for found in error.errors(include_url=False))


def _explain(document: Document, found: dict[str, Any], model: type[BaseModel]) -> str:
    key = _without_tags(document, tuple(found["loc"]))
    where = f"{document.path}:{document.line(key)}: {_dotted(key)}"
    if found["type"] == "extra_forbidden":
        known = _fields_at(model, key[:-1])
        close = difflib.get_close_matches(str(key[-1]), known, 1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return f"{where}: unknown key; {remedy}"
    if found["type"] == "missing":
        return f"{where}: this key is missing; add it"
    if not key:
        return f"{where}: a team file is a mapping with `models:` and `experts:`; {found['msg'].lower()}"
    given = repr(found["input"])
    given = given if len(given) <= 80 else f"{given[:77]}..."
    return f"{where}: {found['msg'][:1].lower()}{found['msg'][1:]}; it is {given}"


def _without_tags(document: Document, key: Key) -> Key:
    """Drop what the validator puts into a location that is no key of the file: the tag of a union's branch."""
    kept: Key = ()
    for part in key:
        last = part is key[-1]
        if (*kept, part) in document.lines or (last and part not in {"embedded", "endpoint"}):
            kept = (*kept, part)
    return kept


def _fields_at(model: type[BaseModel], key: Key) -> list[str]:
    """Return the keys that are known at a place of the file."""
    models: list[type[BaseModel]] = [model]
    for part in key:
        below = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [found for annotation in below for found in _models_in(annotation)] or models
    return sorted({name for each in models for name in each.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _dotted(key: Key) -> str:
    return ".".join(str(part) for part in key) or "(whole file)"
