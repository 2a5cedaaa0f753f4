"""`bench run` and `bench compare` on a team behind a scripted server."""

import json
from pathlib import Path

import pytest

from compllm.bench.evidence.rows import write_rows
from tests.bench.evidence.lab import ROW
from tests.cli.conftest import Invoke, Serve
from tests.experts.misbehaving import good

RUN = ("bench", "run", "P.jsonl", "--out", "results.jsonl")


@pytest.fixture
def rows(folder: Path) -> Path:
    path = folder / "P.jsonl"
    write_rows(path, [ROW])
    return path


def test_systems_are_run_once_and_compared(invoke: Invoke, serve: Serve, rows: Path, folder: Path) -> None:
    with serve(good("70")) as server:
        first = invoke(*RUN, "--systems", "top1,compllm", "--json", "--report", "report.html")
        asked = len(server.seen)
        again = invoke(*RUN, "--systems", "top1,compllm", "--json")
    assert first.exit_code == 0, first.stderr
    assert again.stdout == first.stdout
    assert len(server.seen) == asked
    assert [row["system"] for row in json.loads(first.stdout)["rows"]] == ["top1", "compllm"]
    assert "<svg" in (folder / "report.html").read_text()
    compared = invoke("bench", "compare", "results.jsonl@top1", "results.jsonl@compllm", "--json")
    assert compared.exit_code == 0
    assert json.loads(compared.stdout)[0]["rows"][0]["questions"] == 1
    shown = invoke("bench", "compare", "results.jsonl", "results.jsonl")
    assert "top1 over top1" in shown.stdout


def test_what_is_wrong_is_said(invoke: Invoke, serve: Serve, rows: Path) -> None:
    with serve(good("70")):
        unknown = invoke(*RUN, "--systems", "moa")
        missing = invoke("bench", "run", "none.jsonl", "--out", "results.jsonl")
        autogen = invoke(*RUN, "--systems", "autogen")
    assert (unknown.exit_code, missing.exit_code, autogen.exit_code) == (2, 2, 2)
    assert "no system 'moa'" in unknown.stderr
    assert "none.jsonl" in missing.stderr
    assert "--endpoint" in autogen.stderr
    assert invoke("bench", "compare", "a.jsonl", "b.jsonl").exit_code == 2


def test_a_build_says_what_is_missing(invoke: Invoke) -> None:
    result = invoke("bench", "build", "out", "--xquad-qa", "qa.jsonl", "--xquad-paragraphs", "p.jsonl")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
