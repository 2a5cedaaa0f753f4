"""A clinic of fakes for the systems: two fields, a general expert, and a question for both fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compllm.bench.evidence.rows import EvidenceRow, GoldStep
from compllm.bench.evidence.team import BenchTeam, patient
from compllm.config import TeamFile, load_team
from compllm.experts.fake import FakeExpert
from compllm.settings import Settings
from tests.clinic import CLINIC
from tests.router.encoders import WordEncoder

PULSE, INSULIN = "What is the heart pulse?", "What is insulin of glands?"
ROW = EvidenceRow(
    "p-1",
    "P",
    f"{PULSE} {INSULIN}",
    (("70", "seventy"), ("a hormone",)),
    (
        GoldStep(1, PULSE, "heart", expert="heart", answers=("70", "seventy"), passage="h-1"),
        GoldStep(2, INSULIN, "glands", expert="glands", answers=("a hormone",), passage="g-1"),
    ),
)
BRIDGE = EvidenceRow(
    "d-1",
    "D",
    "What does the organ that has a pulse make?",
    (("warmth",),),
    (
        GoldStep(1, "Which organ has a pulse?", "heart", expert="heart", answers=("heart",)),
        GoldStep(2, "What does #1 make?", "glands", (1,), "glands", ("warmth",)),
    ),
)


def clinic(folder: Path, text: str = CLINIC) -> TeamFile:
    """Write a team file and read it."""
    path = folder / "compllm.yaml"
    path.write_text(text)
    return load_team(path)


def bench_team(folder: Path, variant: Callable[[TeamFile], TeamFile] = patient, **fakes: FakeExpert) -> BenchTeam:
    """Return a team of fakes, to be opened, whose encoder counts words."""
    backends = {"one": FakeExpert(), "two": FakeExpert(), **fakes}
    settings = Settings(folder / "cache", folder / "data")
    return BenchTeam(variant(clinic(folder)), settings, backends=backends, encoder=WordEncoder())
