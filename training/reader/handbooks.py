"""Samples from invented handbooks: facts that no model can know, so that only reading helps. Their data: the YAML."""

# ruff: noqa: SIM905 - a list of words reads best as words

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.reader.rows import Sample
from training.reader.text import holds

FACTS_FILE = Path(__file__).with_name("handbooks.yaml")
_FACTS_EACH = (3, 6)
_SLOT = re.compile(r"\{([^{}]+)\}")
_FIRST = "Mara Tobias Ingrid Callum Yusuf Petra Dmitri Lucia Owen Anneke Rafael Sunita Bjorn Chiara Malik Edith".split()
_LAST = (
    "Fenwick Okoro Lindahl Marchetti Vasquez Thornbury Petrov Almasi Greaves Hollander Iyer Quist Sarkis Brandt".split()
)
_TOWNS = (
    "Ashcombe Belmora Carrick Dunmere Elstow Fjordal Grauheim Hartwell Ilminster Jelsa Korvik Lindos Merrow Nantgar "
    "Orsova Pellworm Quarra Rostan Silford Tamsel Ulvik Varna Westrel Yarrow Zelin"
).split()
_MONTHS = "January February March April May June July August September October November December".split()
_MONEY = ("{} euros", "${}", "£{}", "{} crowns", "{} francs")


@dataclass(frozen=True, slots=True)
class Page:
    """An invented document: its subject, and the sentences with their answers and questions in its order."""

    subject: str
    facts: tuple[tuple[str, str, tuple[str, ...]], ...]

    @property
    def text(self) -> str:
        """The document as a passage."""
        return " ".join(sentence for sentence, _, _ in self.facts)


def handbooks(count: int, rng: random.Random, fields: Sequence[Mapping[str, Any]]) -> Iterator[Sample]:
    """Yield `count` questions on as many pages; rivals lack the fact, or state it of a subject not asked about."""
    for _ in range(count):
        field = rng.choice(fields)
        page, other = (_page(field, name, rng) for name in rng.sample(field["names"], 2))
        sentence, answer, questions = rng.choice(page.facts)
        question = rng.choice(questions)
        rest = " ".join(said for said, _, _ in page.facts if said != sentence)
        elsewhere = other.text if page.subject in question or not _asks_same(other, question) else rest
        rivals = tuple(text for text in (rest, elsewhere) if not holds(text, answer))
        yield Sample(question, asked_for(question, answer), page.text, rivals, "invented", f"handbook {field['field']}")


def load() -> list[dict[str, Any]]:
    """Read the fields with their facts."""
    fields: list[dict[str, Any]] = yaml.safe_load(FACTS_FILE.read_text(encoding="utf-8"))
    return fields


def fill(template: str, subject: str, rng: random.Random) -> str:
    """Fill the slots of a template at random; a slot within a choice is filled after it."""
    while found := _SLOT.search(template):
        template = template[: found.start()] + _slot(found[1], subject, rng) + template[found.end() :]
    return template


def _page(field: Mapping[str, Any], subject: str, rng: random.Random) -> Page:
    facts = rng.sample(field["facts"], rng.randint(*_FACTS_EACH))
    # The subject's name must stand somewhere: the first fact is one that names it.
    facts.sort(key=lambda fact: "{e}" not in fact["say"].lower())
    head, *tail = facts
    rng.shuffle(tail)
    return Page(subject, tuple(stated(fact, subject, rng) for fact in (head, *tail)))


def stated(fact: Mapping[str, Any], subject: str, rng: random.Random) -> tuple[str, str, tuple[str, ...]]:
    """Return one fact about a subject: the sentence, its answer and the questions; the slots filled at random."""
    marked = fill(fact["say"], subject, rng)
    answer = marked[marked.index("[") + 1 : marked.index("]")]
    sentence = marked.replace("[", "").replace("]", "")
    return sentence, answer.removeprefix("the "), tuple(question.replace("{e}", subject) for question in fact["ask"])


def asked_for(question: str, answer: str) -> str:
    """Return the number alone if the question names what is counted."""
    number, _, counted = answer.partition(" ")
    return number if question.startswith("How many") and counted and counted.split()[-1] in question else answer


def _asks_same(page: Page, question: str) -> bool:
    return any(question in questions for _, _, questions in page.facts)


def _slot(slot: str, subject: str, rng: random.Random) -> str:
    if re.fullmatch(r"\d+-\d+", slot):
        low, high = map(int, slot.split("-"))
        return str(rng.randint(low, high))
    if "|" in slot:
        return rng.choice(slot.split("|"))
    if slot == "date":
        return f"{rng.randint(1, 28)} {rng.choice(_MONTHS)}"
    return {"e": subject, "E": subject[:1].upper() + subject[1:]}.get(slot) or rng.choice(_NAMED[slot])


_NAMED: Mapping[str, Sequence[str]] = {
    "person": [f"{first} {last}" for first in _FIRST for last in _LAST],
    "town": _TOWNS,
    "time": [f"{hour}:{minute:02}" for hour in range(5, 24) for minute in (0, 10, 15, 30, 45)],
    "money": [form.format(sum_) for form in _MONEY for sum_ in (15, 45, 80, 120, 250, 310, 475, 640, 900)],
    "code": [str(number) for number in range(1043, 9800, 137)],
}
