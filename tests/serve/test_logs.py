"""Log lines: one for each record, whatever it holds."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.serve.logs import JsonFormatter

SECRET = "sk-0123456789"


def line_of(formatter: JsonFormatter, message: str, *arguments: object, **more: Any) -> str:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, message, arguments, more.pop("exc_info", None))
    record.__dict__.update(more)
    return formatter.format(record)


@given(st.text(), st.text())
def test_a_record_is_one_line_of_ascii_that_reads_back(message: str, path: str) -> None:
    line = line_of(JsonFormatter(), "%s", message, fields={"path": path})
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert len(entry["message"]) <= 503
    assert len(message) > 500 or entry["message"] == message
    assert entry["path"][:500] == path[:500]


def test_secrets_are_left_out_wherever_they_are() -> None:
    formatter = JsonFormatter([SECRET, "", f"{SECRET}-long"])
    line = line_of(formatter, "sent %s", SECRET, fields={"reason": f"no {SECRET}-long"})
    assert SECRET not in line
    assert "-long" not in line


def test_of_an_exception_only_its_kind_and_its_place_are_told() -> None:
    try:
        raise ExceptionGroup("all of it", [ValueError("What is my secret?"), KeyError("secret")])
    except ExceptionGroup:
        line = line_of(JsonFormatter(), "failed", exc_info=sys.exc_info())
    error = json.loads(line)["error"]
    assert "secret" not in line
    assert [each["type"] for each in error["of"]] == ["ValueError", "KeyError"]
    assert "test_logs.py" in error["at"][0]


@pytest.mark.parametrize("exc_info", [None, (None, None, None)])
def test_a_record_without_an_exception_tells_of_none(exc_info: Any) -> None:
    assert "error" not in json.loads(line_of(JsonFormatter(), "fine", exc_info=exc_info))
