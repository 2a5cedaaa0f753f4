"""`compllm bench projection`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke


def test_every_table_has_its_rows_and_the_plot_is_drawn(invoke: Invoke, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    result = invoke("bench", "projection", "--questions", "1", "--gpu", "a100", "--plot", "curve.png", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["assumptions"]["gpu"]["name"].startswith("A100")
    assert [len(rows) for rows in report["tables"].values()] == [30, 18, 9]
    assert (folder / "curve.png").stat().st_size > 5_000


def test_another_kind_of_plot_is_refused_before_anything_is_simulated(invoke: Invoke) -> None:
    result = invoke("bench", "projection", "--plot", "curve.gif")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "curve.gif: a plot is written as .png or .svg" in result.stderr
