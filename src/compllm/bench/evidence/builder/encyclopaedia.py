"""Works and the people who made them, read by rule from the opening sentences of encyclopaedia paragraphs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compllm.bench.evidence.builder.facts import Fact, Passage, Record

PEOPLE = "biography"
_LICENCE = "CC BY-SA 3.0"
_SOURCE = "Wikipedia"
_OPENING_CHARACTERS = 400
_LIFE_YEARS = range(10, 110)
_NAME = r"[A-Z][\w'’-]+(?: (?:[A-Z]\.|[A-Z][\w'’-]+)){1,3}"
_YEAR = r"(?:(?P<year>\d{4}) )?"
_DAY = r"\d{1,2} [A-Z][a-z]+ \d{4}|[A-Z][a-z]+ \d{1,2}, \d{4}"
_BIRTH = re.compile(
    rf"^[^(]{{3,60}}\([^()\d]*?(?P<day>{_DAY})(?: in (?P<place>[A-Z][^–;()]*?))?\s*(?P<rest>[–);-][^)]*)"
)
_DEATH = re.compile(rf"(?P<day>{_DAY})")
# Last words of what publishes an album or is part of a longer name.
_NO_MAKERS = frozenset(("Books", "Ensemble", "Music", "Press", "Records"))
# What follows the first of several makers: none of them alone is the answer.
_MORE_MAKERS = re.compile(r"(?:, [A-Z][^,.;]*)*,? (?:and|&) [A-Z]")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work: its field, how its paragraphs begin, and how one asks for its maker."""

    domain: str
    noun: str
    opening: re.Pattern[str]
    maker: str
    made: str


_KINDS = (
    Kind(
        "film",
        "film",
        re.compile(rf" is an? (?P<year>\d{{4}}) (?:\S+ ){{0,8}}?film\b.*?\b[Dd]irected by (?P<maker>{_NAME})"),
        "director",
        "directed",
    ),
    Kind(
        "literature",
        "book",
        re.compile(rf" is an? {_YEAR}(?:\S+ ){{0,4}}?(?:novel|book|play)\b[^.]*? by (?P<maker>{_NAME})"),
        "author",
        "wrote",
    ),
    Kind(
        "music",
        "album",
        re.compile(rf" is an? {_YEAR}(?:\S+ ){{0,4}}?album\b[^.]*? by (?:\w+ ){{0,5}}?(?P<maker>{_NAME})"),
        "artist",
        "recorded",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Work:
    """A work with a paragraph of its own."""

    passage: Passage
    kind: Kind
    title: str
    maker: str
    year: int

    @property
    def named(self) -> str:
        """How it is named in a question."""
        return f"the {self.kind.noun} {self.title}"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a paragraph; the dates as it writes them, empty if it does not say."""

    passage: Passage
    name: str
    born: str
    birthplace: str
    died: str


@dataclass(frozen=True, slots=True)
class Library:
    """What the paragraphs tell: works by title, people by name, and every paragraph of their fields."""

    works: tuple[Work, ...]
    people: Mapping[str, Person]

    @property
    def bridges(self) -> list[tuple[Work, Person]]:
        """The works whose maker has a paragraph that says when he or she was born."""
        return [(work, self.people[work.maker]) for work in self.works if work.maker in self.people]


def read_library(paragraphs: Iterable[Record]) -> Library:
    """Read the paragraphs whose name no other has."""
    rows = {row["text"]: row for row in paragraphs}.values()
    counts = Counter(_bare(row["title"]) for row in rows)
    unique = [row for row in rows if counts[_bare(row["title"])] == 1]
    works = [work for row in unique if (work := _work(row)) is not None]
    people = (person for row in unique if (person := _person(row)) is not None)
    return Library(tuple(works), {person.name: person for person in people})


def library_facts(library: Library) -> Iterator[Fact]:
    """Yield who made each work, when it came out, and when each person was born."""
    for work in library.works:
        passage = work.passage
        yield Fact(f"{passage.id}-maker", passage.domain, who_made(work), (work.maker,), passage.id, _SOURCE, _LICENCE)
        if work.year:
            question = f"In which year did {work.named} come out?"
            answers, event = (str(work.year),), f"the release of {work.named}"
            yield Fact(
                f"{passage.id}-year", passage.domain, question, answers, passage.id, _SOURCE, _LICENCE, event, "year",
                work.year,
            )  # fmt: skip
    for person in library.people.values():
        yield life_fact(person, "born")


def life_fact(person: Person, what: str) -> Fact:
    """Return when (`born`, `died`) or where (`birthplace`) in a person's life something was."""
    question = life_question(what, person.name)
    answers = (person.birthplace,) if what == "birthplace" else dates(getattr(person, what))
    passage = person.passage
    value = _year(answers[0]) if what != "birthplace" else 0
    event = f"the {'birth' if what == 'born' else 'death'} of {person.name}" if value else ""
    return Fact(
        f"{passage.id}-{what}", passage.domain, question, answers, passage.id, _SOURCE, _LICENCE, event,
        "year" if value else "", value,
    )  # fmt: skip


def life_question(what: str, name: str) -> str:
    """Return the question for a fact of somebody's life."""
    forms = {"born": "When was {0} born?", "died": "When did {0} die?", "birthplace": "Where was {0} born?"}
    return forms[what].format(name)


def who_made(work: Work) -> str:
    """Return the question for the maker of a work."""
    return f"Who {work.kind.made} {work.named}?"


def known(person: Person) -> Sequence[str]:
    """Return what the paragraph tells of a person's life."""
    return [what for what in ("born", "died", "birthplace") if getattr(person, what)]


def dates(day: str) -> tuple[str, str]:
    """Return a date as written and in the other order: "2 May 1921" and "May 2, 1921"."""
    words = day.replace(",", "").split()
    if words[0].isdigit():
        return day, f"{words[1]} {words[0]}, {words[2]}"
    return day, f"{words[1]} {words[0]} {words[2]}"


def _bare(title: str) -> str:
    return title.partition(" (")[0].strip()


def _work(row: Record) -> Work | None:
    text, title = _tidy(row["text"]), _bare(row["title"])
    for kind in _KINDS:
        match = kind.opening.search(text[:_OPENING_CHARACTERS])
        if match and text.lower().lstrip('"').startswith(title.lower()) and title[-1] not in "?!":
            if match["maker"].split()[-1] in _NO_MAKERS or _MORE_MAKERS.match(text[match.end("maker") :]):
                return None
            passage = Passage(row["id"], kind.domain, row["title"], text)
            return Work(passage, kind, title, match["maker"].strip(" '’"), int(match["year"] or 0))
    return None


def _person(row: Record) -> Person | None:
    text, name = _tidy(row["text"]), _bare(row["title"])
    match = _BIRTH.search(text)
    if match is None or not re.fullmatch(_NAME, name) or not _is_date(match["day"]):
        return None
    if name.split()[-1] not in text[:80]:
        return None
    died = _DEATH.search(match["rest"]) if match["rest"].startswith("–") else None
    if died and _year(died["day"]) - _year(match["day"]) not in _LIFE_YEARS:
        return None
    place = (match["place"] or "").strip(" ,")
    passage = Passage(row["id"], PEOPLE, row["title"], text)
    return Person(passage, name, match["day"], place, died["day"] if died else "")


def _year(day: str) -> int:
    return int(day[-4:])


def _is_date(day: str) -> bool:
    return any(word.strip(",") in _MONTHS for word in day.split())


def _tidy(text: str) -> str:
    """Return a paragraph on one line, without the blanks that tokenised copies have inside of brackets."""
    return re.sub(r"(?<=\w)\( ?", " (", " ".join(text.split()))
