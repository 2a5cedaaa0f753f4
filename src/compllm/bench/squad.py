"""How far an answer agrees with gold ones: exact match and token F1 as SQuAD counts them (Rajpurkar et al. 2016)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Return a text in small letters without punctuation, articles and surplus spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(text: str, answers: Sequence[str]) -> bool:
    """Whether a text is one of the answers, once both are normalised."""
    return normalised(text) in map(normalised, answers)


def token_f1(text: str, answers: Sequence[str]) -> float:
    """Return the F1 of the words that a text shares with the answer it is nearest to; 0 without answers."""
    return max((_f1(normalised(text).split(), normalised(answer).split()) for answer in answers), default=0.0)


def contains(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers is in a text, word for word once both are normalised; articles alone are in none."""
    said = f" {normalised(text)} "
    return any(f" {words} " in said for words in map(normalised, answers) if words)


def _f1(said: list[str], gold: list[str]) -> float:
    shared = sum((Counter(said) & Counter(gold)).values())
    return 2 * shared / (len(said) + len(gold)) if shared else float(said == gold)
