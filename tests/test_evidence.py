"""`make evidence`: the plan of its commands, and how it goes on; none of the commands is run."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from compllm.cli.main import app

SCRIPT = Path(__file__).parents[1] / "docs" / "evidence.py"
MINUTES = 60
# Prints what it is told to: JSON, something else, nothing and a failure, or nothing for a long time.
PROGRAM = """\
import sys, time
kind = sys.argv[1]
time.sleep(20 if kind == "slow" else 0)
print({"good": '{"rows": [{"a": 1.23456, "b": null}]}', "two": '{"a": 1}\\n[{"b": 2}]'}.get(kind, "hello"))
sys.exit(kind == "bad")
"""


@pytest.fixture(scope="module")
def evidence() -> Any:
    specification = importlib.util.spec_from_file_location("evidence", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["evidence"] = module
    specification.loader.exec_module(module)
    return module


def test_all_of_it_takes_no_more_than_an_hour(evidence: Any) -> None:
    assert sum(step.limit_s for step in evidence.STEPS) <= MINUTES * 60
    names = [step.name for step in evidence.STEPS]
    assert len(set(names)) == len(names)


def test_the_command_line_knows_every_command(evidence: Any) -> None:
    for step in evidence.STEPS:
        command: Any = typer.main.get_command(app)
        rest = step.command(Path("data"), Path("out"))
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        assert command.make_context(step.name, rest).params["as_json"], step.name


def test_every_command_stands_in_the_documentation(evidence: Any) -> None:
    documented = (SCRIPT.parent / "benchmarks.md").read_text()
    for step in evidence.STEPS:
        words = step.arguments.split()
        flags = [word for word in words if word in {"--exact", "--residency", "--real", "--psplib", "--scale"}]
        assert " ".join(["compllm", *words[: 1 if words[0] == "simulate" else 2], *flags]) in documented, step.name


def test_folders_with_spaces_stay_whole(evidence: Any) -> None:
    step = evidence.Step("x", "bench read {data}/read.jsonl", 1, ("read.jsonl",))
    assert step.command(Path("my data"), Path("out")) == ["bench", "read", "my data/read.jsonl", "--json"]


def test_what_the_data_lack_is_left_out(evidence: Any, tmp_path: Path) -> None:
    (tmp_path / "route.jsonl").write_text("")
    step = evidence.Step("x", "", 1, ("{data}/route.jsonl", "{data}/experts.json"))
    assert step.missing(None, tmp_path) == ["DATA/route.jsonl", "DATA/experts.json"]
    assert step.missing(tmp_path, tmp_path) == [f"{tmp_path}/experts.json"]
    lacking = [step.name for step in evidence.STEPS if step.missing(None, tmp_path)]
    assert [name for name in lacking if name != "multiexpertqa-gemma"] == [
        "multiexpertqa-plot",
        "compllm-against-monolith",
        "compllm-against-sequential",
        "compllm-against-gemma",
        "psplib",
        "routing",
        "planning",
        "reading",
        "joining",
    ]


def test_one_failure_does_not_stop_the_others_and_is_tried_again(
    evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = [sys.executable, "-c", PROGRAM]
    kinds = (("bad", 20), ("text", 20), ("slow", 0.2), ("good", 20))
    steps = [evidence.Step(kind, kind, limit_s) for kind, limit_s in kinds]
    steps.append(evidence.Step("data", "good", 20, ("{data}/rows.jsonl",)))
    assert evidence.gather(program, steps, None, tmp_path) == 3
    told = capsys.readouterr().err
    for words in (
        "exit code 1",
        "not JSON",
        "stopped after 0.2 s",
        "[4/5] good: done",
        "left out: needs DATA/rows.jsonl",
    ):
        assert words in told
    listed = (tmp_path / "README.md").read_text()
    assert "[good](good.md)" in listed
    assert "failed: exit code 1" in listed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "good.json", "good.md"]

    assert evidence.gather(program, steps[:1] + steps[3:4], None, tmp_path) == 1
    assert "[2/2] good: there already" in capsys.readouterr().err


def test_what_is_kept_says_where_and_when_it_was_measured(evidence: Any, tmp_path: Path) -> None:
    step = evidence.Step("two", "two", 20)
    assert evidence.run([sys.executable, "-c", PROGRAM], step, None, tmp_path) is None
    kept = json.loads((tmp_path / "two.json").read_text())
    assert kept["reports"] == [{"a": 1}, [{"b": 2}]]
    assert kept["command"] == "compllm two"
    assert kept["machine"]["cores"] >= 1
    assert kept["seconds"] >= 0


def test_what_is_too_deep_for_a_cell_stays_in_the_json(evidence: Any) -> None:
    rows = [{"seed": 1, "brains": {"ours": {"loads": 3}}, "ends": {"answered": 2}}]
    assert list(evidence.tables("", rows)) == ['| seed | ends |\n|---|---|\n| 1 | {"answered": 2} |\n']


def test_reports_become_tables(evidence: Any) -> None:
    report = {"seed": 3, "latency": [{"p50": 0.123456, "of": "a|b"}, {"p50": None, "n": 2}], "deep": {"x": {"y": True}}}
    assert list(evidence.tables("", report)) == [
        "| seed |\n|---|\n| 3 |\n",
        "## latency\n\n| p50 | of | n |\n|---|---|---|\n| 0.1235 | a\\|b |  |\n|  |  | 2 |\n",
        "## deep, x\n\n| y |\n|---|\n| True |\n",
    ]


@pytest.mark.parametrize("printed", ["", "{} hello", "hello"])
def test_what_is_not_json_is_refused(evidence: Any, printed: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        evidence.parse(printed)
