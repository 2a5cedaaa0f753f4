"""Reads the banks of names, single questions and relations that lie beside this module."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compllm.planner.language import parse_plan
from training.planner.examples import Example, Question
from training.planner.wordings import ended, load, split


@dataclass(frozen=True, slots=True)
class Relation:
    """A way from a thing to another: as a noun phrase inside a question, and as the question of a step."""

    source: str
    target: str
    tag: str
    phrases: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Web:
    """Names by kind, the relations between kinds, and what can be asked of each kind."""

    names: Mapping[str, Sequence[str]]
    relations: Mapping[str, Sequence[Relation]]
    attributes: Mapping[str, Sequence[Question]]


@dataclass(frozen=True, slots=True)
class Field:
    """The single questions of one field: patterns with {x}, what fills them, and whole questions."""

    tag: str
    ask: Sequence[str]
    of: Sequence[str]
    plain: Sequence[str]

    def questions(self) -> list[Question]:
        """Return every question of the field."""
        filled = [pattern.replace("{x}", name) for pattern in self.ask for name in self.of]
        return [Question(ended(text), self.tag) for text in [*self.plain, *filled]]


def fields() -> list[Field]:
    """Return the fields with their questions."""
    return [Field(tag, bank["ask"], bank["of"], bank["plain"]) for tag, bank in load("fields").items()]


def web(rng: random.Random, *, held_out: bool, share: float = 0.15) -> Web:
    """Return the relations over the names for training, or over those held out: a random share of each kind."""
    bank = load("relations")
    names = {}
    for kind, members in bank["entities"].items():
        shuffled = rng.sample(members, len(members))
        cut = max(2, round(share * len(members)))
        names[kind] = shuffled[:cut] if held_out else shuffled[cut:]
    relations: dict[str, list[Relation]] = {}
    for source, target, tag, phrases, questions in bank["relations"]:
        pairs = zip(split(phrases), split(questions), strict=True)
        relations.setdefault(source, []).append(Relation(source, target, tag, tuple(pairs)))
    attributes = {
        kind: [Question(text, tag) for tag, texts in by_tag.items() for text in texts]
        for kind, by_tag in bank["attributes"].items()
    }
    return Web(names, relations, attributes)


def written(path: Path, shape: str = "written") -> list[Example]:
    """Return the examples of a file of blocks: a question, then its plan, then a blank line.

    Lines before the first step belong to the question; lines that begin with `//` are comments.
    """
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("//")]
    blocks = "\n".join(lines).strip().split("\n\n")
    return [_block(block, shape) for block in blocks]


def _block(block: str, shape: str) -> Example:
    question, _, plan = block.partition("\n1. [")
    return Example(question.replace("\\n", "\n"), parse_plan("1. [" + plan), "compllm", shape)
