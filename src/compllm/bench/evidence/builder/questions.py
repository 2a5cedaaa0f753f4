"""The three sets: parallel questions, bridges from one field to another, and joins of two answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle
from typing import TypeVar

from compllm.bench.evidence.builder.encyclopaedia import (
    Library,
    Person,
    Work,
    known,
    life_fact,
    life_question,
    who_made,
)
from compllm.bench.evidence.builder.facts import Fact
from compllm.bench.evidence.builder.fields import CALCULATOR, tag_of
from compllm.bench.evidence.builder.wording import together
from compllm.bench.evidence.rows import EvidenceRow, GoldStep

T = TypeVar("T")

_PARTS = (2, 3, 2, 4, 3, 2, 5)
_MATHEMATICS = "mathematics"
_MOST_SHARES = 8


@dataclass(frozen=True, slots=True)
class _Bridge:
    """Ways to ask for something in the life of a work's maker: `work` and `maker` are filled in."""

    what: str
    forms: tuple[str, ...]


_BRIDGES = (
    _Bridge(
        "born",
        (
            "When was the {maker} of {work} born?",
            "On what date was the person who {made} {work} born?",
            "What is the date of birth of the {maker} of {work}?",
        ),
    ),
    _Bridge(
        "birthplace",
        (
            "Where was the {maker} of {work} born?",
            "In which place was the person who {made} {work} born?",
            "What is the birthplace of the {maker} of {work}?",
        ),
    ),
    _Bridge(
        "died",
        (
            "When did the {maker} of {work} die?",
            "What is the date of death of the {maker} of {work}?",
            "On what date did the person who {made} {work} die?",
        ),
    ),
)


def parallel(facts: Sequence[Fact], how_many: int, rng: random.Random) -> Iterator[EvidenceRow]:
    """Yield questions with 2 to 5 parts, each of another field; every fact of a field comes before any comes again.

    Fields take part evenly, but for those with few facts, which take part less.
    """
    decks = {domain: _deck(facts, domain, rng) for domain in sorted({fact.domain for fact in facts})}
    fields = _dealt(_shares(facts), rng)
    for number, parts in zip(range(how_many), cycle(_PARTS), strict=False):
        taken: list[str] = []
        while len(taken) < min(parts, len(decks)):
            field = next(fields)
            if field not in taken:
                taken.append(field)
        drawn = [next(decks[domain]) for domain in taken]
        steps = tuple(_step(place, fact) for place, fact in enumerate(drawn, start=1))
        question = together([fact.question for fact in drawn], rng)
        yield _row("P", number, question, tuple(fact.answers for fact in drawn), steps, drawn)


def dependent(library: Library, how_many: int, rng: random.Random) -> Iterator[EvidenceRow]:
    """Yield questions about the life of whoever made a work; no person comes twice, and kinds of works take turns."""
    kinds = sorted({work.kind.domain for work, _ in library.bridges})
    decks = {kind: [pair for pair in library.bridges if pair[0].kind.domain == kind] for kind in kinds}
    for deck in decks.values():
        rng.shuffle(deck)
    used: set[str] = set()
    number = count()
    made = 0
    while made < how_many and any(decks.values()):
        for kind in kinds:
            decks[kind] = [pair for pair in decks[kind] if pair[1].name not in used]
            if not decks[kind]:
                continue
            pair = decks[kind].pop()
            used.add(pair[1].name)
            yield _bridge(next(number), *pair, rng)
            made += 1
            if made == how_many:
                return


def _bridge(number: int, work: Work, person: Person, rng: random.Random) -> EvidenceRow:
    bridge = rng.choice([each for each in _BRIDGES if each.what in known(person)])
    asked = rng.choice(bridge.forms).format(work=work.named, maker=work.kind.maker, made=work.kind.made)
    last = life_fact(person, bridge.what)
    first = replace(
        last, question=who_made(work), answers=(work.maker,), domain=work.kind.domain, passage=work.passage.id
    )
    second = replace(last, question=life_question(bridge.what, "#1"))
    steps = (_step(1, first), _step(2, second, (1,)))
    return _row("D", number, asked, (last.answers,), steps, [first, second])


def joins(facts: Sequence[Fact], how_many: int, rng: random.Random) -> Iterator[EvidenceRow]:
    """Yield comparisons of dates or counts of different fields, and years between two dates, while there are any."""
    dated = [fact for fact in facts if fact.event]
    decks = {domain: _deck(dated, domain, rng) for domain in sorted({fact.domain for fact in dated})}
    if len(decks) < 2:
        return
    fields = _dealt(_shares(dated), rng)
    seen: set[frozenset[str]] = set()
    number = in_vain = 0
    while number < how_many and in_vain < len(dated) ** 2:
        first_field = next(fields)
        second_field = next(field for field in fields if field != first_field)
        first, second = next(decks[first_field]), next(decks[second_field])
        pair = frozenset((first.id, second.id))
        if first.kind != second.kind or first.value == second.value or pair in seen:
            in_vain += 1
            continue
        seen.add(pair)
        yield _join(number, first, second, rng)
        number, in_vain = number + 1, 0


def _join(number: int, first: Fact, second: Fact, rng: random.Random) -> EvidenceRow:
    low, high = sorted((first, second), key=lambda fact: fact.value)
    answers: tuple[str, ...]
    # Between two whole dates may lie a year less than between their years.
    if first.kind == "year" and rng.random() < 1 / 3 and (first.answers[0].isdigit() or second.answers[0].isdigit()):
        asked = f"How many years lie between {first.event} and {second.event}?"
        last, answers = "How many years lie between #1 and #2?", (str(high.value - low.value),)
    elif first.kind == "year":
        asked = rng.choice(
            (
                f"Which came first, {first.event} or {second.event}?",
                f"What happened earlier: {first.event} or {second.event}?",
            )
        )
        last, answers = f"Which came first, {first.event} (#1) or {second.event} (#2)?", _names(low)
    else:
        asked = f"Which is larger, {first.event} or {second.event}?"
        last, answers = f"Which is larger, {first.event} (#1) or {second.event} (#2)?", _names(high)
    joined = GoldStep(3, last, _MATHEMATICS, (1, 2), CALCULATOR, answers)
    return _row("J", number, asked, (answers,), (_step(1, first), _step(2, second), joined), [first, second])


def _names(fact: Fact) -> tuple[str, ...]:
    """Return what an answer may call an event: as in the question, without its article, or the bare name of a work."""
    event = fact.event.removeprefix("the ")
    return fact.event, event, *([event.rpartition(" the ")[2]] if event.startswith("release of ") else [])


def _shares(facts: Sequence[Fact]) -> list[str]:
    """Return each field as often as it has facts, up to a limit."""
    counts = Counter(fact.domain for fact in facts)
    return [domain for domain in sorted(counts) for _ in range(min(counts[domain], _MOST_SHARES))]


def _deck(facts: Sequence[Fact], domain: str, rng: random.Random) -> Iterator[Fact]:
    return _dealt([fact for fact in facts if fact.domain == domain], rng)


def _dealt(cards: Sequence[T], rng: random.Random) -> Iterator[T]:
    """Yield the cards in a random order again and again, shuffled anew each time."""
    while True:
        yield from rng.sample(cards, len(cards))


def _step(number: int, fact: Fact, depends_on: tuple[int, ...] = ()) -> GoldStep:
    return GoldStep(number, fact.question, tag_of(fact.domain), depends_on, fact.domain, fact.answers, fact.passage)


def _row(
    name: str,
    number: int,
    question: str,
    parts: tuple[tuple[str, ...], ...],
    steps: tuple[GoldStep, ...],
    facts: Sequence[Fact],
) -> EvidenceRow:
    sources = dict.fromkeys(fact.source for fact in facts)
    licences = dict.fromkeys(fact.licence for fact in facts)
    return EvidenceRow(
        f"{name.lower()}-{number + 1:03}", name, question, parts, steps, ", ".join(sources), ", ".join(licences)
    )
