from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace as Node

import pytest

from compllm.bench.evidence.external import _flatten, _leaves, read_set
from compllm.bench.evidence.reply import Reply
from compllm.bench.evidence.rows import EvidenceRow, GoldStep
from compllm.bench.evidence.scores import score
from compllm.errors import ConfigError

STEP = {"id": "s1", "question": "x"}


def read(tmp_path: Path, **row: object) -> EvidenceRow:
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps(row))
    (found,) = read_set(str(path))
    return found


def test_a_decomposition_keeps_its_steps_domains_and_aliases(tmp_path: Path) -> None:
    steps = [
        {"id": "s1", "question": "Who wrote Emma?", "depends_on": [], "domain": "film_tv", "answer": "Jane Austen"},
        {"id": "s2", "question": "When was #1 born?", "depends_on": ["s1"], "answer": "1775", "answer_aliases": ["x"]},
    ]
    row = read(tmp_path, id="c-1", question="When?", answer="1775", sub_queries=steps)
    assert (row.id, row.set, row.parts) == ("c-1", "set", (("1775",),))
    assert row.plan == (
        GoldStep(1, "Who wrote Emma?", "film tv", (), "film_tv", ("Jane Austen",)),
        GoldStep(2, "When was #1 born?", "", (1,), "", ("1775", "x")),
    )


def test_a_number_sign_is_no_reference_unless_the_step_needs_it(tmp_path: Path) -> None:
    steps = [{"id": "s1", "question": "Who had the #6 hit?"}, {"id": "s2", "question": "#1?", "depends_on": ["s1"]}]
    plan = read(tmp_path, question="q", answer="a", sub_queries=steps).gold_plan
    assert plan[1].display == "Who had the #6 hit?"
    assert plan.edges == ((1, 2),)


def test_several_answers_are_several_parts(tmp_path: Path) -> None:
    assert read(tmp_path, question="Both?", answer=["a", 8]).parts == (("a",), ("8",))


def test_musique_depends_on_what_its_steps_name(tmp_path: Path) -> None:
    steps = [{"id": 7, "question": "Green >> performer", "answer": "Steve Hillage"}]
    steps.append({"id": 8, "question": "#1 >> spouse", "answer": "Miquette Giraudy"})
    row = read(tmp_path, id="m", question="q", answer="a", answer_aliases=["b", "", "a"], question_decomposition=steps)
    assert row.parts == (("a", "b"),)
    assert [(step.id, step.depends_on) for step in row.plan] == [(1, ()), (2, (1,))]


def test_a_plain_question_has_no_plan(tmp_path: Path) -> None:
    assert read(tmp_path, _id="h", question="Same?", answer="yes") == EvidenceRow("h", "set", "Same?", (("yes",),))


def test_a_number_sign_in_musique_is_no_reference_unless_that_step_came_before(tmp_path: Path) -> None:
    steps = [{"question": "Who had the #1 hit?", "answer": "x"}, {"question": "When was #1 born?", "answer": "y"}]
    plan = read(tmp_path, question="q", answer="y", question_decomposition=steps).gold_plan
    assert plan[1].display == "Who had the #1 hit?"
    assert plan.edges == ((1, 2),)


def test_a_truth_value_is_yes_or_no(tmp_path: Path) -> None:
    row = read(tmp_path, question="Is it so?", answer=False)
    assert row.parts == (("no", "false"),)
    assert score(row, Reply("No.")).exact == 1.0


def test_zero_and_false_are_answers_of_steps(tmp_path: Path) -> None:
    steps = [STEP | {"answer": 0}, STEP | {"id": "s2", "answer": False}, STEP | {"id": "s3", "answer": ""}]
    plan = read(tmp_path, question="q", answer="a", sub_queries=steps).plan
    assert [step.answers for step in plan] == [("0",), ("no", "false"), ()]


def test_a_row_without_an_id_is_named_after_its_line_wherever_the_file_lies(tmp_path: Path) -> None:
    assert read(tmp_path, question="q", answer="a").id == "set.jsonl:1"
    assert read(tmp_path, id=0, question="q", answer="a").id == "0"


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q"},
        {"question": " ", "answer": "a"},
        {"question": "q", "answer": ""},
        {"question": "q", "answer": []},
        {"question": "q", "answer": [[]]},
        {"question": "q", "answer": "a", "sub_queries": [{"id": "x"}]},
        {"question": "q", "answer": "a", "sub_queries": ["x"]},
        {"question": "q", "answer": "a", "sub_queries": [STEP, STEP]},
        {"question": "q", "answer": "a", "sub_queries": [STEP | {"depends_on": ["s9"]}]},
        {"id": "x", "set": "P", "question": "q", "parts": [[""]]},
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"set\.jsonl:1"):
        read(tmp_path, **row)


def test_ids_must_differ(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"id": "a", "question": "q", "answer": "x"}\n' * 2)
    with pytest.raises(ConfigError, match="rows 1 and 2 have the same id"):
        read_set(str(path))


def test_fanoutqa_becomes_a_flat_plan_whose_parents_come_first() -> None:
    inner = Node(id="b", question="Who had the #1 hit?", decomposition=[], depends_on=[], answer=["Ann", "Bob"])
    outer = Node(id="a", question="How old?", decomposition=[inner], depends_on=[], answer={"Ann": 3})
    last = Node(id="c", question="And then?", decomposition=[], depends_on=["a"], answer=None)
    steps: list[GoldStep] = []
    _flatten([outer, last], {}, steps)
    assert [(step.question, step.depends_on) for step in steps] == [
        ("Who had the \\#1 hit?", ()),
        ("How old?", (1,)),
        ("And then?", (2,)),
    ]
    assert [step.answers for step in steps] == [("Ann, Bob",), ("Ann, 3",), ()]
    assert list(_leaves({"Ann": [3, 4]})) == [("Ann",), ("3",), ("4",)]


@pytest.mark.skipif(find_spec("fanoutqa") is not None, reason="it is installed")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(ConfigError, match="pip install fanoutqa"):
        read_set("fanoutqa")
