"""Builds the reader's training rows and its held-out questions; prints what came from where and what was removed.

    python -m training.reader.build --out rows.jsonl --heldout rows.heldout.jsonl --questions read.jsonl DATA

DATA is the folder with expert_qa, documents and decomposition (see DATA.md). The same data give the same rows. Those of
the second pass are written beside the first, to `rows.second.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.reader import asked, definitions, encyclopaedia, handbooks, sentences, written
from training.reader.rows import NOTHING, Row, Sample, dealt, shaped
from training.reader.text import cut, excerpt, holds, normalised

_SHARES = {"right": 0.47, "among": 0.17, "hard": 0.26, "easy": 0.10}
# How often a question that a person asked is seen, by shape.
_VIEWS_OF_ASKED = {"right": 1.0, "among": 0.3, "wrong": 0.6}
_COUNTS = {"invented": 340, "triples": 180, "2wiki": 260, "multihop": 300, "turned": 380, "glossary": 100, "tat-qa": 90}
_SHINGLE_WORDS = 10
_LONGEST_ANSWER_WORDS = 25
_READ_WORDS = 150
_REHEARSED = 900


def read(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: Iterable[object]) -> None:
    """Write JSON lines under a temporary name, then put them in place at once."""
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)


def gather(data: Path, rng: random.Random) -> tuple[list[Sample], list[Sample]]:
    """Return the questions that people asked (seen several times), and those made by rule (seen once)."""
    paragraphs = read(data / "documents/xquad_en_paragraphs.jsonl")
    people = list(asked.xquad(read(data / "expert_qa/xquad_en_qa.jsonl"), paragraphs, held_out=False))
    wiki = read(data / "documents/2wiki_corpus_hipporag.jsonl")
    multihop = read(data / "documents/multihop_paragraphs.jsonl")
    law = read(data / "documents/us_law_dictionary.jsonl"), read(data / "documents/us_legal_glossary.jsonl")
    finance, pubmed = (
        read(data / f"documents/{name}.jsonl") for name in ("finance_wikipedia_terms", "pubmed_abstracts")
    )
    short = [row for row in read(data / "expert_qa/expert_short_qa.jsonl") if row["domain"] == "finance_docs"]
    made: list[Sample] = []
    pools = {
        "triples": asked.triples(read(data / "decomposition/2wiki_dev200.jsonl"), wiki + multihop, rng),
        "2wiki": encyclopaedia.ruled(wiki, "2wiki", rng),
        "multihop": encyclopaedia.ruled(multihop, "multihop", rng),
        "turned": _chained(
            sentences.turned(wiki, "2wiki", rng),
            sentences.turned(multihop, "multihop", rng),
            sentences.turned(pubmed, "pubmed", rng),
            sentences.turned(finance, "finance", rng),
        ),
        "glossary": _chained(
            definitions.glossary(law[0], "us law dictionary", rng),
            definitions.glossary(law[1], "us legal glossary", rng),
            definitions.articles(finance, "finance", rng),
        ),
        "tat-qa": asked.reports(short, read(data / "documents/tatqa_reports.jsonl")),
        "invented": handbooks.handbooks(_COUNTS["invented"], rng, handbooks.load()),
    }
    for name, pool in pools.items():
        found = list(pool)
        made += rng.sample(found, min(len(found), _COUNTS[name]))
    return people, made


def clean(samples: Iterable[Sample], held_out: Sequence[Sample]) -> tuple[list[Sample], Counter[str]]:
    """Return the samples that touch nothing held out, each question on a passage once; and why the others fell."""
    shingles = {shingle for sample in held_out for shingle in _shingles(sample.passage)}
    questions = {normalised(sample.question) for sample in held_out}
    seen: set[tuple[str, str]] = set()
    kept: list[Sample] = []
    removed: Counter[str] = Counter()
    for sample in samples:
        key = (normalised(sample.question), normalised(sample.passage))
        if key in seen:
            removed["repeated"] += 1
        elif key[0] in questions or any(shingle in shingles for shingle in _shingles(sample.passage)):
            removed["held-out text"] += 1
        elif len(sample.answer.split()) > _LONGEST_ANSWER_WORDS:
            removed["answer long"] += 1
        else:
            seen.add(key)
            kept.append(sample)
    return kept, removed


def rows(people: Sequence[Sample], made: Sequence[Sample], rng: random.Random) -> list[Row]:
    """Return the rows in random order, none twice: several views of each asked question, one of each made one."""
    strangers = [sample.passage for sample in [*people, *made] if sample.source != "invented"]
    views = [row for sample in people for row in _views(sample, strangers, rng)]
    unique = list(dict.fromkeys([*views, *dealt(made, strangers, _SHARES, rng)]))
    rng.shuffle(unique)
    return unique


def second_pass(
    first: Sequence[Row], data: Path, held_out: Sequence[Sample], rng: random.Random
) -> tuple[list[Row], Counter[str]]:
    """Return the rows of the second pass, those written one by one and a sample of the first; and why others fell."""
    documents = {path.stem: read(path) for path in sorted((data / "documents").glob("*.jsonl"))}
    kept, removed = clean(written.samples(written.questions(), written.passages(documents)), held_out)
    made = [*rng.sample(list(first), min(_REHEARSED, len(first))), *written.rows(kept, rng)]
    unique = list(dict.fromkeys(made))
    rng.shuffle(unique)
    return unique, removed


def bench_questions(samples: Sequence[Sample], rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield each held-out question with its passage, and again with a wrong one, every other of the same article."""
    passages = [sample.passage for sample in samples]
    for place, sample in enumerate(samples):
        right = cut(sample.passage, sample.answer, sample.question, _READ_WORDS, rng)
        far = [text for text in passages if text not in sample.rivals and not holds(text, sample.answer)]
        hard = place % 2 == 0 and bool(sample.rivals)
        wrong = excerpt(rng.choice(sample.rivals if hard else far), _READ_WORDS, rng)
        number = f"read-{place:03}"
        asked_for = {"question": sample.question, "answers": [sample.answer]}
        yield {"id": number, **asked_for, "passages": [right or sample.passage], "answerable": True}
        kind = "hard" if hard else "easy"
        yield {"id": f"{number}-{kind}", **asked_for, "answers": [], "passages": [wrong], "answerable": False}


def main() -> None:
    """Build, write and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--out", "--heldout", "--questions"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(20)
    paragraphs = read(arguments.data / "documents/xquad_en_paragraphs.jsonl")
    unseen = list(asked.xquad(read(arguments.data / "expert_qa/xquad_en_qa.jsonl"), paragraphs, held_out=True))
    people, made = gather(arguments.data, rng)
    people, dropped = clean(people, unseen)
    made, dropped_made = clean(made, unseen)
    training = rows(people, made, rng)
    write(arguments.questions, bench_questions(unseen, rng))
    write(arguments.heldout, map(asdict, dealt(unseen, [s.passage for s in unseen], _SHARES, rng)))
    write(arguments.out, map(asdict, training))
    _report(training, dropped + dropped_made)
    second, dropped = second_pass(training, arguments.data, unseen, rng)
    write(arguments.out.with_suffix(".second.jsonl"), map(asdict, second))
    _report(second, dropped)


def _report(training: Sequence[Row], removed: Counter[str]) -> None:
    refusals = sum(row.completion == NOTHING for row in training)
    words = sum(len(f"{row.user} {row.completion}".split()) for row in training)
    print(f"{len(training)} rows, {refusals} of them refusals, {words} words; removed: {dict(removed)}")
    for name, counts in (
        ("source", Counter(row.source for row in training)),
        ("shape", Counter(row.shape.rpartition(", ")[2] for row in training)),
        ("kind", Counter(row.shape.rpartition(", ")[0] for row in training)),
    ):
        print(f"{name}: {dict(counts.most_common())}")


def _views(sample: Sample, strangers: Sequence[str], rng: random.Random) -> Iterator[Row]:
    for view, share in _VIEWS_OF_ASKED.items():
        drawn = rng.choice(("hard", "hard", "easy")) if view == "wrong" else view
        row = shaped(drawn, sample, strangers, rng) if rng.random() < share else None
        if row is not None:
            yield row


def _shingles(text: str) -> Iterator[tuple[str, ...]]:
    parts = normalised(text).split()
    return (tuple(parts[start : start + _SHINGLE_WORDS]) for start in range(len(parts) - _SHINGLE_WORDS + 1))


def _chained(*samples: Iterable[Sample]) -> list[Sample]:
    return [sample for part in samples for sample in part]


if __name__ == "__main__":
    main()
