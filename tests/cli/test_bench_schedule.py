import json
from pathlib import Path

import pytest

from tests.bench.test_psplib import write_library
from tests.cli.conftest import Invoke


def test_the_command_prints_a_table_or_json(folder: Path, invoke: Invoke) -> None:
    library = write_library(folder / "library")
    options = ("bench", "schedule", "--psplib", str(library), "--sets", "a", "--schedules", "9", "--budget-ms", "5")
    shown, as_json = invoke(*options), invoke(*options, "--json", "--seed", "3")
    assert (shown.exit_code, as_json.exit_code) == (0, 0)
    assert "parallel LFT" in shown.stdout
    report = json.loads(as_json.stdout)
    assert (report["seed"], report["schedules"], report["budget_ms"]) == (3, 9, 5)
    assert report["rows"][0]["mean_deviation_percent"] == pytest.approx(40)


def test_residency_prints_the_traces_and_what_they_come_to(invoke: Invoke) -> None:
    options = ("bench", "schedule", "--residency", "--count", "1")
    shown, as_json = invoke(*options), invoke(*options, "--json")
    assert "ours over ..." in shown.stdout
    report = json.loads(as_json.stdout)
    assert report["together"][0] == {"brain": "ours", **report["traces"][0]["brains"]["ours"]}


def test_the_command_says_what_is_wrong(invoke: Invoke) -> None:
    result = invoke("bench", "schedule", "--psplib", "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nowhere: no folder with PSPLIB files" in result.stderr
