"""Other people's clients, unmodified: litellm, langchain, llm, pydantic-ai.

Each runs in a process of its own: they take seconds to import, leave connections open, and warn of themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.conftest import MakeTeam
from tests.serve.serving import Served, serving
from tests.serve.test_chat import ANSWER, LINES, QUESTION

CLIENTS = Path(__file__).parent / "clients"
TALK = ["WHAT IS THE HEART PULSE?", "WHAT IS THE HEART RATE?"]


@pytest.fixture
def served(make_team: MakeTeam) -> Iterator[Served]:
    with serving(make_team()) as running:
        yield running


def got(client: str, served: Served, **environment: str) -> dict[str, Any]:
    """Return what a client prints that it has got."""
    command = [sys.executable, "-W", "ignore", str(CLIENTS / f"with_{client}.py"), served.base_url, QUESTION]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert set(found["answers"]) == {ANSWER}
    return found


def test_litellm(served: Served) -> None:
    found = got("litellm", served, LITELLM_LOCAL_MODEL_COST_MAP="True")  # else its import asks the network
    assert set(found["reasoning"].splitlines()) == LINES
    assert (found["total_tokens"], found["dimensions"]) == (20, 128)
    assert "there is no model 'gpt-4'" in found["refusal"]


def test_langchain(served: Served) -> None:
    found = got("langchain", served)
    assert (found["total_tokens"], found["dimensions"]) == (20, 128)


def test_llm(served: Served, tmp_path: Path) -> None:
    entry = f'- model_id: team\n  model_name: clinic\n  api_base: "{served.base_url}"\n'
    (tmp_path / "extra-openai-models.yaml").write_text(entry)
    # No plugins: the package of the bundled weights is one, and wants a runtime that is not there.
    assert got("llm", served, LLM_USER_PATH=str(tmp_path), LLM_LOAD_PLUGINS="")["talk"] == TALK


def test_pydantic_ai(served: Served) -> None:
    found = got("pydantic_ai", served)
    assert found["talks"] == [TALK, TALK]
    assert all("→ heart" in thought for thoughts in found["thoughts"] for thought in thoughts)
    assert all(found["thoughts"])
