"""Simulations as pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import Attempt, Failures, SimulationResult, Truth, simulate
from compllm.core.workload import Mix, random_workload
from compllm.errors import ConfigError
from compllm.simulation.plot import _MOST_LANES, _lanes, _slots, check_plot, plot_simulations


def result(models: int = 3, runs: int = 8) -> SimulationResult:
    devices = (Device("cpu", 9, 4), Device("gpu", 2**31))
    kinds = [Model(f"m{n}", 4, slots=2, devices=("cpu", "gpu")) for n in range(models)]
    workload = random_workload(runs, {kind.name: kind.name for kind in kinds}, Mix(), 1)
    return simulate(workload, kinds, devices, Scheduler(kinds, devices), Truth(failures=Failures(nodes=0.2)))


@pytest.mark.parametrize(("name", "magic"), [("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml")])
def test_a_plot_is_written(tmp_path: Path, name: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / name
    check_plot(path)
    plot_simulations(path, {"as it is": result(), "cpu=2": result(models=2)})
    content = path.read_bytes()
    assert content.startswith(magic)
    assert len(content) > 5_000


def test_a_simulation_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    nothing = SimulationResult((), (Device("cpu", 10),), (), (), (), 0.0, 0)
    plot_simulations(tmp_path / "plot.png", {"as it is": nothing})
    assert (tmp_path / "plot.png").stat().st_size > 1_000


def test_a_plot_that_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigError, match="cannot be written"):
        plot_simulations(tmp_path / "missing" / "plot.png", {"as it is": result()})


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"plot.gif: a plot is written as .png or .svg"):
        check_plot(Path("plot.gif"))


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r'pip install "compllm\[plots\]"'):
        check_plot(Path("plot.png"))


def test_an_attempt_takes_the_lowest_free_slot() -> None:
    spans = [(0.0, 4.0), (1.0, 2.0), (2.0, 3.0), (2.5, 5.0), (4.0, 6.0)]
    attempts = [Attempt("r", n, "e", "m", "cpu", 1, *span, "completed") for n, span in enumerate(spans)]
    assert [(slot, attempt.node) for slot, attempt in _slots(attempts)] == [(0, 0), (1, 1), (1, 2), (2, 3), (0, 4)]


def test_of_many_lanes_the_busiest_are_shown() -> None:
    many = result(models=60, runs=150)
    lanes = _lanes(many)
    busy_s = sorted(sum(a.ended_s - a.started_s for a in attempts) for attempts in lanes.values())
    assert len(lanes) == _MOST_LANES
    assert sum(busy_s) > 0.66 * sum(a.ended_s - a.started_s for a in many.attempts)
