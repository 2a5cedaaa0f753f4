"""Gives a field to steps that come without one: the vote of the nearest questions whose field is known."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compllm.core.plan import SubQuery
from compllm.router.onnx_encoder import OnnxEncoder
from training.planner.examples import Question

NEIGHBOURS = 12

_COMPARES = re.compile(
    r"\b(greater|less|fewer|larger|smaller|more than|before|after|older|younger|at least|at most|equal|higher|lower|"
    r"longer|shorter|within|exceed|between|earlier|later|divided|plus|minus|times|difference|sum|overlap|same year)\b"
)
_REFERENCE = re.compile(r"#\d+")
_CONTENT = re.compile(r"[A-Za-z]{4,}")


class Tagger:
    """Knows questions with their fields; the vote of the nearest is the field of another question."""

    def __init__(self, encoder: OnnxEncoder, known: Sequence[Question]) -> None:
        self._encoder = encoder
        self._tags = [question.tag for question in known]
        self._vectors = encoder.encode([question.text for question in known])

    def tags(self, texts: Sequence[str]) -> list[str]:
        """Return the field of each text; the time grows with texts times known questions."""
        if not texts:
            return []
        near = self._encoder.encode(list(texts)) @ self._vectors.T
        return [self._vote(row) for row in near]

    def _vote(self, near: NDArray[np.float32]) -> str:
        votes: dict[str, float] = defaultdict(float)
        for index in np.argsort(near)[::-1][:NEIGHBOURS]:
            votes[self._tags[index]] += float(near[index]) ** 3
        return max(votes, key=lambda tag: votes[tag])


def tag_steps(steps: Sequence[SubQuery], found: Sequence[str]) -> list[SubQuery]:
    """Return the steps with their fields: comparing is mathematics, a step of few words stays with its parent."""
    tagged: list[SubQuery] = []
    for step, tag in zip(steps, found, strict=True):
        words = _CONTENT.findall(_REFERENCE.sub("", step.text))
        if step.references and _COMPARES.search(step.text) and len(words) < 5:
            tag = "mathematics"
        elif step.references and len(words) < 5:
            tag = tagged[min(step.references) - 1].tag or tag
        tagged.append(SubQuery(step.id, step.text, tag, step.after))
    return tagged
