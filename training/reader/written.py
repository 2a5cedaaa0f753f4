"""Rows from questions that were written one by one about passages of the public sets: `written/*.jsonl`, by passage."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.reader.asked import Record, without_answer
from training.reader.rows import Row, Sample, refused, shaped
from training.reader.text import repaired, span

_HERE = Path(__file__).parent / "written"
_TOKENISED = ("multihop_paragraphs", "2wiki_corpus_hipporag")
_PLAIN = ("xquad_en_paragraphs", "pubmed_abstracts")
_ARTICLES, _ARTICLE_WORDS = "finance_wikipedia_terms", 170
# How often a question with an answer is seen, by shape.
_VIEWS = {"right": 1.0, "among": 0.2, "wrong": 0.25}


def questions() -> list[dict[str, Any]]:
    """Return what was written: passage, question and answer, which is None where the passage does not tell."""
    paths = sorted(_HERE.glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def passages(documents: Mapping[str, Iterable[Record]]) -> dict[str, str]:
    """Return the texts by passage as they were read when the questions were written; `documents` by file name."""
    texts = {row["id"]: repaired(row["text"]) for name in _TOKENISED for row in documents[name]}
    texts |= {row["id"]: row["text"] for name in _PLAIN for row in documents[name]}
    return texts | {row["id"]: " ".join(row["text"].split()[:_ARTICLE_WORDS]) for row in documents[_ARTICLES]}


def samples(asked: Iterable[Record], texts: Mapping[str, str]) -> Iterator[Sample]:
    """Yield a sample for each question whose passage is there; without an answer it has only a passage to refuse.

    Raises:
        ValueError: an answer does not stand in its passage; the question is named.
    """
    for row in asked:
        text, answer = texts.get(row["passage"]), span(row["answer"] or "")
        if text is None:
            continue
        if answer not in text:
            raise ValueError(f"{row['question']!r}: {answer!r} does not stand in the passage {row['passage']}")
        rivals = without_answer(text, answer) if answer else text
        yield Sample(row["question"], answer, text, (rivals,) if rivals else (), "written", "written")


def rows(written: Sequence[Sample], rng: random.Random) -> Iterator[Row]:
    """Yield several views of each question with an answer, and one refusal of each without."""
    strangers = [sample.passage for sample in written]
    for sample in written:
        yield from (row for row in _views(sample, strangers, rng) if row is not None)


def _views(sample: Sample, strangers: Sequence[str], rng: random.Random) -> list[Row | None]:
    if not sample.answer:
        return [refused(sample, strangers, hard=True, count=1, rng=rng)]
    drawn = [view for view, share in _VIEWS.items() if rng.random() < share]
    return [shaped("hard" if view == "wrong" else view, sample, strangers, rng) for view in drawn]
