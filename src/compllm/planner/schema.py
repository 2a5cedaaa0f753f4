"""The plan as JSON, for endpoints that can enforce a JSON schema but no grammar; read as it streams."""

from __future__ import annotations

import json
from collections.abc import Iterator

from compllm.core.plan import SubQuery
from compllm.planner.language import format_step

_FIELD_CHARACTERS = 80
_NO_BRACKETS = str.maketrans("[]", "  ")

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "field": {"type": "string"},
                        "question": {"type": "string"},
                        "after": {"type": "array", "items": {"type": "integer"}},
                    },
                    "required": ["field", "question", "after"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["steps"],
        "additionalProperties": False,
    }
)


class StepObjects:
    """Turns streamed JSON of the schema into lines of the plan language, each as soon as its object has ended."""

    def __init__(self) -> None:
        self._text = ""
        self._position: int | None = None
        self._count = 0
        self._decoder = json.JSONDecoder()

    def feed(self, piece: str) -> Iterator[str]:
        """Take a piece of the JSON text and yield the lines that it completed, newline included."""
        self._text += piece
        if self._position is None:
            start = self._text.find("[")
            if start < 0:
                return
            self._position = start + 1
        while (start := self._text.find("{", self._position)) >= 0:
            try:
                step, self._position = self._decoder.raw_decode(self._text, start)
            except json.JSONDecodeError:
                return
            self._count += 1
            yield self._line(step)

    def _line(self, step: dict[str, object]) -> str:
        field = _one_line(step.get("field")).translate(_NO_BRACKETS)[:_FIELD_CHARACTERS].strip()
        after = step.get("after")
        named = frozenset(n for n in after if type(n) is int and n >= 0) if isinstance(after, list) else frozenset()
        return format_step(SubQuery(self._count, _one_line(step.get("question")), field or None, named)) + "\n"


def _one_line(value: object) -> str:
    return " ".join(str(value or "").split())
