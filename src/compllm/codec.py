"""The wire form of events: one flat JSON object per event, the same in the journal, in pipes and over HTTP.

{"at_s": 0.41, "kind": "node_started", "run": "7f3a", "node": 1, "expert": "history", ...}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, TypeAlias

from compllm.core.events import Event, Stamped
from compllm.errors import JournalError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


def encode(stamped: Stamped) -> dict[str, JSON]:
    """Return the event as a flat JSON object that starts with `at_s` and `kind`.

    Every value survives a strict JSON encoder in UTF-8: infinities become the strings "Infinity" and "-Infinity", not a
    number "NaN", and half a surrogate pair becomes "?".
    """
    event = stamped.event
    body = {field.name: _plain(getattr(event, field.name)) for field in fields(event)}
    return {"at_s": _plain(stamped.at_s), "kind": event.kind, **body}


def decode(mapping: Mapping[str, JSON]) -> Stamped:
    """Return the event that `encode` was given; fields with a default may be missing.

    Raises:
        JournalError: the kind is unknown, or a field is unknown, missing or of another type; it names the field.
    """
    body = dict(mapping)
    at_s = body.pop("at_s", None)
    if isinstance(at_s, bool) or not isinstance(at_s, int | float):
        raise JournalError(f"not an event: field 'at_s' must be a number of seconds, not {at_s!r:.40}")
    try:
        return Stamped(float(at_s), _events().validate_python(body))
    except ValueError as error:
        raise JournalError(f"not an event: {_problem(error, body.get('kind'))}") from error


def _plain(value: object) -> JSON:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return _number(value)
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"an event holds a {type(value).__name__}, which has no wire form")


def _number(value: float) -> JSON:
    if math.isfinite(value):
        return float(value)  # NumPy's float64 is a float, but not one that every JSON encoder knows
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


@cache
def _events() -> TypeAdapter[Event]:
    # Built on first use: reading a journal needs it, `import compllm` does not.
    from pydantic import ConfigDict, Field, TypeAdapter

    return TypeAdapter(Annotated[Event, Field(discriminator="kind")], config=ConfigDict(extra="forbid"))


def _problem(error: ValueError, kind: JSON) -> str:
    """Return the first thing that is wrong in one line, without the (perhaps long, perhaps secret) value."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    match first["type"]:
        case "union_tag_invalid":
            return f"unknown kind {kind!r:.60}"
        case "union_tag_not_found":
            return "field 'kind' is missing"
    # The first part of the location is the kind.
    path = ".".join(str(part) for part in first["loc"][1:])
    return f"{kind} has an unusable field {path!r}: {first['msg'].lower()}"
