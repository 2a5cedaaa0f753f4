"""`compllm simulate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke, Serve
from tests.experts import misbehaving as bad

FILE = """\
devices: {cpu: {capacity: 10GiB, cores: 2}}
models:
  law: {footprint: 6GiB, load_s: 4, slots: 2, curve: [1, 1.6]}
  tax: {footprint: 5GiB, load_s: 3}
"""


@pytest.fixture(autouse=True)
def simulation(folder: Path) -> None:
    (folder / "simulation.yaml").write_text(FILE)


def figures(invoke: Invoke, *arguments: str) -> dict[str, dict[str, float]]:
    result = invoke("simulate", "simulation.yaml", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, dict[str, float]] = json.loads(result.stdout)
    return found


def test_random_runs_are_simulated_and_reported(invoke: Invoke) -> None:
    result = invoke("simulate", "simulation.yaml", "--random", "5")
    assert result.exit_code == 0
    for name in ("answered", "latency p95, s", "loads", "swaps (evictions)", "cpu: cores in use"):
        assert name in result.stdout
    assert result.stdout == invoke("simulate", "simulation.yaml", "--random", "5").stdout
    assert result.stdout != invoke("simulate", "simulation.yaml", "--random", "5", "--seed", "1").stdout


def test_what_ifs_are_side_by_side(invoke: Invoke) -> None:
    found = figures(invoke, "--random", "20", "--rate", "0.2", "--capacity", "cpu=12GiB", "--speed", "cpu=2")
    assert list(found) == ["as it is", "cpu=12GiB", "speed cpu=2"]
    assert found["cpu=12GiB"]["loads"] == 2 < found["as it is"]["loads"]
    assert found["speed cpu=2"]["load_s"] < found["as it is"]["load_s"]


def test_trouble_can_be_asked_for(invoke: Invoke) -> None:
    calm = figures(invoke, "--random", "20")["as it is"]
    found = figures(invoke, "--random", "20", "--fail-rate", "0.3", "--noise", "0.5", "--skew", "0")["as it is"]
    assert calm["failed_attempts"] == calm["failed_loads"] == 0 < found["failed_attempts"]


def test_runs_are_recorded_and_simulated_again(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("fine")):
        invoke("ask", "Is the sea blue?")
        invoke("ask", "Is the sky green?")
    recorded = invoke("simulate", "--record", "trace.jsonl", "--last", "1")
    assert (recorded.exit_code, recorded.stderr) == (0, "compllm: trace.jsonl: 1 runs with 1 nodes\n")
    assert "sky" not in Path("trace.jsonl").read_text()
    assert json.loads(Path("trace.jsonl").read_text())["nodes"][0]["model"] == "m"
    result = invoke("simulate", "--trace", "trace.jsonl", "--json")  # the team in this folder
    assert json.loads(result.stdout)["as it is"]["ends"] == {"answered": 1}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "needs one workload; give --trace FILE (see --record) or --random N"),
        (("--random", "1", "--trace", "t"), "are two workloads; give one"),
        (("--trace", "t", "--rate", "2"), "--rate and --skew are for --random; a trace has its own times and experts"),
        (("--trace", "t"), "t: no such file"),
        (("--random", "1", "--capacity", "gpu=1GiB"), "there is no device 'gpu'; the devices are cpu"),
        (("--random", "1", "--capacity", "cpu=1GiB"), "model 'law' needs 6,144 MiB"),
        (("--random", "1", "--plot", "plot.gif"), "plot.gif: a plot is written as .png or .svg"),
    ],
)
def test_a_mistake_is_answered_with_its_remedy(invoke: Invoke, arguments: tuple[str, ...], problem: str) -> None:
    result = invoke("simulate", "simulation.yaml", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


def test_an_empty_journal_cannot_be_recorded(invoke: Invoke) -> None:
    result = invoke("simulate", "--record", "trace.jsonl")
    assert result.exit_code == 2
    assert "ask something first" in result.stderr
    assert not Path("trace.jsonl").exists()


def test_a_plot_is_drawn(invoke: Invoke, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    result = invoke("simulate", "simulation.yaml", "--random", "3", "--plot", "plot.svg")
    assert result.exit_code == 0
    assert (folder / "plot.svg").stat().st_size > 5_000
