"""From a question with its passage to the rows that a reader trains on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from training.reader.text import cut, excerpt, holds

SYSTEM = "Read."
NOTHING = "Not in the documents."
# Words of each passage by how many stand together; 1,000 bytes keep a row below 320 tokens.
_MOST_WORDS = {1: (45, 150), 2: (35, 75), 3: (25, 50)}
_LONGEST_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One training example, as the trainer reads it."""

    system: str
    user: str
    completion: str
    source: str
    shape: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A question, the span that answers it, its passage, and passages alike that do not answer it (hard to refuse)."""

    question: str
    answer: str
    passage: str
    rivals: tuple[str, ...]
    source: str
    kind: str


def prompt(passages: Sequence[str], question: str) -> str:
    """Write passages and a question the way the reader is asked at run time."""
    return "\n\n".join([*passages, f"Question: {question}"])


def answered(sample: Sample, strangers: Sequence[str], company: int, rng: random.Random) -> Row | None:
    """Return a row whose passages hold the answer: the right one among `company` others, or None if it does not fit."""
    right = cut(sample.passage, sample.answer, sample.question, rng.randint(*_MOST_WORDS[company + 1]), rng)
    drawn = _others(sample, strangers, company + 1, company + 1, rng)
    others = [text for text in drawn if text.partition(".")[0] not in sample.passage][:company]
    if right is None or len(others) < company:
        return None
    passages = [right, *others]
    rng.shuffle(passages)
    shape = f"{sample.kind}, right" if not company else f"{sample.kind}, right among {company + 1}"
    return _row(sample, passages, sample.answer, shape)


def refused(sample: Sample, strangers: Sequence[str], hard: bool, count: int, rng: random.Random) -> Row | None:
    """Return a row whose passages do not hold the answer, or None if there is no such passage."""
    others = _others(sample, strangers, count, count, rng, rivals=count if hard else 0)
    if len(others) < count or (hard and not sample.rivals):
        return None
    return _row(sample, others, NOTHING, f"{sample.kind}, wrong {'hard' if hard else 'easy'}")


def dealt(
    samples: Sequence[Sample], strangers: Sequence[str], shares: Mapping[str, float], rng: random.Random
) -> Iterator[Row]:
    """Yield one row for each sample, its shape drawn by `shares` (right, among, hard, easy; they sum to 1)."""
    for sample in samples:
        (drawn,) = rng.choices(list(shares), list(shares.values()))
        row = shaped(drawn, sample, strangers, rng)
        if row is not None:
            yield row


def shaped(drawn: str, sample: Sample, strangers: Sequence[str], rng: random.Random) -> Row | None:
    """Return a sample's row of the shape drawn: "right", "among", "hard" or "easy"."""
    if drawn == "right":
        return answered(sample, strangers, 0, rng)
    if drawn == "among":
        return answered(sample, strangers, rng.choice((1, 1, 2)), rng)
    hard = drawn == "hard" and bool(sample.rivals)
    return refused(sample, strangers, hard, rng.choice((1, 1, 1, 1, 2, 3)), rng)


def _row(sample: Sample, passages: Sequence[str], completion: str, shape: str) -> Row | None:
    user = prompt(passages, sample.question)
    return Row(SYSTEM, user, completion, sample.source, shape) if len(user.encode()) <= _LONGEST_BYTES else None


def _others(
    sample: Sample, strangers: Sequence[str], count: int, total: int, rng: random.Random, rivals: int = 1
) -> list[str]:
    """Return excerpts of `count` passages without the answer, up to `rivals` of them from the sample's rivals."""
    near = rng.sample(sample.rivals, min(rivals, count, len(sample.rivals)))
    far = rng.sample(strangers, min(len(strangers), 4 * count))
    texts = [excerpt(text, rng.randint(*_MOST_WORDS[total]), rng) for text in [*near, *far]]
    fitting = [text for text in texts if not holds(text, sample.answer)]
    return list(dict.fromkeys(fitting))[:count]
