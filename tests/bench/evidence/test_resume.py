"""Runs of `bench run` that go on, on a team behind a scripted server, and what `bench compare` finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compllm.bench.evidence.records import Record, append
from compllm.bench.evidence.reply import Cost, Reply
from compllm.bench.evidence.rows import write_rows
from compllm.bench.evidence.run import setting_of
from compllm.bench.evidence.scores import score
from compllm.bench.evidence.systems.base import Endpoint, fingerprint
from compllm.config import load_team
from tests.bench.evidence.lab import ROW
from tests.cli.conftest import Invoke, Serve, folder, invoke, serve
from tests.experts.misbehaving import good

__all__ = ["folder", "invoke", "serve"]

FIRST, OTHER = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"


def done(system: str) -> Record:
    return Record(system, ROW.id, "P", ROW.question, ROW.parts, "70", score(ROW, Reply("70")), Cost(0, 0, 0, 0, 0, 0))


def test_results_are_compared_in_a_folder_with_an_at(invoke: Invoke, folder: Path) -> None:
    (folder / "me@home").mkdir()
    for system in ("one", "two"):
        append(folder / "me@home" / "r.jsonl", done(system))
    for named in ("me@home/r.jsonl@one", "me@home/r.jsonl"):
        result = invoke("bench", "compare", named, "me@home/r.jsonl", "--json")
        assert result.exit_code == 0, result.stderr
    assert "none.jsonl" in invoke("bench", "compare", "none.jsonl", "none.jsonl").stderr


def test_answers_of_another_endpoint_are_not_mixed_in(invoke: Invoke, serve: Serve, folder: Path) -> None:
    with serve(good("70")):
        write_rows(folder / "P.jsonl", [ROW])
        asked_with = setting_of(fingerprint(load_team(folder), None, Endpoint(FIRST, "m")), ROW)
        append(folder / "r.jsonl", replace(done("autogen"), setting=asked_with))

        def run(systems: str, url: str, model: str = "m") -> int:
            asked = ("bench", "run", "P.jsonl", "--out", "r.jsonl", "--systems", systems)
            return invoke(*asked, "--endpoint", url, "--endpoint-model", model).exit_code

        assert run("autogen", FIRST) == 0
        assert (run("autogen", OTHER), run("autogen", FIRST, "n")) == (2, 2)
        assert (run("top1", FIRST), run("top1", OTHER)) == (0, 0)
