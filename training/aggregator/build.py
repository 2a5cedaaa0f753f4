"""Builds the aggregator's training rows and its held-out questions; prints what came from where and what was removed.

    python -m training.aggregator.build --out rows.jsonl --heldout rows.heldout.jsonl --questions aggregate.jsonl DATA

DATA is the folder with expert_qa and documents (see DATA.md). The same data give the same rows.
"""

from __future__ import annotations

import argparse
import html
import random
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compllm.bench.evidence.builder.facts import HELD_OUT_ARTICLES
from training.aggregator import compounds, facts
from training.aggregator.facts import Fact
from training.aggregator.rows import Compound, is_grounded, paragraph, prompt, row
from training.aggregator.statements import is_sentence, statement
from training.reader import handbooks
from training.reader.build import read, write
from training.reader.rows import Row
from training.reader.text import normalised

HELD_OUT_FIELDS = frozenset(("religion", "animals", "museums and towns", "navigation", "pets", "chemistry", "sports"))
_COUNTS = {"independent": 1700, "bridges": 240, "comparisons": 360, "weighed": 180}
_HELD_OUT_COUNTS = {"independent": 90, "bridges": 25, "comparisons": 30, "weighed": 15}
_SCENE_ROUNDS = 10
_GAP_SHARE = 0.15
_SIZES = {2: 46, 3: 36, 4: 13, 5: 5}
_LONGEST_BYTES = 1080
_MIX = {"short": 48, "passages": 14, "openings": 10, "glossary": 8, "invented": 18, "staged": 10}
_TURNED_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class Pools:
    """The facts by kind, the paragraphs' subjects, the invented fields, and the words that are no names."""

    facts: Mapping[str, Sequence[Fact]]
    people: Mapping[str, compounds.Known]
    fields: Sequence[Mapping[str, Any]]
    common: frozenset[str]


def is_held_out(text: str) -> bool:
    """Whether a question or a subject falls to the tenth that is never trained on; by its text alone."""
    return zlib.crc32(normalised(text).encode()) % 10 == 0


def pools(data: Path, held_out: bool, rng: random.Random) -> Pools:
    """Read the sources and keep the side asked for: facts, fields and subjects of one never stand on the other."""
    stored = read(data / "documents/2wiki_corpus_hipporag.jsonl") + read(data / "documents/multihop_paragraphs.jsonl")
    wiki = [{key: html.unescape(text) for key, text in document.items()} for document in stored]
    law = [
        *facts.glossary(read(data / "documents/us_law_dictionary.jsonl"), "us law dictionary"),
        *facts.glossary(read(data / "documents/us_legal_glossary.jsonl"), "us legal glossary"),
    ]
    fields = [field for field in handbooks.load() if (field["field"] in HELD_OUT_FIELDS) == held_out]
    found = {
        "short": facts.short(read(data / "expert_qa/expert_short_qa.jsonl")),
        "passages": facts.passages(read(data / "expert_qa/xquad_en_qa.jsonl")),
        "openings": facts.openings(wiki, "wikipedia", rng),
        "glossary": law,
        "invented": facts.invented(900, fields, rng),
        "staged": facts.staged(HELD_OUT_FIELDS, inside=held_out),
    }
    kept = {
        name: [fact for fact in pool if name in {"invented", "staged"} or _side(fact) == held_out]
        for name, pool in found.items()
    }
    people = compounds.known(wiki)
    people = {name: subject for name, subject in people.items() if is_held_out(name) == held_out}
    return Pools(kept, people, fields, facts.common_words(document["text"] for document in wiki))


def compose(pool: Pools, counts: Mapping[str, int], wordings: Sequence[str], rng: random.Random) -> Iterator[Compound]:
    """Yield compounds of every shape, some with a gap."""
    made = [_independent(pool, rng.choice(wordings), rng) for _ in range(counts["independent"])]
    made += _some(compounds.bridges(pool.people, rng), counts["bridges"], rng)
    comparisons = [*compounds.comparisons(pool.people, rng), *compounds.bridged_comparisons(pool.people, rng)]
    kinds = sorted({compound.shape for compound in comparisons})
    for kind in kinds:
        alike = [compound for compound in comparisons if compound.shape == kind]
        made += _some(alike, counts["comparisons"] // len(kinds), rng)
    made += _some(compounds.weighed(2 * counts["weighed"], pool.fields, rng), counts["weighed"], rng)
    for compound in made:
        yield compounds.with_gap(compound, rng) if rng.random() < _GAP_SHARE else compound


def written(
    found: Iterable[Compound], common: frozenset[str], rng: random.Random
) -> tuple[list[tuple[Compound, Row]], Counter[str]]:
    """Return the compounds whose paragraph passes the check of the run time, none twice; and why the others fell."""
    kept: dict[str, tuple[Compound, Row]] = {}
    counts: Counter[str] = Counter()
    for compound in found:
        text = paragraph(compound, common, rng)
        key = normalised(prompt(compound))
        counts["composed"] += 1
        if len(prompt(compound).encode()) + len(text.encode()) > _LONGEST_BYTES:
            counts["long"] += 1
        elif not is_grounded(compound, text):
            counts["not grounded"] += 1
        elif key in kept:
            counts["repeated"] += 1
        else:
            kept[key] = (compound, row(compound, text))
    return list(kept.values()), counts


def bench_question(number: int, compound: Compound) -> dict[str, Any]:
    """Return a held-out compound as the benchmark reads it."""
    parts = [
        {
            "step": step.number,
            "question": step.question,
            "answer": step.answer,
            "parents": list(step.parents),
            "expert": "",
        }
        for step in compound.steps
    ]
    return {"id": f"aggregate-{number:03}", "question": compound.question, "parts": parts}


def main() -> None:
    """Build, write and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--out", "--heldout", "--questions"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(21)
    seen, unseen = (pools(arguments.data, held_out, rng) for held_out in (False, True))
    composed = list(compose(seen, _COUNTS, compounds.WORDINGS, rng))
    for _ in range(_SCENE_ROUNDS):
        staged = list(compounds.scenes(rng, without=HELD_OUT_FIELDS))
        composed += [compounds.with_gap(scene, rng) if rng.random() < _GAP_SHARE else scene for scene in staged]
    training, counts = written(composed, seen.common, rng)
    rng.shuffle(training)
    composed = [
        *compose(unseen, _HELD_OUT_COUNTS, compounds.HELD_OUT_WORDINGS, rng),
        *compounds.scenes(rng, fields=HELD_OUT_FIELDS),
    ]
    held_out, held_out_counts = written(composed, unseen.common, rng)
    write(arguments.questions, [bench_question(number, compound) for number, (compound, _) in enumerate(held_out)])
    write(arguments.heldout, [asdict(made) for _, made in held_out])
    write(arguments.out, [asdict(made) for _, made in training])
    _report("training", [made for _, made in training], counts)
    _report("held out", [made for _, made in held_out], held_out_counts)


def _side(fact: Fact) -> bool:
    """Whether a fact is held out: by its field, its article, or its question."""
    return fact.field in HELD_OUT_FIELDS or fact.field in HELD_OUT_ARTICLES or is_held_out(fact.question)


def _independent(pool: Pools, wording: str, rng: random.Random) -> Compound:
    (size,) = rng.choices(list(_SIZES), list(_SIZES.values()))
    chosen: dict[str, Fact] = {}
    while len(chosen) < size:
        (kind,) = rng.choices(list(_MIX), list(_MIX.values()))
        fact = rng.choice(pool.facts[kind])
        turns = is_sentence(fact.answer) or statement(fact.question, fact.answer) is not None
        if turns or rng.random() > _TURNED_SHARE:
            chosen[fact.question] = facts.told(fact, pool.common, rng)
    made = list(chosen.values())
    return compounds.side_by_side(made, wording, " + ".join(sorted({fact.source for fact in made})))


def _some(found: Iterable[Compound], count: int, rng: random.Random) -> list[Compound]:
    pool = list(found)
    return rng.sample(pool, min(count, len(pool)))


def _report(name: str, rows: Sequence[Row], counts: Counter[str]) -> None:
    words = sum(len(f"{made.user} {made.completion}".split()) for made in rows)
    sources = Counter(source for made in rows for source in made.source.split(" + "))
    shapes = Counter(made.shape for made in rows)
    print(f"{name}: {len(rows)} rows, {words} words; {dict(counts)}")
    print(f"  sources: {dict(sources.most_common())}\n  shapes: {dict(shapes.most_common())}")


if __name__ == "__main__":
    main()
