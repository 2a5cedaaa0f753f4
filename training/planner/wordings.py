"""How questions are put together in words: the bank of openings, links, marks and frames."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

BANKS = Path(__file__).parent / "banks"


@cache
def load(name: str) -> Any:
    """Return the content of a bank."""
    return yaml.safe_load((BANKS / f"{name}.yaml").read_text(encoding="utf-8"))


def wordings(name: str) -> list[Any]:
    """Return the wordings of this name; one that stands several times is to be drawn so much more often."""
    found: list[Any] = load("wordings")[name]
    return found


def split(text: str) -> list[str]:
    """Return the alternatives of a text like `a | b`."""
    return [part.strip() for part in text.split("|")]


def small(text: str) -> str:
    """Return a question as it stands inside a sentence: without the capital, unless the first word is a name."""
    first = re.match(r"[A-Za-z]+", text)
    if first is None or first[0].lower() not in _small_words():
        return text
    return text[0].lower() + text[1:]


@cache
def _small_words() -> frozenset[str]:
    return frozenset(load("wordings")["small"].split())


def bare(text: str) -> str:
    """Return a question without the mark at its end."""
    return text.rstrip(" ?.!")


def ended(text: str) -> str:
    """Return a text with a mark at its end: imperatives get a full stop."""
    return text if text[-1] in "?.!" else text + "."
