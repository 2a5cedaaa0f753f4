"""Builds MultiExpertQA: three sets of questions, the documents that answer them, and the team that reads these."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import yaml

from compllm.bench.evidence.builder.encyclopaedia import Library, library_facts, read_library
from compllm.bench.evidence.builder.facts import (
    HELD_OUT_ARTICLES,
    Fact,
    Passage,
    Record,
    Trained,
    glossary_facts,
    glossary_passages,
    xquad_facts,
    xquad_passages,
)
from compllm.bench.evidence.builder.fields import CALCULATOR, GENERAL, described
from compllm.bench.evidence.builder.questions import dependent, joins, parallel
from compllm.bench.evidence.rows import EvidenceRow, write_rows
from compllm.config import TEAM_FILE
from compllm.errors import ConfigError
from compllm.router.calibration import read_json_lines

Kept = TypeVar("Kept", Fact, Passage)

# Fields of XQuAD that are one with a field of another source.
_SAME = {"film_tv": "film"}
# Paragraphs of a library's field that no question needs: what retrieval must tell the right ones from.
_DISTRACTORS = 120
_MODEL = "smollm2"
_PARAGRAPH = ("id", "title", "text")


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that questions are made of, as JSON lines, and what must stay out.

    `events` has noun phrases for dates and counts of XQuAD questions; `articles` are those that may be asked about;
    `omitted` are the ids of facts that a person has found wanting; `trained` are rows of training, whose texts are
    shunned.
    """

    questions: Path
    paragraphs: Path
    glossaries: Sequence[Path] = ()
    encyclopaedias: Sequence[Path] = ()
    events: Path | None = None
    articles: frozenset[str] = HELD_OUT_ARTICLES
    omitted: frozenset[str] = frozenset()
    trained: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class Material:
    """Facts and passages, ready to be composed."""

    facts: tuple[Fact, ...]
    passages: tuple[Passage, ...]
    library: Library


@dataclass(frozen=True, slots=True)
class Built:
    """The sets, and the passages of each field."""

    sets: Mapping[str, tuple[EvidenceRow, ...]]
    documents: Mapping[str, tuple[Passage, ...]] = field(repr=False)


def read_material(sources: Sources) -> Material:
    """Read the sources; what training has seen is no fact.

    Raises:
        ConfigError: a file is missing or malformed; the message names file and line.
    """
    trained = Trained.of(row["user"] for path in sources.trained for row in _rows(path, "user"))
    events = {row["id"]: row for row in _rows(sources.events, "id", "event", "kind")} if sources.events else {}
    xquad = [_merged(each) for each in xquad_passages(_rows(sources.paragraphs, *_PARAGRAPH, "domain"))]
    questions = _rows(sources.questions, "id", "question", "answer", "domain", "doc_title", "doc_index")
    facts = [_merged(each) for each in xquad_facts(questions, xquad, sources.articles, events)]
    passages = list(xquad)
    for path in sources.glossaries:
        entries = _rows(path, *_PARAGRAPH)
        found = list(glossary_passages(entries, path.stem.partition("_")[0]))
        licence = entries[0].get("licence", "")
        fresh = [passage for passage in found if not trained.has_seen(passage.text)]
        facts += glossary_facts(fresh, entries[0].get("source", path.stem), licence)
        passages += found
    paragraphs = [row for path in sources.encyclopaedias for row in _rows(path, *_PARAGRAPH)]
    library = read_library(row for row in paragraphs if not trained.has_seen(row["text"]))
    facts += library_facts(library)
    kept = tuple(each for each in facts if each.id not in sources.omitted)
    return Material(kept, tuple(passages), library)


def compose(material: Material, counts: Mapping[str, int], seed: int) -> Built:
    """Return sets of so many questions each ("P", "D", "J") and their documents; the same seed gives the same.

    Raises:
        ConfigError: there are no facts of two fields to ask about together.
    """
    if counts["P"] and len({fact.domain for fact in material.facts}) < 2:
        raise ConfigError(
            "parallel questions need facts of two fields at least: add a glossary, or ask for none of them with --count"
        )
    rng = random.Random(seed)  # noqa: S311 - a reproducible choice, no secret
    sets = {
        "P": tuple(parallel(material.facts, counts["P"], rng)),
        "D": tuple(dependent(material.library, counts["D"], rng)),
        "J": tuple(joins(material.facts, counts["J"], rng)),
    }
    return Built(sets, _documents(material, sets, rng))


def _documents(
    material: Material, sets: Mapping[str, Sequence[EvidenceRow]], rng: random.Random
) -> dict[str, tuple[Passage, ...]]:
    """Return the passages of every field that a question needs: all of the small sources, and some of the library."""
    steps = [step for rows in sets.values() for row in rows for step in row.plan if step.passage]
    needed = {step.passage for step in steps}
    shelves = [*(w.passage for w in material.library.works), *(p.passage for p in material.library.people.values())]
    found: dict[str, tuple[Passage, ...]] = {}
    for domain in sorted({step.expert for step in steps}):
        own = [passage for passage in material.passages if passage.domain == domain]
        shelf = [passage for passage in shelves if passage.domain == domain]
        wanted = [passage for passage in shelf if passage.id in needed]
        others = [passage for passage in shelf if passage.id not in needed]
        more = rng.sample(others, min(_DISTRACTORS, len(others)))
        found[domain] = (*own, *sorted([*wanted, *more], key=lambda passage: passage.id))
    return found


# --- writing ---------------------------------------------------------------------------------------------------------


def write(built: Built, folder: Path) -> dict[str, int]:
    """Write sets, documents and team file into a folder; return what was written and how many rows it has.

    Raises:
        ConfigError: the folder cannot be written.
    """
    sets = {**built.sets, "All": tuple(row for rows in built.sets.values() for row in rows)}
    try:
        (folder / "documents").mkdir(parents=True, exist_ok=True)
        for name, rows in sets.items():
            write_rows(folder / f"{name}.jsonl", rows)
        for domain, passages in built.documents.items():
            _write_passages(folder / "documents" / f"{domain}.jsonl", passages)
        (folder / TEAM_FILE).write_text(team_yaml(list(built.documents)), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error
    return {name: len(rows) for name, rows in sets.items()} | {
        f"documents of {domain}": len(passages) for domain, passages in built.documents.items()
    }


def team_yaml(domains: list[str]) -> str:
    """Return a team file with an expert for each field on the bundled model, and one to fall back on that reads all."""
    calculates, sums = described([CALCULATOR])[CALCULATOR]
    reading = {"model": _MODEL, "adapter": "reader", "passages": 1}
    experts: dict[str, object] = {
        GENERAL: {**reading, "documents": [_path_of(domain) for domain in domains]},
        CALCULATOR: {"model": CALCULATOR, "description": calculates, "examples": list(sums), "fallback": GENERAL},
    }
    for domain, (description, examples) in described(domains).items():
        experts[domain] = {
            **reading,
            "description": description,
            "examples": list(examples),
            "documents": [_path_of(domain)],
        }
    team = {
        "name": "multiexpertqa",
        "models": {
            _MODEL: {
                "backend": "embedded",
                "slots": 4,
                "context_tokens": 2048,
                "adapters": {"planner": "bundled", "reader": "bundled"},
            },
            CALCULATOR: {
                "backend": "function",
                "function": "compllm.experts.calculator:calculate",
                "first_for": r"\d|\b(plus|minus|times|divided)\b",
            },
        },
        "planner": {"kind": "model", "model": _MODEL, "adapter": "planner"},
        "aggregator": {"kind": "joined"},  # the gold answers are bare, and so are those that are held against them
        "router": {"fallback": GENERAL},
        "experts": experts,
    }
    head = "# Written by `compllm bench build`: an expert for each field of MultiExpertQA, on the bundled model.\n"
    return head + yaml.safe_dump(team, sort_keys=False, allow_unicode=True, width=110)


def _path_of(domain: str) -> str:
    return f"documents/{domain}.jsonl"


def _write_passages(path: Path, passages: Iterable[Passage]) -> None:
    rows = ({"id": each.id, "title": each.title, "text": each.text} for each in passages)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


# --- reading ---------------------------------------------------------------------------------------------------------


def _merged(each: Kept) -> Kept:
    return replace(each, domain=_SAME.get(each.domain, each.domain))


def _rows(path: Path, *needed: str) -> list[Record]:
    found = read_json_lines(path)
    for where, row in found:
        if missing := [key for key in needed if row.get(key) is None]:
            raise ConfigError(f'{where}: a row needs "{missing[0]}"')
    return [{key: _text(value) for key, value in row.items()} for _, row in found]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
