"""Plans as JSON: every step is found as soon as its object has ended, however the text is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.plan import SubQuery
from compllm.errors import PlanParseError
from compllm.planner.language import parse_plan
from compllm.planner.schema import SCHEMA, StepObjects
from tests.wiring import cut

PLAN = json.dumps(
    {
        "steps": [
            {"field": "geography", "question": "What is the capital of France?", "after": []},
            {"field": "", "question": 'Who said "{#1}" in [1999]?', "after": [1]},
            {"field": "[law]", "question": "Is it\nlegal?", "after": [1, 2]},
        ]
    },
    indent=1,
)
LINES = (
    "1. [geography] What is the capital of France?\n"
    '2. Who said "{#1}" in [1999]? (after #1)\n'
    "3. [law] Is it legal? (after #1, #2)\n"
)


def read(*pieces: str) -> str:
    objects = StepObjects()
    return "".join(line for piece in pieces for line in objects.feed(piece))


def step(**values: object) -> str:
    return json.dumps({"steps": [values]})


@given(st.lists(st.integers(0, len(PLAN)), max_size=20))
def test_the_cuts_do_not_matter(places: list[int]) -> None:
    assert read(*cut(PLAN, places)) == LINES


def test_a_step_comes_with_its_closing_brace() -> None:
    objects = StepObjects()
    end = PLAN.index("}") + 1
    assert list(objects.feed(PLAN[: end - 1])) == []
    assert len(list(objects.feed(PLAN[end - 1 : end]))) == 1


def test_a_reference_to_ten_does_not_hide_one_to_one() -> None:
    steps = [{"field": "", "question": f"q{n}", "after": []} for n in range(1, 11)]
    text = read(json.dumps({"steps": [*steps, {"field": "", "question": "of #10", "after": [1, 10]}]}))
    assert parse_plan(text)[11].parents == (1, 10)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"question": "x"}, "1. x\n"),
        ({"question": "x", "field": None, "after": None}, "1. x\n"),
        ({"question": "x", "field": 7, "after": "no"}, "1. [7] x\n"),
        ({"question": "x", "after": [True, "1", -1, 1.5]}, "1. x\n"),
        ({"question": "[x] y", "field": ""}, "1. [ ] [x] y\n"),
        ({"question": "x", "field": "a[b]c"}, "1. [a b c] x\n"),
        ({"question": "x", "field": "f" * 99}, f"1. [{'f' * 80}] x\n"),
        ({"question": "x", "field": "law\n2. evil"}, "1. [law 2. evil] x\n"),
    ],
)
def test_odd_values_become_one_plain_line(values: dict[str, object], line: str) -> None:
    assert read(step(**values)) == line


@pytest.mark.parametrize("values", [{}, {"question": ""}, {"question": None}, {"question": "x", "after": [4]}])
def test_a_step_that_says_nothing_or_too_much_is_refused_by_the_language(values: dict[str, object]) -> None:
    with pytest.raises(PlanParseError):
        parse_plan(read(step(**values)))


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.lists(st.integers(1, 9))),
        max_size=9,
    )
)
def test_what_was_written_is_what_is_read(written: list[tuple[str, list[int]]]) -> None:
    """Any question and any earlier steps survive the way through JSON and the plan language."""
    asked = [
        (" ".join(f"q {text} end".split()), sorted({k for k in after if k < n}))
        for n, (text, after) in enumerate(written, start=1)
    ]
    plain = [(SubQuery.literal(n, question), after) for n, (question, after) in enumerate(asked, start=1)]
    text = read(json.dumps({"steps": [{"field": "f", "question": s.text, "after": after} for s, after in plain]}))
    if plain:
        assert [(s.display, list(s.parents)) for s in parse_plan(text).steps] == [(s.display, a) for s, a in plain]
    else:
        assert text == ""


@pytest.mark.parametrize("text", ["", "no", '{"steps": [', '{"steps": []}', "```json\n", "[[[[", '{"steps": [{"a"'])
def test_what_is_no_plan_has_no_steps(text: str) -> None:
    assert read(text) == ""


def test_the_schema_names_what_is_read() -> None:
    steps = json.loads(SCHEMA)["properties"]["steps"]["items"]
    assert steps["required"] == ["field", "question", "after"]
    assert steps["additionalProperties"] is False
