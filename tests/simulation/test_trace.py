"""Workloads as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compllm.core.workload import Mix, Workload, WorkNode, WorkRun, random_workload
from compllm.errors import ConfigError
from compllm.simulation.trace import read_trace, write_trace

NODE = {"id": 1, "expert": "e", "model": "m", "duration_s": 1.0}


def line(**more: object) -> str:
    return json.dumps({"run": "r", "at_s": 0, "nodes": [NODE], **more})


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([None, 30.0]))
@settings(max_examples=10, deadline=None)
def test_a_workload_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, seed: int, known: bool, deadline_s: float | None
) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    workload = random_workload(5, {"é": "m", "f": "m"}, Mix(known=known, deadline_s=deadline_s, users=2), seed)
    write_trace(path, workload)
    assert read_trace(path) == workload


def test_every_field_comes_back(tmp_path: Path) -> None:
    nodes = (WorkNode(3, (), "e", "m", 1.0, 2.0, 0.5), WorkNode(1, (3,), "e", "m", 0.0))
    workload = Workload((WorkRun("r", 1.5, nodes, "ann", 2, 30.0, 0.75),))
    write_trace(tmp_path / "t", workload)
    assert read_trace(tmp_path / "t") == workload


def test_what_has_its_default_value_is_left_out(tmp_path: Path) -> None:
    write_trace(tmp_path / "t", Workload((WorkRun("r", 0.0, (WorkNode(1, (), "e", "m", 1.0),)),)))
    assert json.loads((tmp_path / "t").read_text()) == {"run": "r", "at_s": 0.0, "nodes": [NODE]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "t:2: not JSON at column 2"),
        ("[]", "t:2: the line: "),
        (line(at_s=-1), "t:2: at_s: this should be greater than or equal to 0"),
        (line(at_s="1"), "t:2: at_s: this should be a valid number"),
        (line(speed=1), "t:2: speed: unknown field; known are run, at_s, "),
        (line(nodes=[]), "t:2: nodes: "),
        (line(nodes=[{**NODE, "duration_s": None}]), "t:2: nodes.0.duration_s: this should be a valid number"),
        (line(nodes=[{"id": 1}]), "t:2: nodes.0.expert: this field is missing; add it"),
        (line(nodes=[{**NODE, "parents": [2]}]), "t:2: run r: node 1 is there twice, or comes before .*list parents"),
        (line(deadline_s=float("inf")), "t:2: deadline_s: "),
        (line(run="first"), "t:2: run 'first' is on line 1, too; rename one"),
    ],
)
def test_a_mistake_is_answered_with_file_line_field_and_remedy(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "t"
    path.write_text(f"{line(run='first')}\n{text}\n")
    with pytest.raises(ConfigError, match=problem):
        read_trace(path)


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "no such file; .*--record"), (b"\n\n", "no runs"), (b"\xff", "cannot be read")]
)
def test_a_file_that_is_no_trace(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "t"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem):
        read_trace(path)


def test_a_trace_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_trace(tmp_path / "missing" / "t", Workload(()))
