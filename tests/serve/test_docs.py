"""The documentation says of every field and every error what the server does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compllm.serve import errors
from compllm.serve.history import Turn, standalone
from compllm.serve.schemas import Body, ChatBody, Extras
from compllm.serve.schemas_responses import ResponseBody
from compllm.serve.schemas_runs import RunBody

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("body", [ChatBody, ResponseBody])
def test_every_field_is_documented_as_it_is_described(body: type[Body]) -> None:
    for name, field in body.model_fields.items():
        assert f"| `{name}` | {field.description} |" in PAGE


@pytest.mark.parametrize("body", [Extras, RunBody])
def test_every_field_of_our_own_is_documented(body: type[Body]) -> None:
    assert all(f"`{name}`" in PAGE for name in body.model_fields)


def test_every_code_of_an_error_is_documented() -> None:
    assert all(f"`{code}`" in PAGE for code in [*(code for _, _, code, _ in errors._TABLE), *errors._UNANSWERED])


def test_the_follow_ups_become_what_the_page_says() -> None:
    rows = re.findall(r"^\| (.+) \*(.+)\* \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for asked, answered, question, expected in rows:
        turns = [Turn("user", asked), Turn("assistant", answered), Turn("user", question)]
        assert standalone(turns) == expected
