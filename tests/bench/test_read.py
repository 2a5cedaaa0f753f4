"""The reading bench on invented rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compllm.bench.read import Reading, ReadRow, read_figures, read_rows, reading
from compllm.core.routing import ExpertProfile
from compllm.errors import ConfigError, ExpertResponseError
from compllm.experts.expert import NOT_FOUND, Expert
from compllm.experts.fake import FakeExpert

pytestmark = pytest.mark.anyio

PASSAGE = "Emma is by Jane Austen."
ROWS = [
    ReadRow("Who wrote Emma?", (PASSAGE,), ("Jane Austen",)),
    ReadRow("Who wrote it?", (PASSAGE,), ("Jane Austen",)),
    ReadRow("When?", (PASSAGE,), ()),
    ReadRow("Where?", (PASSAGE,), ()),
]
SAID = {"Who wrote Emma?": "by Jane Austen", "Who wrote it?": NOT_FOUND, "When?": NOT_FOUND, "Where?": "in Bath"}
PROFILE = ExpertProfile("books", "m", "An expert in books.")


@pytest.mark.parametrize("adapter", [None, "reader"])
async def test_an_abstention_is_wrong_where_there_is_an_answer(adapter: str | None) -> None:
    fake = FakeExpert(lambda asked: SAID[asked.rpartition("Question: ")[2]], token_s=0.001)
    readings = [await reading(Expert(PROFILE, adapter=adapter), fake, row) for row in ROWS]
    figures = read_figures("r", readings)
    assert (figures["reader"], figures["questions"], figures["answerable"]) == ("r", 4, 2)
    assert (figures["f1"], figures["exact"], figures["contains"]) == (0.4, 0.0, 0.5)
    assert (figures["abstained"], figures["false_abstentions"]) == (0.5, 0.5)
    assert float(str(figures["tokens_per_s"])) > 0
    assert all(PASSAGE in call.messages[-1].content for call in fake.calls)


@pytest.mark.parametrize("adapter", [None, "reader"])
async def test_a_token_takes_as_long_as_the_model_writes_it(adapter: str | None) -> None:
    fake = FakeExpert(lambda asked: "Emma is by Jane Austen", first_token_s=0.02, token_s=0.01)
    figures = read_figures("r", [await reading(Expert(PROFILE, adapter=adapter), fake, ROWS[0])])
    assert 0 < float(str(figures["tokens_per_s"])) <= 200


async def test_a_failing_model_ends_the_bench() -> None:
    with pytest.raises(ExpertResponseError, match="answered nothing"):
        await reading(Expert(PROFILE), FakeExpert(lambda asked: ""), ROWS[0])


async def test_a_model_that_refuses_a_question_has_not_abstained() -> None:
    """As a server that is asked for more than its context holds: not to answer wrong passages would be luck."""
    too_long = ExpertResponseError("more than the context")
    fake = FakeExpert(lambda asked: NOT_FOUND, failures={1: too_long, 2: too_long})
    figures = read_figures("r", [await reading(Expert(PROFILE, adapter="reader"), fake, row) for row in ROWS[1:]])
    assert (figures["abstained"], figures["false_abstentions"], figures["failed"]) == (0.5, 0.0, 0.6667)


def test_nothing_is_no_answer_even_where_the_answer_is_an_article() -> None:
    row = ReadRow("Which vitamin is retinol?", (PASSAGE,), ("A",))
    for text in (None, ""):
        figures = read_figures("r", [Reading(row, text)])
        assert (figures["f1"], figures["exact"], figures["contains"]) == (0.0, 0.0, 0.0)
    assert read_figures("r", [Reading(row, "A")])["exact"] == 1.0


def test_rows_come_with_passages_or_name_a_document(tmp_path: Path) -> None:
    path, documents = tmp_path / "rows.jsonl", tmp_path / "documents.jsonl"
    documents.write_text(json.dumps({"id": "xquad-Emma-3", "text": PASSAGE}))
    own = {"question": "a", "passages": ["p", "q"], "answers": ["x"]}
    none = own | {"answers": [], "answerable": False}
    named = {"question": "b", "answer": "Jane Austen", "doc_title": "Emma", "doc_index": 3}
    path.write_text("\n".join(map(json.dumps, (own, none, named))))
    assert read_rows(path, documents) == [
        ReadRow("a", ("p", "q"), ("x",)),
        ReadRow("a", ("p", "q"), ()),
        ReadRow("b", (PASSAGE,), ("Jane Austen",)),
    ]
    assert len(read_rows(path, documents, 2)) == 2
    with pytest.raises(ConfigError, match=r"rows\.jsonl:3: there is no document 'xquad-Emma-3'"):
        read_rows(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"passages": ["p"]}, 'needs a "question"'),
        ({"question": "a", "answers": ["x"]}, '"passages" must be'),
        ({"question": "a", "passages": ["p"], "answers": []}, '"answers" must be'),
        ({"question": "a", "passages": ["p"], "answers": [" "]}, '"answers" must be'),
        ({"question": "a", "doc_title": "Emma", "doc_index": 3}, '"answer" must be'),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path, documents = tmp_path / "rows.jsonl", tmp_path / "documents.jsonl"
    documents.write_text(json.dumps({"id": "xquad-Emma-3", "text": PASSAGE}))
    path.write_text(json.dumps(row))
    with pytest.raises(ConfigError, match=r"rows\.jsonl:1") as refused:
        read_rows(path, documents)
    assert said in str(refused.value)
