"""The timing of large simulations, on a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from compllm.bench.scale import measure_scale, plot_scale, render_scale


def test_a_small_simulation_is_timed() -> None:
    figure = measure_scale(60, devices=3, models=9)
    assert 40 < figure.nodes < 90
    assert (figure.devices, figure.models) == (3, 9)
    assert figure.events > 2 * figure.nodes
    assert 0 < figure.scheduler_us < figure.event_us
    lines = render_scale([figure]).splitlines()
    assert lines[0] == "3 devices, 9 models; CPU time"
    assert lines[2].split()[0] == str(figure.nodes)


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_scale(tmp_path / "curve.png", [measure_scale(nodes, devices=2, models=4) for nodes in (20, 40)])
    assert (tmp_path / "curve.png").stat().st_size > 5_000
