"""The aggregation bench on invented rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compllm.aggregator.base import Part
from compllm.aggregator.joined import JoinedAggregator
from compllm.bench.aggregate import Joined, JoinRow, join_figures, joined, read_rows
from compllm.errors import ConfigError
from tests.cli.conftest import Invoke, folder, invoke

pytestmark = pytest.mark.anyio
__all__ = ["folder", "invoke"]

PARTS = (
    Part(1, "Who wrote Emma?", "Jane Austen.", "books"),
    Part(2, "Where was Jane Austen born?", "Steventon", "places", (1,)),
    Part(3, "What is the price of tea?", "", ""),
)
ROW = JoinRow("Where was the author of Emma born, and what does tea cost?", PARTS)


def figures(*texts: str) -> dict[str, object]:
    return join_figures("a", [Joined(ROW, text, 1.0) for text in texts])


@pytest.mark.parametrize(
    ("text", "kept", "foreign", "right", "gaps"),
    [
        ("Steventon [2], for Jane Austen [1] wrote it. The price of tea is not known [3].", 1.0, 0, 1.0, 1),
        ("Jane Austen [1] wrote it.", 0.5, 0, 1.0, 0),
        ("Jane Austen was born in Steventon [1][2].", 1.0, 0, 1.0, 0),
        ("Steventon [1] is it, says Jane Austen [2].", 1.0, 0, 0.0, 0),
        ("Jane Austen [1] was born in Bath in 1775 [2].", 0.5, 1, 0.5, 0),
        ("Jane Austen [7].", 0.5, 0, 0.0, 0),
        ("I do not know.", 0.0, 0, None, 0),
    ],
)
def test_facts_foreign_words_citations_and_gaps(
    text: str, kept: float, foreign: float, right: float | None, gaps: float
) -> None:
    row = figures(text)
    assert (row["facts_kept"], row["foreign"], row["citations_right"], row["gaps_named"]) == (
        kept,
        foreign,
        right,
        gaps,
    )
    assert row["word_for_word"] == 0
    assert row["all_kept"] == float(kept == 1)


async def test_joined_loses_nothing_and_is_word_for_word() -> None:
    row = join_figures("joined", [await joined(JoinedAggregator(), row) for row in (ROW, ROW)])
    assert (row["facts_kept"], row["citations_right"], row["word_for_word"]) == (1, 1, 1)
    assert (row["questions"], row["foreign"], row["gaps_named"]) == (2, 0, 0)


async def test_a_number_in_brackets_of_a_sub_answer_is_no_citation() -> None:
    parts = (Part(1, "What is set?", "a[1] is set", "code"), Part(2, "Who says so?", "Knuth [3] in his book", "books"))
    row = join_figures("joined", [await joined(JoinedAggregator(), JoinRow("What is set, and who says so?", parts))])
    assert (row["facts_kept"], row["citations_right"], row["word_for_word"]) == (1, 1, 1)


def test_zero_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "x", "parts": [{"step": 1, "question": "How many?", "answer": 0}]}')
    assert read_rows(path)[0].parts[0].answer == "0"


def test_rows_are_read_with_their_gaps(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    parts = [
        {"step": part.step, "question": part.question, "answer": part.answer or None, "parents": list(part.parents)}
        | ({"expert": part.expert} if part.expert else {})
        for part in PARTS
    ]
    path.write_text(json.dumps({"question": ROW.question, "parts": parts}) + "\n")
    assert read_rows(path) == [ROW]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"parts": []}, 'needs a "question" and "parts"'),
        ({"question": "x", "parts": [{"question": "y"}]}, 'a part needs a "step"'),
        ({"question": "x", "parts": [{"step": 1, "answer": "y", "parents": ["a"]}]}, '"parents" must be'),
        ({"question": "x", "parts": [{"step": 1, "answer": "y"}, {"step": 1, "answer": "z"}]}, "have the same step"),
        ({"question": "x", "parts": [{"step": 1, "answer": " "}]}, "at least one part needs an answer"),
        ({"question": "x", "parts": [{"step": 1, "answer": None}]}, "at least one part needs an answer"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(ConfigError, match=r"rows\.jsonl:1") as refused:
        read_rows(path)
    assert said in str(refused.value)


def test_the_command_measures_what_a_team_has(invoke: Invoke, folder: Path) -> None:
    (folder / "compllm.yaml").write_text(
        "models: {m: {backend: endpoint, base_url: http://127.0.0.1:9/v1, model: x}}\nexperts: {a: {model: m}}\n"
    )
    (folder / "rows.jsonl").write_text('{"question": "x", "parts": [{"step": 1, "question": "y", "answer": "z"}]}')
    result = invoke("bench", "aggregate", "rows.jsonl", "--json")
    assert result.exit_code == 0, result.output
    assert [row["aggregator"] for row in json.loads(result.stdout)["rows"]] == ["joined (no model)"]
