"""Samples from glossaries: a term and the clause that defines it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from training.reader.rows import Sample
from training.reader.text import repaired, sentences, span

_ASKED = (
    "What is {0}?",
    "What does {0} mean?",
    "How is {0} defined?",
    "What does the term {0} mean?",
    "What is meant by {0}?",
)
_ASKED_BACK = (
    "Which term means: {0}?",
    "What is the term for {0}?",
    "What is the name for {0}?",
)
_IS = re.compile(
    r"^(?:An? |The |In [\w ]+, )?(?P<term>[\w' -]{3,40}?)(?: \([^)]*\))? (?:is|are) "
    r"(?P<what>[^.;]{20,200}?)(?:[.;]|, (?:which|that|where|and) )"
)


def glossary(entries: Iterable[Mapping[str, Any]], source: str, rng: random.Random) -> Iterator[Sample]:
    """Yield "what is" and "which term" questions; the passage is three entries together, the rivals other triplets."""
    usable = [entry for entry in entries if 5 <= len(entry["text"].split()) <= 60 and len(entry["title"]) < 40]
    rng.shuffle(usable)
    pages = [usable[start : start + 3] for start in range(0, len(usable) - 2, 3)]
    texts = [" ".join(f"{_titled(entry['title'])}: {_ended(entry['text'])}" for entry in page) for page in pages]
    for page, text in zip(pages, texts, strict=True):
        rivals = tuple(rng.sample([other for other in texts if other != text], 6))
        entry = rng.choice(page)
        first = sentences(entry["text"])[0].rstrip(".")
        term = entry["title"] if entry["title"].isupper() else _lowered(entry["title"])
        if rng.random() < 0.7:
            yield Sample(rng.choice(_ASKED).format(term), span(first), text, rivals, source, "definition")
        elif len(first.split()) < 25:
            meant = _lowered(first)
            yield Sample(rng.choice(_ASKED_BACK).format(meant), _titled(entry["title"]), text, rivals, source, "term")


def articles(documents: Iterable[Mapping[str, Any]], source: str, rng: random.Random) -> Iterator[Sample]:
    """Yield "what is" questions on articles that open with "X is ...": the answer is what follows."""
    opened = [(repaired(document["text"].partition("\n\n")[0]), document) for document in documents]
    texts = [text for text, _ in opened]
    for text, _ in opened:
        found = _IS.match(text)
        if found and " is " not in found["term"] and found["term"].lower() not in {"this", "it", "there", "that"}:
            rivals = tuple(rng.sample([other for other in texts if other != text], 6))
            term = _lowered(found["term"])
            yield Sample(rng.choice(_ASKED).format(term), span(found["what"]), text, rivals, source, "definition")


def _titled(term: str) -> str:
    return term[:1].upper() + term[1:]


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _ended(text: str) -> str:
    bare = " ".join(text.split())
    return bare if bare.endswith((".", "!", "?")) else f"{bare}."
