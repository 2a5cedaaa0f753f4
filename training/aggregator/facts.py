"""Single facts to compose: a question with its short answer, and where a source has it, the sentence that says it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.aggregator.statements import is_sentence, statement
from training.reader import handbooks
from training.reader.encyclopaedia import is_person
from training.reader.text import repaired, sentences, span

SCENES_FILE = Path(__file__).with_name("scenes.yaml")
_SOURCES = frozenset(("OpenTriviaQA", "SimpleQA", "BioASQ", "MedMCQA-dev", "USCIS civics"))
# OpenTriviaQA has lost its apostrophes ("Sams bullying"): a capitalised plural before a noun is mostly one of those.
_LOST_APOSTROPHE = re.compile(
    r"\b[A-Z][a-z]{2,}s (?!(?:and|or|is|was|are|were|in|of|did|that|on|at|to|has|had|for|by|won|from|with)\b)[a-z]+"
)
_OTHERWISE_LOST = re.compile(
    r"\b(?:[Tt]heyre|[Ww]hats|[Dd]ont|[Dd]idnt|[Dd]oesnt|[Ii]snt|[Ww]asnt|[Cc]ant|[Ww]ont|[Hh]es|[Ss]hes|Threes|Im)\b"
)
_MARKUP = re.compile(r"\.\?|[\[\]{}<>|_\n\t]|\?.*\?|\.\.\.|http")
_MOST_WORDS = 22
_THING = re.compile(
    r" (?:is|was) an? [^.,]*?\b(?:film|album|song|novel|village|town|city|river|company|school|series|band|county|"
    r"station|book|magazine|game|organization|airport|museum|species|genus|bridge|mountain|lake|building|church|university)\b"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A question and its answer, with the field and the source they come from."""

    question: str
    answer: str
    field: str
    source: str


def common_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the words that texts write in lower case at least five times, and hardly ever with a capital inside."""
    lower: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for text in texts:
        for word in re.findall(r"(?<=[a-z,] )[A-Za-z]{2,}\b", text):
            (lower if word.islower() else capital)[word.lower()] += 1
    return frozenset(word for word, count in lower.items() if count >= 5 and capital[word] * 8 < count)


def short(rows: Iterable[Mapping[str, Any]]) -> Iterator[Fact]:
    """Yield the short questions of open sources that stand on their own and are well written."""
    for row in rows:
        question, answer = row["question"].strip(), str(row["answer"]).strip()
        sound = (
            question.endswith("?")
            and 4 <= len(question.split()) <= _MOST_WORDS
            and not _MARKUP.search(question + answer)
        )
        lost = _OTHERWISE_LOST.search(question) or (
            row["source"] == "OpenTriviaQA" and _LOST_APOSTROPHE.search(question)
        )
        if row["source"] in _SOURCES and sound and not lost and question[0].isupper():
            yield Fact(question, answer.removesuffix("."), row["domain"], row["source"])


def passages(rows: Iterable[Mapping[str, Any]]) -> Iterator[Fact]:
    """Yield questions that people asked about a passage."""
    for row in rows:
        question = " ".join(row["question"].split())
        if (
            question.endswith("?")
            and question[0].isupper()
            and not _MARKUP.search(question + row["answer"])
            and len(question.split()) <= _MOST_WORDS
        ):
            yield Fact(question, span(row["answer"]), row["doc_title"], "xquad")


def openings(documents: Iterable[Mapping[str, Any]], source: str, rng: random.Random) -> Iterator[Fact]:
    """Yield "What is X?" with the first sentence or two of its article: the long answers of an expert."""
    for document in documents:
        name, text = document["title"].partition(" (")[0], repaired(document["text"])
        parts = sentences(text)[: rng.choice((1, 1, 2))]
        answer = " ".join(parts)
        if not parts or not re.match(rf"{re.escape(name)} (?:is|was) an? ", parts[0]):
            continue
        person = is_person(parts[0])
        plain = answer.endswith(".") and not re.search(r"[(\"]|\bHe\b|\bShe\b", answer)
        if plain and (person or _THING.search(parts[0])) and 8 <= len(answer.split()) <= 45:
            yield Fact(f"{'Who' if person else 'What'} is {name}?", answer, "encyclopaedia", source)


def glossary(entries: Iterable[Mapping[str, Any]], source: str) -> Iterator[Fact]:
    """Yield terms of law with their definitions, as the answer stands in the glossary."""
    for entry in entries:
        first = sentences(entry["text"])[0] if entry["text"].strip() else ""
        if 5 <= len(first.split()) <= 35 and len(entry["title"]) < 35 and first.endswith("."):
            yield Fact(f"What does the term {entry['title']} mean?", first, "law", source)


def staged(held_out: frozenset[str], *, inside: bool) -> Iterator[Fact]:
    """Yield the parts of scenes that stand alone, of the fields held out or of the others."""
    for scene in yaml.safe_load(SCENES_FILE.read_text(encoding="utf-8")):
        for part in scene["parts"] if (scene["field"] in held_out) == inside else ():
            if "after" not in part:
                yield Fact(part["ask"], part["say"], scene["field"], "written for this")


def invented(count: int, fields: Sequence[Mapping[str, Any]], rng: random.Random) -> Iterator[Fact]:
    """Yield facts of invented handbooks that name their subject, answered by the sentence or by the span."""
    for _ in range(count):
        field = rng.choice(fields)
        subject = rng.choice(field["names"])
        fact = rng.choice([fact for fact in field["facts"] if any("{e}" in question for question in fact["ask"])])
        sentence, answer, questions = handbooks.stated(fact, subject, rng)
        question = rng.choice([question for question in questions if subject in question])
        whole = rng.random() < 0.5 and subject.lower() in sentence.lower()
        yield Fact(question, sentence if whole else handbooks.asked_for(question, answer), field["field"], "invented")


def told(fact: Fact, common: frozenset[str], rng: random.Random) -> Fact:
    """Return the fact with its answer as a whole sentence in two of five cases, as chatty experts answer."""
    stated = None if is_sentence(fact.answer) or rng.random() > 0.4 else statement(fact.question, fact.answer, common)
    return Fact(fact.question, f"{stated}.", fact.field, fact.source) if stated else fact
