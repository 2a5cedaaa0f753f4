"""Safe YAML with the line of every key, so that an error can point at its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from compllm.errors import ConfigError

MAX_BYTES = 1_000_000
# Far more than any team needs; a few aliases of aliases would otherwise grow without bound.
MAX_ENTRIES = 100_000
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed YAML; `lines` holds the line (from 1) of every key and list item by its path."""

    path: Path
    data: Any
    lines: dict[Key, int]

    def error(self, key: Key, problem: str, remedy: str) -> ConfigError:
        """Return an error that names file, line, key, problem and remedy."""
        return ConfigError(f"{self.where(key)}: {problem}; {remedy}")

    def where(self, key: Key) -> str:
        """Return file, line and key as an error begins with them."""
        return f"{self.path}:{self.line(key)}: {_dotted(key)}"

    def line(self, key: Key) -> int:
        """Return the line of a key, or of the nearest one above it."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)


class _Loader(yaml.SafeLoader):
    """Reads dates as the text they are."""


def _as_text(_loader: _Loader, node: yaml.Node) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _as_text)


def read_yaml(path: Path) -> Document:
    """Read a YAML file without running anything in it.

    Raises:
        ConfigError: it is missing, unreadable, too large, not text, not YAML, or says a key twice.
    """
    text = _read_text(path)
    try:
        return _parsed(path, text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not a text file: it holds the character {error.character:#04x}") from None
    except yaml.constructor.ConstructorError as error:
        raise ConfigError(
            f"{path}:{_line_of(error)}: not plain YAML: {error.problem}; remove the tag, the word that starts with `!`"
        ) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(
            f"{path}:{_line_of(error)}: not valid YAML: {error.problem}; check indentation, brackets and quotes"
        ) from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply, or an alias holds itself; write it out") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    except (KeyError, IndexError) as error:  # PyYAML's own, at a tag like `!!bool` before something else
        raise ConfigError(f"{path}: not valid YAML: a tag does not fit its value ({error}); remove the tag") from None


def _parsed(path: Path, text: str) -> Document:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        lines: dict[Key, int] = {}
        # Before anything is made of the nodes: this is what refuses an alias bomb.
        for entries, (key, node) in enumerate(_walk(root, (), path) if root is not None else ()):
            lines.setdefault(key, node.start_mark.line + 1)
            if entries >= MAX_ENTRIES:
                raise ConfigError(f"{path}: its aliases make more than {MAX_ENTRIES:,} entries of it; write it out")
        return Document(path, loader.construct_document(root) if root is not None else None, lines)
    finally:
        loader.dispose()


def _line_of(error: yaml.MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark else 1


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigError(f"{path}: a link to a file that is not there; correct or remove it") from None
        raise ConfigError(
            f"{path}: no such file; `compllm init` writes one, and without one the starter team answers"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; is this a team file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8; a team file is YAML") from None


def _walk(node: yaml.Node, at: Key, path: Path) -> Iterator[tuple[Key, yaml.Node]]:
    """Yield every key and list item with its path; aliases are followed, so that an error below one has a line."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value in node.value:
            name = _key_name(key_node, at, path)
            key = (*at, name)
            if name in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"{path}:{line}: {_dotted(key)}: the key is there twice; remove one")
            seen.add(name)
            yield key, key_node
            yield from _walk(value, key, path)
    elif isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            yield (*at, place), item
            yield from _walk(item, (*at, place), path)


def _key_name(node: yaml.Node, at: Key, path: Path) -> str:
    """Return a key, which has to be text: YAML reads `1`, `yes` and `~` as something else."""
    where = f"{path}:{node.start_mark.line + 1}: {_dotted(at)}"
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{where}: a key is a list or a mapping; a key is a word")
    if node.tag not in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}:
        raise ConfigError(f"{where}: the key {node.value or '~'} is not text for YAML; put it in quotes")
    return str(node.value)


def explain_errors(
    document: Document, error: ValidationError, model: type[BaseModel], forms: Mapping[str, str] | None = None
) -> str:
    """Return one line for each thing that does not fit the model; `forms` says in words what a pattern asks for.

    What does not fit a pattern is not repeated: it may be a secret in the wrong place.
    """
    found = [_Found(document, dict(each), model, forms or {}) for each in error.errors(include_url=False)]
    return "\n".join(f"{document.where(each.key)}: {each.words()}" for each in found)


# What the validator calls these types would mean nothing to the reader of a team file.
_EXPECTED = {
    "model_type": "a mapping of `key: value` lines",
    "dict_type": "a mapping of `key: value` lines",
    "tuple_type": "a list, like `[one, two]`",
    "string_type": "text; put it in quotes",
    "path_type": "a path",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a number with an end",
    "bool_parsing": "`true` or `false`",
    "bool_type": "`true` or `false`",
    "byte_size": "a size in bytes, like `4GiB`",
    "byte_size_unit": "a size in bytes, like `4GiB`",
    "too_short": "not empty",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """One thing that the validator found."""

    document: Document
    found: dict[str, Any]
    model: type[BaseModel]
    forms: Mapping[str, str]

    @property
    def key(self) -> Key:
        """The place in the file; when a union's tag is wrong, that of the tag."""
        key = _without_tags(self.document, tuple(self.found["loc"]))
        return (*key, self.found["ctx"]["discriminator"].strip("'")) if self.found["type"] in _TAG_ERRORS else key

    def words(self) -> str:
        """Say what is wrong and how to mend it."""
        match self.found["type"]:
            case "extra_forbidden":
                known = _fields_at(self.model, self.found["loc"][:-1])
                return f"unknown key; {_suggestion(str(self.key[-1]), known)}"
            case "missing":
                return "this key is missing; add it"
            case "union_tag_not_found":
                return f"this key is missing; use one of {', '.join(_tags_at(self.model, self.found['loc']))}"
            case "union_tag_invalid":
                return f"there is no {self.found['ctx']['tag']!r}; " + _suggestion(
                    self.found["ctx"]["tag"], _tags_at(self.model, self.found["loc"])
                )
            case "string_pattern_mismatch":
                pattern = self.found["ctx"]["pattern"]
                return f"this should be {self.forms.get(pattern, f'text like {pattern}')}"
        return self._mismatch()

    def _mismatch(self) -> str:
        given = _shown(self.found["input"])
        if not self.key:
            return f"the file is {given}; a team file is a mapping with `models:` and `experts:`"
        message = str(self.found["msg"])
        expected = _EXPECTED.get(self.found["type"])
        problem = f"this should be {expected}" if expected else message.replace("Input should", "this should", 1)
        return f"{problem}; it is {given}"


_TAG_ERRORS = {"union_tag_not_found", "union_tag_invalid"}


def _suggestion(given: str, known: list[str]) -> str:
    close = difflib.get_close_matches(given, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"


def _shown(value: Any) -> str:
    """Return a value as an error shows it; of a mapping or a list only what it is, for it may hold anything."""
    if value is None:
        return "empty"
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _without_tags(document: Document, key: Key) -> Key:
    """Drop what the validator puts into a location that is no key of the file: a union's tag, the mark of a key."""
    kept: Key = ()
    for place, part in enumerate(key):
        here = (*kept, part)
        rest = key[place + 1 :]
        # A tag may be called like a key beside what the location means.
        is_tag = bool(rest) and (*here, *rest) not in document.lines and (*kept, *rest) in document.lines
        if part != "[key]" and (here in document.lines or not rest) and not is_tag:
            kept = here
    return kept


def _fields_at(model: type[BaseModel], key: Key) -> list[str]:
    """Return the keys that are known at a place, which the validator gives with the tags of unions."""
    return sorted({name for each in _models_at(model, key) for name in each.model_fields})


def _tags_at(model: type[BaseModel], key: Key) -> list[str]:
    """Return the tags of the union at a place."""
    return sorted({tag for each in _models_at(model, key) for tag in _tags_of(each)})


def _models_at(model: type[BaseModel], key: Key) -> list[type[BaseModel]]:
    models: list[type[BaseModel]] = [model]
    for part in key:
        tagged = [each for each in models if part in _tags_of(each)] if len(models) > 1 else []
        below = [each.model_fields[part].annotation for each in models if part in each.model_fields]
        models = tagged or [found for annotation in below for found in _models_in(annotation)] or models
    return models


def _tags_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the values of a field that takes one word only: what tells the branches of a union apart."""
    words = [get_args(f.annotation) for f in model.model_fields.values() if get_origin(f.annotation) is Literal]
    return tuple(word for each in words if len(each) == 1 for word in each)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _dotted(key: Key) -> str:
    return ".".join(str(part) for part in key) or "(whole file)"
