"""From similarities to an assignment: pure functions on score vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ScoreMode = Literal["tag", "question", "auto"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An expert that may answer a node, and the model it runs on."""

    expert: str
    model: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which expert answers and why; `candidates` is the failover order, the chosen one first.

    `scores` holds every expert's score in the mode that decided, best first; `score` is the chosen expert's,
    `margin` its distance to the runner-up, `passed` whether the threshold was reached (else the fallback answers).
    """

    candidates: tuple[Candidate, ...]
    mode: Literal["tag", "question", "given"]
    score: float
    margin: float
    passed: bool
    reason: str
    scores: tuple[tuple[str, float], ...] = ()

    @property
    def expert(self) -> str:
        """The expert that was chosen."""
        return self.candidates[0].expert
