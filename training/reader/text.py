"""Text as the reader's data need it: normal forms, sentences, cuts of a passage around an answer; pure functions."""

from __future__ import annotations

import random
import re
import string

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:St|Mr|Dr|Jr|Sr|Co|No|vs|ca)\.)(?<!\bMrs\.)\s+(?=[\"'(\[]?[A-Z0-9])"
)
_ABBREVIATION = re.compile(r"\b(?:[A-Z]|Jr|Sr|Inc|Co|Ltd|Bros|Corp|Esq)\.$")
_LEADING = re.compile(r"^(?:the|an?)\s+(?=\S)", re.IGNORECASE)


def normalised(text: str) -> str:
    """Fold case, punctuation, articles and white space away (Rajpurkar et al. 2016, section 6.1: SQuAD's form)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def words(text: str) -> frozenset[str]:
    """Return the words of a text in normal form."""
    return frozenset(normalised(text).split())


def holds(passage: str, answer: str) -> bool:
    """Whether the answer stands in the passage as whole words, both in normal form."""
    return f" {normalised(answer)} " in f" {normalised(passage)} "


def sentences(text: str) -> list[str]:
    """Split a passage into sentences; abbreviations and initials end none."""
    return [part for part in _SENTENCE_END.split(" ".join(text.split())) if part]


def span(answer: str) -> str:
    """Return an answer without the article before it and the full stop after it."""
    bare = _LEADING.sub("", answer.strip().rstrip(",;:"))
    return bare if _ABBREVIATION.search(bare) else bare.removesuffix(".")


def cut(passage: str, answer: str, question: str, most_words: int, rng: random.Random) -> str | None:
    """Cut a passage at sentence borders around the sentence that answers, which comes to stand anywhere in the cut.

    Among several sentences with the answer the one most like the question is meant. None if no sentence holds it.
    """
    parts = sentences(passage)
    asked = words(question)
    holding = [place for place, part in enumerate(parts) if answer in part]
    if not holding:
        return None
    first = last = max(holding, key=lambda place: len(asked & words(parts[place])))
    length = len(parts[first].split())
    while first > 0 or last < len(parts) - 1:
        before = first > 0 and (last == len(parts) - 1 or rng.random() < 0.5)
        more = parts[first - 1] if before else parts[last + 1]
        length += len(more.split())
        if length > most_words:
            break
        first, last = (first - 1, last) if before else (first, last + 1)
    return " ".join(parts[first : last + 1])


def excerpt(passage: str, most_words: int, rng: random.Random) -> str:
    """Return consecutive sentences of a passage; at least one, cut short if it alone is too long.

    A short passage is taken from its start, where it names its subject.
    """
    parts = sentences(passage)
    first = rng.randrange(max(1, len(parts) - 2))
    chosen = [parts[first]]
    for part in parts[first + 1 :]:
        if sum(len(p.split()) for p in chosen) + len(part.split()) > most_words:
            break
        chosen.append(part)
    return " ".join(" ".join(chosen).split()[:most_words])


def repaired(text: str) -> str:
    """Undo what tokenisers have done to the white space of Wikipedia's text: brackets, dashes, commas and quotes."""
    text = text.replace("``", '"').replace("''", '"').replace(" ’s ", "’s ")
    text = re.sub(r"(?<!\d)(\d{4})(\d{1,2} [A-Z][a-z]+ \d{4})", r"\1 – \2", text)
    text = re.sub(r"(?<=\d{4})- ?(?=\d{4})", "–", text)
    text = re.sub(r"\s*\(\s*", " (", text)
    text = re.sub(r"\s+([,.;:)])", r"\1", text)
    text = re.sub(r"(?<!\.)\.\.(?!\.)", ".", text)
    text = re.sub(r"(?<=[a-z])- (?=[A-Za-z])(?!(?:and|or|to)\b)", "-", text)
    text = re.sub(r"\((?:\s*;?\s*,?\s*|\] ?;?\s*|[^()]{0,3})\)\s*", "", text)
    pieces = [piece.strip() if place % 2 else piece for place, piece in enumerate(text.split('"'))]
    text = pieces[0] if pieces else ""
    for place, piece in enumerate(pieces[1:], start=1):
        opens = place % 2 == 1
        glue = " " if (opens and text and not text[-1:].isspace() and text[-1:] not in "([") else ""
        after = " " if (not opens and piece[:1].isalnum()) else ""
        text = f'{text}{glue}"{after}{piece}'
    return " ".join(text.split())
