"""Samples from questions that people have asked about passages, and from evidence triples of multi-hop questions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from compllm.bench.evidence.builder.facts import HELD_OUT_ARTICLES
from training.reader.rows import Sample
from training.reader.text import cut, holds, normalised, repaired, sentences, span

Record = Mapping[str, Any]

_WORDINGS: Mapping[str, tuple[str, ...]] = {
    "director": ("Who directed {0}?", "Who is the director of {0}?", "Who was {0} directed by?"),
    "date of birth": ("When was {0} born?", "What is the date of birth of {0}?", "On what date was {0} born?"),
    "date of death": ("When did {0} die?", "What is the date of death of {0}?", "On what date did {0} die?"),
    "publication date": ("When was {0} released?", "In what year was {0} released?", "When did {0} come out?"),
    "country of citizenship": ("What nationality is {0}?", "What is the nationality of {0}?", "Where is {0} from?"),
    "father": ("Who was the father of {0}?", "Who is {0}'s father?"),
    "mother": ("Who was the mother of {0}?", "Who is {0}'s mother?"),
    "spouse": ("Who was {0} married to?", "Who is the spouse of {0}?", "Who did {0} marry?"),
    "place of birth": ("Where was {0} born?", "What is the place of birth of {0}?"),
    "place of death": ("Where did {0} die?", "What is the place of death of {0}?"),
    "inception": ("When was {0} founded?", "In what year was {0} established?"),
    "performer": ("Who performed {0}?", "Who is the performer of {0}?"),
    "producer": ("Who produced {0}?",),
    "composer": ("Who composed {0}?", "Who wrote the music of {0}?"),
}


def xquad(questions: Iterable[Record], paragraphs: Sequence[Record], held_out: bool) -> Iterator[Sample]:
    """Yield the questions of the held-out articles or of all others; rivals are the article's other paragraphs."""
    texts: dict[str, list[str]] = defaultdict(list)
    for paragraph in paragraphs:
        texts[paragraph["title"]].append(paragraph["text"])
    by_id = {paragraph["id"]: paragraph["text"] for paragraph in paragraphs}
    for row in questions:
        title = row["doc_title"]
        if (title in HELD_OUT_ARTICLES) != held_out:
            continue
        text = by_id[f"xquad-{title}-{row['doc_index']}"]
        others = tuple(other for other in texts[title] if other != text and not holds(other, row["answer"]))
        without = without_answer(text, row["answer"])
        rivals = others + ((without,) if without and not held_out else ())
        yield Sample(row["question"].strip(), span(row["answer"]), text, rivals, "xquad", "asked")


def reports(questions: Iterable[Record], documents: Iterable[Record]) -> Iterator[Sample]:
    """Yield questions about annual reports whose answer stands in the report's prose; tables are left out."""
    prose = {doc["id"]: _prose(doc["text"]) for doc in documents}
    for row in questions:
        text = prose.get(row["source"].partition("doc_id ")[2].rstrip(")"), "")
        answer = span(row["answer"])
        if len(answer) > 1 and answer in text and cut(text, answer, row["question"], 90, random.Random(0)):
            rivals = without_answer(text, answer)
            yield Sample(row["question"].strip(), answer, text, (rivals,) if rivals else (), "tat-qa", "asked report")


def triples(plans: Iterable[Record], documents: Iterable[Record], rng: random.Random) -> Iterator[Sample]:
    """Yield a question for each evidence triple whose subject has a paragraph with the answer; worded at random."""
    paragraphs: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        paragraphs[document["title"].partition(" (")[0]].append(repaired(document["text"]))
    found: list[tuple[str, str, str, str]] = []
    for plan in plans:
        for subject, relation, answer in (query["triple"] for query in plan["sub_queries"] if query.get("triple")):
            name = subject.partition(" (")[0]
            for text in paragraphs[name]:
                if relation in _WORDINGS and answer in text:
                    found.append((name, relation, answer, text))
                    break
    for name, relation, answer, text in dict.fromkeys(found):
        alike = tuple(t for n, r, a, t in found if r == relation and n != name and not holds(t, answer))
        question = rng.choice(_WORDINGS[relation]).format(name)
        yield Sample(question, span(answer), text, alike[:40], "2wiki", f"triple {relation}")


def without_answer(text: str, answer: str) -> str:
    """Return a passage without the sentences that hold the answer."""
    return " ".join(part for part in sentences(text) if not holds(part, answer) and normalised(part))


def _prose(text: str) -> str:
    return " ".join(line for line in text.splitlines() if "|" not in line and len(line.split()) > 6)
