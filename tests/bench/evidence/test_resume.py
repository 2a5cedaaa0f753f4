"""Runs of `bench run` that go on, on a team behind a scripted server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from compllm.bench.evidence.records import Record, append
from compllm.bench.evidence.reply import Cost, Reply
from compllm.bench.evidence.rows import write_rows
from compllm.bench.evidence.scores import score
from compllm.bench.evidence.systems.base import Endpoint, fingerprint
from compllm.config import load_team
from tests.bench.evidence.lab import ROW
from tests.cli.conftest import Invoke, Serve, folder, invoke, serve
from tests.experts.misbehaving import good

__all__ = ["folder", "invoke", "serve"]

FIRST, OTHER = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"


def test_answers_of_another_endpoint_are_not_mixed_in(invoke: Invoke, serve: Serve, folder: Path) -> None:
    with serve(good("70")):
        write_rows(folder / "P.jsonl", [ROW])
        file, reply = load_team(folder), Reply("70")
        done = Record("autogen", ROW.id, "P", ROW.question, ROW.parts, "70", score(ROW, reply), Cost(0, 0, 0, 0, 0, 0))
        append(folder / "r.jsonl", replace(done, setting=fingerprint(file, None, Endpoint(FIRST, "m"))))

        def run(systems: str, url: str, model: str = "m") -> int:
            asked = ("bench", "run", "P.jsonl", "--out", "r.jsonl", "--systems", systems)
            return invoke(*asked, "--endpoint", url, "--endpoint-model", model).exit_code

        assert run("autogen", FIRST) == 0
        assert (run("autogen", OTHER), run("autogen", FIRST, "n")) == (2, 2)
        assert (run("top1", FIRST), run("top1", OTHER)) == (0, 0)
