"""Single questions with their answers, fields and passages: what composed questions are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from compllm.bench.squad import normalised

# Twelve of the 48 articles of XQuAD, one of each field where there are several: the bundled reader is never trained on
# them, so its questions can be asked here.
HELD_OUT_ARTICLES = frozenset(
    (
        "1973_oil_crisis",
        "Black_Death",
        "Computational_complexity_theory",
        "Doctor_Who",
        "Genghis_Khan",
        "Harvard_University",
        "Immune_system",
        "Oxygen",
        "Rhine",
        "Scottish_Parliament",
        "Victoria_and_Albert_Museum",
        "Warsaw",
    )
)
XQUAD_LICENCE = "CC BY-SA 4.0"

_WORDS = range(4, 26)
_MOST_ANSWER_WORDS = 8
_DEFINITION_WORDS = range(5, 26)
_SHINGLE_WORDS = 10
_POINTING = frozenset(("he", "she", "it", "they", "him", "them", "this", "that", "these", "those", "school", "country"))
_NAMED = re.compile(r"(?<=\s)(?:[A-Z][\w&]|\d)|-\d")
_NUMBER = re.compile(r"\d[\d,]*")

Record = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """A document of one field."""

    id: str
    domain: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A question that one passage of one field answers.

    `event` is a noun phrase for what the answer dates or counts, `value` its number, and `kind` says which it is; empty
    where that is not known.
    """

    id: str
    domain: str
    question: str
    answers: tuple[str, ...]
    passage: str
    source: str
    licence: str
    event: str = ""
    kind: str = ""
    value: int = 0


# --- XQuAD -----------------------------------------------------------------------------------------------------------


def xquad_passages(paragraphs: Iterable[Record]) -> Iterator[Passage]:
    """Yield the paragraphs of XQuAD (Artetxe et al. 2020) with their fields."""
    for row in paragraphs:
        yield Passage(row["id"], row["domain"], row["title"].replace("_", " "), row["text"])


def xquad_facts(
    questions: Iterable[Record], passages: Sequence[Passage], articles: frozenset[str], events: Mapping[str, Record]
) -> Iterator[Fact]:
    """Yield the questions about the articles that stand by themselves and have a short answer in their passage.

    `events` has noun phrases for dates and counts by question: `{"event", "kind": "year" or "count"}`.
    """
    texts = {passage.id: passage.text for passage in passages}
    for row in questions:
        passage = f"xquad-{row['doc_title']}-{row['doc_index']}"
        question, answer = " ".join(row["question"].split()), row["answer"].strip(" .")
        if row["doc_title"] not in articles or not stands_alone(question, row["doc_title"]):
            continue
        if answer in texts.get(passage, "") and len(answer.split()) <= _MOST_ANSWER_WORDS:
            fact = Fact(row["id"], row["domain"], question, (answer,), passage, "XQuAD", XQUAD_LICENCE)
            yield _dated(fact, events.get(row["id"]))


def stands_alone(question: str, article: str) -> bool:
    """Whether a question can be understood without its article: it names something and points at nothing before it."""
    words = re.findall(r"[\w&]+", question.lower())
    title = {word for word in article.lower().split("_") if len(word) > 3}
    named = bool(_NAMED.search(question)) or bool(title & set(words))
    return named and len(words) in _WORDS and not _POINTING & set(words)


def _dated(fact: Fact, event: Record | None) -> Fact:
    numbers = _NUMBER.findall(fact.answers[0])
    if event is None or not numbers:
        return fact
    number = numbers[-1 if event["kind"] == "year" else 0]
    return replace(fact, event=event["event"], kind=event["kind"], value=int(number.replace(",", "")))


# --- glossaries ------------------------------------------------------------------------------------------------------


def glossary_passages(entries: Iterable[Record], domain: str) -> Iterator[Passage]:
    """Yield an entry of a glossary, or the first paragraph of an article, with its term in front."""
    for row in entries:
        opening = " ".join(row["text"].split("\n")[0].split())
        term = row["title"].strip()
        mark = "." if "\n" in row["text"].strip() else ":"  # an article goes on, and need not begin with a definition
        named = f"{term[:1].upper()}{term[1:]}{mark} {opening}"
        text = opening if opening.lower().startswith(term.lower()) else named
        yield Passage(row["id"], row.get("domain", domain), term, text)


def glossary_facts(passages: Iterable[Passage], source: str, licence: str) -> Iterator[Fact]:
    """Yield a question for the term of every definition of one sentence that does not give the term away."""
    for passage in passages:
        definition = _definition(passage)
        words = definition.split()
        if len(words) not in _DEFINITION_WORDS or normalised(passage.title) in normalised(definition):
            continue
        field = passage.domain.replace("_", " ")
        question = f"Which term of {field} means {definition[:1].lower()}{definition[1:]}?"
        yield Fact(passage.id, passage.domain, question, (passage.title,), passage.id, source, licence)


def _definition(passage: Passage) -> str:
    """Return the first sentence without the term, or nothing where it cannot be told apart."""
    term = re.escape(passage.title)
    first = re.split(r"(?<=[a-z)])\.(?:\s|$)", passage.text, maxsplit=1)[0]
    match = re.match(rf"(?:an? |the )?{term}(?: \([^)]*\))?(?::| is| are| refers to)\s+(.+)", first, re.IGNORECASE)
    return match[1].strip(" .") if match else ""


# --- what was trained on ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trained:
    """What a model has seen in training, as runs of ten words."""

    shingles: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Trained:
        """Read the texts of training rows."""
        return cls(frozenset(shingle for text in texts for shingle in _shingles(text)))

    def has_seen(self, text: str) -> bool:
        """Whether ten words in a row of the text were in training."""
        return any(shingle in self.shingles for shingle in _shingles(text))


def _shingles(text: str) -> Iterator[tuple[str, ...]]:
    words = normalised(text).split()
    return (tuple(words[start : start + _SHINGLE_WORDS]) for start in range(len(words) - _SHINGLE_WORDS + 1))
