"""Teams of fake experts for the server."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from compllm.config import load_team
from compllm.executor import Observer
from compllm.experts.base import Backend
from compllm.experts.fake import FakeExpert
from compllm.pipeline import Team
from compllm.settings import Settings
from tests.clinic import CLINIC
from tests.router.encoders import WordEncoder
from tests.serve.running import Log

FILE = f"{CLINIC}limits: {{runs: 40, question_characters: 2000}}\n"

MakeTeam = Callable[..., Team]


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    """Take in what the server logs."""
    handler = Log()
    logger = logging.getLogger("compllm")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def make_team(tmp_path: Path) -> MakeTeam:
    """Return a function that makes a team; its models are given by name, or echo in capitals."""

    def make(text: str = FILE, observers: Sequence[Observer] = (), **backends: Backend) -> Team:
        path = tmp_path / "compllm.yaml"
        path.write_text(text)
        file = load_team(path)
        given = {name: backends.get(name) or FakeExpert(str.upper) for name in file.config.models}
        settings = Settings(tmp_path / "cache", tmp_path / "data")
        return Team(file, settings, backends=given, encoder=WordEncoder(), observers=observers)

    return make
