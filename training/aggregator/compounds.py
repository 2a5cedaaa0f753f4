"""Composes questions of several parts from single facts: side by side, bridges, comparisons, and whole scenes."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import yaml

from training.aggregator.facts import SCENES_FILE, Fact
from training.aggregator.rows import Compound, Step
from training.aggregator.statements import is_sentence
from training.reader import handbooks
from training.reader.encyclopaedia import facts_of
from training.reader.text import repaired

# The wordings at the end are for the held-out questions alone.
WORDINGS = ("plain", "and", "tell", "also", "questions", "know")
HELD_OUT_WORDINGS = ("ordinal", "both")
_WH = re.compile(
    r"^(?:What|Who|Where|When|Why|How|Which|Whose|In|On|At|By|Is|Are|Was|Were|Do|Does|Did|From|For|To|During|After|Before|Under)\b"
)
_NUMBER = re.compile(r"\d[\d,.]*")

# The kinds of the two facts of a bridge, and how the question over both is worded ({x}: the subject of the first).
_BRIDGES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("directed", "born"): ("When was the director of {x} born?", "What is the date of birth of the director of {x}?"),
    ("directed", "died"): ("When did the director of {x} die?",),
    ("directed", "nation"): (
        "What is the nationality of the director of {x}?",
        "What nationality is the director of {x}?",
    ),
    ("directed", "birthplace"): ("Where was the director of {x} born?",),
    ("directed", "known for"): ("What is the director of {x} best known for?",),
    ("written", "born"): ("When was the writer of {x} born?",),
    ("written", "nation"): ("What is the nationality of the writer of {x}?",),
    ("recorded", "born"): ("When was the singer of {x} born?",),
    ("recorded", "nation"): ("What nationality is the artist behind {x}?",),
    ("recorded", "died"): ("When did the artist behind {x} die?",),
    ("produced", "born"): ("When was the producer of {x} born?",),
    ("founder", "born"): ("When was the founder of {x} born?",),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What a paragraph says of its subject: kind to (questions, answer)."""

    subject: str
    facts: Mapping[str, tuple[list[str], str]]


def known(documents: Sequence[Mapping[str, Any]]) -> dict[str, Known]:
    """Return what the paragraphs say, by subject; the first paragraph of a name counts."""
    found: dict[str, Known] = {}
    for document in documents:
        subject = document["title"].partition(" (")[0].replace("&amp;", "&")
        facts = {kind: (asked, answer) for kind, asked, answer in facts_of(subject, repaired(document["text"]))}
        if facts and not subject.endswith(("?", "!")):
            found.setdefault(subject, Known(subject, facts))
    return found


def side_by_side(facts: Sequence[Fact], wording: str, source: str) -> Compound:
    """Ask facts that have nothing to do with each other in one question."""
    steps = tuple(Step(place, fact.question, fact.answer) for place, fact in enumerate(facts, start=1))
    question = _worded([fact.question for fact in facts], wording)
    return Compound(question, steps, leads=False, source=source, shape=f"independent {len(facts)}")


def bridges(people: Mapping[str, Known], rng: random.Random) -> Iterator[Compound]:
    """Yield questions whose first answer names the subject of the second."""
    for subject in people.values():
        for (first, second), wordings in _BRIDGES.items():
            if first not in subject.facts or subject.facts[first][1] not in people:
                continue
            asked, name = subject.facts[first]
            if second not in people[name].facts:
                continue
            then, answer = people[name].facts[second]
            steps = Step(1, rng.choice(asked), name), Step(2, rng.choice(then), answer, (1,))
            question = rng.choice(wordings).format(x=subject.subject)
            yield Compound(question, steps, leads=True, source="wikipedia", shape=f"bridge {first}")


def comparisons(people: Mapping[str, Known], rng: random.Random) -> Iterator[Compound]:
    """Yield pairs compared by the year of a work, by date of birth, or by nationality."""
    for kind, ask in (("year", _first_released), ("born", _first_born), ("nation", _same_nation)):
        having = [subject for subject in people.values() if kind in subject.facts]
        rng.shuffle(having)
        for left, right in list(pairwise(having))[::2]:
            made = ask(left, right, rng)
            if made:
                yield made


def bridged_comparisons(people: Mapping[str, Known], rng: random.Random) -> Iterator[Compound]:
    """Yield pairs of films compared by the date of birth of their directors: two bridges and a comparison."""
    films = [film for film in people.values() if "directed" in film.facts and film.facts["directed"][1] in people]
    films = [film for film in films if "born" in people[film.facts["directed"][1]].facts]
    rng.shuffle(films)
    for left, right in list(pairwise(films))[::2]:
        directors = [film.facts["directed"][1] for film in (left, right)]
        dates = [people[name].facts["born"][1] for name in directors]
        years = [int(re.findall(r"\d{4}", date)[0]) for date in dates]
        if years[0] == years[1]:
            continue
        question = f"Which film has the {rng.choice(('older', 'younger'))} director, {left.subject} or {right.subject}?"
        winner = (left, right)[(years[0] < years[1]) != ("older" in question)]
        place = rng.randrange(3)
        first = [
            Step(n, film.facts["directed"][0][place], name)
            for n, film, name in zip((1, 2), (left, right), directors, strict=True)
        ]
        then = [
            Step(n, people[name].facts["born"][0][0], date, (n - 2,))
            for n, name, date in zip((3, 4), directors, dates, strict=True)
        ]
        steps = (*first, *then, Step(5, question, winner.subject, (3, 4)))
        yield Compound(question, steps, leads=True, source="wikipedia", shape="comparison of bridges")


def weighed(count: int, fields: Sequence[Mapping[str, Any]], rng: random.Random) -> Iterator[Compound]:
    """Yield two invented subjects compared by a number that their handbooks give."""
    for _ in range(count):
        field = rng.choice(fields)
        pool = [
            f
            for f in field["facts"]
            if re.search(r"\[\{(?!1[89])\d+-\d+\}", f["say"]) and any("{e}" in q for q in f["ask"])
        ]
        if not pool:
            continue
        fact, (left, right) = rng.choice(pool), rng.sample(field["names"], 2)
        (said, one, asked), (said_too, two, asked_too) = (handbooks.stated(fact, name, rng) for name in (left, right))
        place = rng.choice([p for p, question in enumerate(asked) if left in question])
        numbers = [float(_NUMBER.findall(text)[0].replace(",", "")) for text in (one, two)]
        if numbers[0] == numbers[1]:
            continue
        more = one if numbers[0] > numbers[1] else two
        long = rng.random() < 0.4 and left.lower() in said.lower()
        questions = asked[place], asked_too[place], f"Which is greater, {one} or {two}?"
        steps = (
            Step(1, questions[0], said if long else one),
            Step(2, questions[1], said_too if long else two),
            Step(3, questions[2], more, (1, 2)),
        )
        asked_whole = f"{questions[0][:-1]}, {lower_first(questions[1])[:-1]}, and which of the two is greater?"
        yield Compound(asked_whole, steps, leads=True, source="invented", shape="comparison of numbers")


def scenes(
    rng: random.Random, fields: frozenset[str] | None = None, without: frozenset[str] = frozenset()
) -> Iterator[Compound]:
    """Yield each scene of the file once, worded at random."""
    for scene in yaml.safe_load(SCENES_FILE.read_text(encoding="utf-8")):
        if scene["field"] in without or (fields is not None and scene["field"] not in fields):
            continue
        steps = tuple(
            Step(place, part["ask"], part["say"], tuple(part.get("after", ())))
            for place, part in enumerate(scene["parts"], start=1)
        )
        leads = len(steps) > 2 and len(steps[-1].parents) == len(steps) - 1
        yield Compound(
            handbooks.fill(scene["ask"], "", rng), steps, leads, "written for this", f"scene {scene['field']}"
        )


def with_gap(compound: Compound, rng: random.Random) -> Compound:
    """Take the answer of one step away, and with it those of the steps that were built on it."""
    drawn, last = rng.choice(compound.steps), compound.steps[-1]
    # What a later question shows of a whole sentence cannot be taken back out of it.
    spoils = drawn.answer is not None and is_sentence(drawn.answer) and drawn.number in last.parents
    lost = {last.number if spoils else drawn.number}
    for step in compound.steps:
        if lost & set(step.parents):
            lost.add(step.number)
    if len(lost) == len(compound.steps):
        lost = {last.number}
    answers = {step.number: step.answer or "" for step in compound.steps}
    steps = tuple(_lost(step, lost, answers) if step.number in lost else step for step in compound.steps)
    return replace(compound, steps=steps, shape=f"{compound.shape}, gap")


def _lost(step: Step, lost: set[int], answers: Mapping[int, str]) -> Step:
    """Return a step without its answer; where its question stands on a lost answer it shows the reference again."""
    question = step.question
    for parent in lost & set(step.parents):
        question = question.replace(answers[parent], f"#{parent}")
    return Step(step.number, question, None, step.parents)


def lower_first(question: str) -> str:
    """Return a question as it stands inside another one."""
    return question[:1].lower() + question[1:] if _WH.match(question) else question


def _worded(questions: Sequence[str], wording: str) -> str:
    bare = [question.removesuffix("?") for question in questions]
    inner = [lower_first(question) for question in bare]
    listed = f"{', '.join(inner[:-1])}, and {inner[-1]}?"
    ordinals = ("First", "Second", "Third", "Fourth", "Fifth")
    return {
        "plain": " ".join(questions),
        "and": listed[:1].upper() + listed[1:],
        "tell": f"Please tell me: {listed}",
        "also": f"{questions[0]} " + " ".join(f"Also, {question}?" for question in inner[1:]),
        "questions": f"I have {('two', 'three', 'four', 'five')[len(questions) - 2]} questions. {' '.join(questions)}",
        "know": f"I would like to know: {listed}",
        "ordinal": " ".join(f"{ordinal}, {question}?" for ordinal, question in zip(ordinals, inner, strict=False)),
        "both": f"Could you answer this for me, {listed}",
    }[wording]


def _first_released(left: Known, right: Known, rng: random.Random) -> Compound | None:
    (asked, one), (asked_too, two) = left.facts["year"], right.facts["year"]
    if one == two:
        return None
    winner = left if int(one) < int(two) else right
    question = f"Which was released first, {left.subject} or {right.subject}?"
    if rng.random() < 0.5:
        last = Step(3, f"Which is earlier, {one} or {two}?", min(one, two), (1, 2))
    else:
        last = Step(3, question, winner.subject, (1, 2))
    place = rng.randrange(2)
    steps = Step(1, asked[place], one), Step(2, asked_too[place], two), last
    return Compound(question, steps, leads=True, source="wikipedia", shape="comparison of years")


def _first_born(left: Known, right: Known, rng: random.Random) -> Compound | None:
    (asked, one), (asked_too, two) = left.facts["born"], right.facts["born"]
    years = [int(re.findall(r"\d{4}", text)[0]) for text in (one, two)]
    if years[0] == years[1]:
        return None
    question = rng.choice(("Who was born first, {} or {}?", "Who is older, {} or {}?")).format(
        left.subject, right.subject
    )
    winner = left if years[0] < years[1] else right
    place = rng.randrange(min(len(asked), len(asked_too)))
    steps = Step(1, asked[place], one), Step(2, asked_too[place], two), Step(3, question, winner.subject, (1, 2))
    return Compound(question, steps, leads=True, source="wikipedia", shape="comparison of dates")


def _same_nation(left: Known, right: Known, rng: random.Random) -> Compound | None:
    (asked, one), (asked_too, two) = left.facts["nation"], right.facts["nation"]
    question = f"Do {left.subject} and {right.subject} have the same nationality?"
    last = question if rng.random() < 0.5 else f"Are {one} and {two} the same?"
    steps = Step(1, asked[0], one), Step(2, asked_too[0], two), Step(3, last, "Yes" if one == two else "No", (1, 2))
    return Compound(question, steps, leads=True, source="wikipedia", shape="comparison of nationalities")
