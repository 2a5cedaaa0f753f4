"""Questions that ask several things at once, none of which needs another."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from training.planner.banks import Field
from training.planner.examples import Example, Question, plan_of
from training.planner.wordings import bare, ended, small, wordings

Joiner = Callable[[Sequence[str], random.Random], str]

_NUMBER = {2: "two", 3: "three", 4: "four", 5: "five"}


def linked(texts: Sequence[str], rng: random.Random) -> str:
    """Join questions as sentences: "A? Also, b?"."""
    link = rng.choice(wordings("links"))
    opening = rng.choice(("", "", "", "Please tell me the following: ", "First, ", "Hi! ", "Question: "))
    first = small(texts[0]) if opening == "First, " else texts[0]
    return opening + first + "".join(link.format(s=small(text), q=text) for text in texts[1:])


def listed(texts: Sequence[str], rng: random.Random) -> str:
    """Join questions as a list: "Answer each part. (a) A? (b) B?"."""
    marks = rng.choice(wordings("marks"))
    opening = rng.choice(wordings("openings"))
    if len(texts) > 2 and "both" in opening:
        opening = ""
    opening = opening.format(n=_NUMBER[len(texts)], N=_NUMBER[len(texts)].capitalize())
    breaks = marks[0] in ("- ", "* ") or rng.random() < 0.25
    items = [mark + (small(text) if mark.endswith(", ") else text) for mark, text in zip(marks, texts, strict=False)]
    gap = "\n" if breaks else " "
    return (opening.rstrip() + gap if opening else "") + gap.join(items)


def one_sentence(texts: Sequence[str], rng: random.Random) -> str:
    """Join questions into one sentence: "A, and b?" or "A; b; and c?"."""
    asking: str = rng.choice(wordings("askings"))
    if len(texts) != 2:
        asking = asking.replace("two things", f"{_NUMBER[len(texts)]} things")
    parts = [bare(text) for text in texts]
    inner = [small(part) for part in parts]
    if asking.startswith("{list}"):
        inner[0] = parts[0]
    sep = rng.choice((", ", ", ", "; "))
    last = rng.choice((", and ", ", and ", " and ", "; and ")) if sep != "; " else rng.choice(("; and ", "; "))
    text = asking.format(list=sep.join(inner[:-1]) + last + inner[-1])
    return text[0].upper() + text[1:] if not asking.startswith("{list}") else text


def then(texts: Sequence[str], rng: random.Random) -> str:
    """Join questions with "Then," between them."""
    opening = rng.choice(("Please tell me the following: ", "Tell me first: ", "First answer this: ", ""))
    link = rng.choice((" Then, ", " Then ", " And then: ", " After this, "))
    return opening + link.join([texts[0], *(small(text) for text in texts[1:])])


def joined(texts: Sequence[str], rng: random.Random) -> str:
    """Join questions in any of the ways above."""
    way = rng.choices((linked, listed, one_sentence, then), (5, 5, 4, 1))[0]
    return way(texts, rng)


def independent(
    bank: Sequence[Question], rng: random.Random, source: str, *, count: int, join: Joiner = joined
) -> Example:
    """Return a question that asks `count` different questions of the bank, of different fields where it can be."""
    chosen: list[Question] = []
    while len(chosen) < count:
        question = rng.choice(bank)
        known = {other.tag for other in chosen}
        if question not in chosen and (question.tag not in known or rng.random() < 0.15):
            chosen.append(question)
    text = join([question.text for question in chosen], rng)
    return Example(text, plan_of(chosen), source, f"independent-{count}")


def together(parts: list[Example], rng: random.Random) -> Example:
    """Return a question that asks several whole questions, each with its own plan."""
    rng.shuffle(parts)
    steps: list[Question] = []
    for part in parts:
        before = len(steps)
        steps += [Question(_shifted(step.text, before), step.tag or "") for step in part.plan.steps]
    return Example(joined([part.question for part in parts], rng), plan_of(steps), "compllm", "together")


def _shifted(text: str, by: int) -> str:
    return re.sub(r"#(\d+)", lambda match: f"#{int(match[1]) + by}", text)


_AGREEMENT = ((" is {x}", " are {x}"), (" was {x}", " were {x}"), (" does {x}", " do {x}"), (" has {x}", " have {x}"))


def shared_head(field: Field, rng: random.Random) -> Example:
    """Return a question about two or three things at once: "Who wrote Dracula and Beloved?"."""
    pattern = rng.choice([ask for ask in field.ask if ask.endswith("?")])
    names = rng.sample(list(field.of), rng.choice((2, 2, 3)))
    steps = [Question(pattern.replace("{x}", name), field.tag) for name in names]
    if len(names) == 2 and rng.random() < 0.5:
        text = rng.choice(wordings("same")).format(
            first=bare(steps[0].text), other=names[1], second=small(bare(steps[1].text))
        )
    else:
        several = ", ".join(names[:-1]) + " and " + names[-1]
        if rng.random() < 0.2:
            several = "both " + several if len(names) == 2 else several
        for one, many in _AGREEMENT:
            pattern = pattern.replace(one, many)
        text = pattern.replace("{x}", several)
    return Example(text, plan_of(steps), "compllm", f"shared-head-{len(names)}")


_IT = re.compile(r"\{x\}(?!')")


def two_of_one(field: Field, rng: random.Random) -> Example:
    """Return two questions about one thing: "Who wrote Dracula, and when was it published?"."""
    first, second = rng.sample([ask for ask in field.ask if ask.endswith("?")], 2)
    name = rng.choice(list(field.of))
    steps = [Question(ask.replace("{x}", name), field.tag) for ask in (first, second)]
    pronoun = "it" if rng.random() < 0.8 else name
    text = rng.choice(("{a}, and {b}?", "{a} and {b}?", "{a}? And {b}?", "{a}? Also, {b}?")).format(
        a=bare(steps[0].text), b=small(bare(_IT.sub(pronoun, second)))
    )
    return Example(ended(text), plan_of(steps), "compllm", "two-of-one")
