"""How people put several questions into one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_SMALL = frozenset(
    (
        "about", "after", "approximately", "as", "at", "by", "during", "for", "from", "how", "in", "of", "on", "since",
        "to", "what", "when", "where", "which", "who", "whose", "why", "with",
    )
)  # fmt: skip


def together(questions: Sequence[str], rng: random.Random) -> str:
    """Return one text that asks all the questions, in their order."""
    forms: list[Callable[[Sequence[str]], str]] = [_plain, _announced, _quiz, _ordered]
    if all(question.split()[0].lower() in _SMALL for question in questions[1:]):
        forms += [_listed, _listed, _also, _polite]
    return rng.choice(forms)(questions)


def lowered(question: str) -> str:
    """Return a question that goes on a sentence."""
    first = question.split()[0].lower()
    return question[:1].lower() + question[1:] if first in _SMALL else question


def _bare(question: str) -> str:
    return question.rstrip(" ?.")


def _plain(questions: Sequence[str]) -> str:
    return " ".join(questions)


def _announced(questions: Sequence[str]) -> str:
    return f"I have {_NUMBERS[len(questions)]} questions: {' '.join(questions)}"


def _quiz(questions: Sequence[str]) -> str:
    return f"For a quiz I need {_NUMBERS[len(questions)]} answers. {' '.join(questions)}"


def _ordered(questions: Sequence[str]) -> str:
    return " ".join(f"{number}) {question}" for number, question in enumerate(questions, start=1))


def _listed(questions: Sequence[str]) -> str:
    first, *others = map(_bare, questions)
    *middle, last = map(lowered, others)
    return f"{', '.join([first, *middle])}, and {last}?"


def _also(questions: Sequence[str]) -> str:
    first, *others = questions
    return " ".join([first, *(f"And {lowered(question)}" for question in others)])


def _polite(questions: Sequence[str]) -> str:
    *others, last = [_bare(lowered(question)) for question in questions]
    return f"Could you tell me {', '.join(others)}, and {last}?"
