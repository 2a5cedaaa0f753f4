"""The plan bench on invented rows, and what its files refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from compllm.bench.plan import Planned, plan_figures, planned, warm_up
from compllm.bench.plan_data import read_gold_files, read_gold_plans
from compllm.bench.route_data import BenchExpert
from compllm.core.plan import SubQuery
from compllm.errors import ConfigError
from compllm.planner.base import Note, PlanPiece
from compllm.planner.language import parse_plan
from tests.cli.conftest import Invoke, folder, invoke
from tests.router.encoders import WordEncoder

pytest.importorskip("ortools")
pytestmark = pytest.mark.anyio
__all__ = ["folder", "invoke"]

ROWS = [
    {
        "kind": "bridge",
        "question": "Where was the author of Emma born?",
        "sub_queries": [
            {"id": "s1", "question": "Who wrote Emma?", "depends_on": [], "domain": "books"},
            {"id": "s2", "question": "Where was #1 born?", "depends_on": ["s1"], "domain": "places"},
        ],
    },
    {"kind": "whole", "question": "What is tea?", "sub_queries": [{"id": "s1", "question": "What is tea?"}]},
]
PLANS = {
    "Where was the author of Emma born?": "1. [books] Who wrote Emma?\n2. [books] Where was #1 born?",
    "What is tea?": "1. What is tea?\n2. Why?",
}
EXPERTS = [
    BenchExpert(name, name, f"An expert in {name} who answers questions about {name}.") for name in ("books", "places")
]


class Planning:
    """Hands out a plan by its question, after a note if there is one."""

    name = "planning"

    def __init__(self, notes: dict[str, str]) -> None:
        self._notes = notes

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        if question in self._notes:
            yield Note(self._notes[question])
        for step in parse_plan(PLANS.get(question, f"1. {question}")).steps:
            yield step


def written(path: Path, rows: Sequence[object] = ROWS) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def done(path: Path) -> list[Planned]:
    planner = Planning({"What is tea?": "hm"})
    await warm_up(planner)
    return [await planned(planner, gold) for gold in read_gold_plans(path)]


async def test_the_figures_of_a_file_and_of_its_kinds(tmp_path: Path) -> None:
    every, bridge, whole = plan_figures(await done(written(tmp_path / "rows.jsonl")), WordEncoder(), EXPERTS)
    assert [(row["file"], row["kind"], row["questions"]) for row in (every, bridge, whole)] == [
        ("rows", "all", 2),
        ("rows", "bridge", 1),
        ("rows", "whole", 1),
    ]
    assert (bridge["ended_early"], every["ended_early"]) == (0, 0)
    assert (bridge["valid"], bridge["exact"], bridge["edge_f1"], bridge["steps_off"]) == (1, 1, 1, 0)
    assert (bridge["expert_right"], bridge["tag_trusted"], bridge["whole_kept"]) == (0.5, 1, None)
    assert (whole["valid"], whole["exact"], whole["whole_kept"], whole["steps_off"]) == (0, 0, 0, 1)
    assert (whole["edge_f1"], whole["expert_right"], whole["parallelism_kept"]) == (None, None, None)
    assert (every["exact"], every["same_shape"], every["edge_f1"]) == (0.5, 0.5, 1)
    assert 0 <= float(str(every["first_s_p50"])) <= float(str(every["end_s_p50"]))


def test_gold_plans_are_read_evenly_and_with_their_domains(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl")
    (first,) = read_gold_plans(path, 1)
    assert first.plan.steps == (SubQuery(1, "Who wrote Emma?", "books"), first.plan[2])
    assert first.plan.edges == ((1, 2),)
    assert [gold.kind for gold in read_gold_plans(path, 9)] == ["bridge", "whole"]


async def test_files_of_the_same_name_have_figures_of_their_own(tmp_path: Path) -> None:
    for name in ("blind", "written"):
        (tmp_path / name).mkdir()
    paths = [written(tmp_path / "blind" / "rows.jsonl", ROWS[:1]), written(tmp_path / "written" / "rows.jsonl")]
    golds = read_gold_files([*paths, written(tmp_path / "whole.jsonl", ROWS[1:])])
    rows = plan_figures([await planned(Planning({}), gold) for gold in golds], WordEncoder())
    assert [(row["file"], row["questions"]) for row in rows if row["kind"] == "all"] == [
        (str(paths[0]), 1),
        (str(paths[1]), 2),
        ("whole", 1),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, '1: a row needs a "question"'),
        ({"question": "x"}, '1: a row needs "sub_queries"'),
        ({"question": "x", "sub_queries": [{"id": "s1"}]}, '1: a step needs an "id" and a "question"'),
        ({"question": "x", "sub_queries": [{"id": "a", "question": "y"}]}, "1: a step's id is"),
        ({"question": "x", "sub_queries": [{"id": "s1", "question": "#2"}]}, "1: step 1 needs step 2"),
        ({"question": "x", "sub_queries": [{"id": "s1", "question": "y", "depends_on": "s1"}]}, '1: "depends_on" must'),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=r"rows\.jsonl") as refused:
        read_gold_plans(written(tmp_path / "rows.jsonl", [row]))
    assert said in str(refused.value)


def test_the_command_measures_the_rules(invoke: Invoke, folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    (folder / "compllm.yaml").write_text(
        "models: {m: {backend: endpoint, base_url: http://127.0.0.1:9/v1, model: x}}\nexperts: {a: {model: m}}\n"
    )
    written(folder / "rows.jsonl")
    result = invoke("bench", "plan", "rows.jsonl", "--planner", "rules", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["planner"] == "rules (no model)"
    assert [row["exact"] for row in figures["rows"]] == [0.5, 0, 1]


def test_a_table_shows_what_looks_like_markup(invoke: Invoke, folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    (folder / "compllm.yaml").write_text(
        "models: {m: {backend: endpoint, base_url: http://127.0.0.1:9/v1, model: x}}\nexperts: {a: {model: m}}\n"
    )
    written(folder / "[x].jsonl", [ROWS[0] | {"kind": "[/y]"}, ROWS[1]])
    result = invoke("bench", "plan", "[x].jsonl", "--planner", "rules")
    assert result.exit_code == 0, result.output
    assert all(character in result.stdout for character in "[/y]")
