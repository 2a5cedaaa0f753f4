from __future__ import annotations

import json
from pathlib import Path

import pytest

from compllm.bench.evidence.external import read_set
from compllm.bench.evidence.rows import write_rows
from compllm.errors import ConfigError
from tests.bench.evidence.lab import BRIDGE, ROW


def test_rows_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "P.jsonl"
    write_rows(path, [ROW, BRIDGE])
    assert read_set(str(path)) == [ROW, BRIDGE]
    assert read_set(str(path), 1) == [ROW]


def test_the_gold_plan_substitutes_and_depends(tmp_path: Path) -> None:
    plan = BRIDGE.gold_plan
    assert plan.edges == ((1, 2),)
    assert plan[2].substitute({1: "the heart"}) == "What does the heart make?"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parts": [[]]}, "every part needs a gold answer"),
        ({"parts": []}, "every part needs a gold answer"),
        ({"parts": [None]}, "a list was expected"),
        ({"plan": ["x"]}, "a step is an object"),
        ({"plan": [{"id": 2, "question": "When was #1 born?"}]}, "needs step 1"),
        ({"id": None, "set": None}, ""),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "P.jsonl"
    row = {"id": "p-1", "set": "P", "question": "Who?", "parts": [["a"]], "plan": []} | change
    path.write_text(json.dumps({key: value for key, value in row.items() if value is not None}))
    with pytest.raises(ConfigError, match=r"P\.jsonl:1") as refused:
        read_set(str(path))
    assert said in str(refused.value)
