from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from compllm.bench.evidence.systems.base import Endpoint, Setting
from compllm.bench.evidence.systems.table import SYSTEMS, named
from compllm.errors import ConfigError
from compllm.settings import Settings
from tests.bench.evidence.lab import clinic

pytestmark = pytest.mark.anyio


def test_systems_are_found_by_name() -> None:
    assert list(named(["top1", "compllm"])) == ["top1", "compllm"]
    with pytest.raises(ConfigError, match="no system 'moa'; use some of monolith"):
        named(["moa"])


async def test_autogen_needs_an_endpoint(tmp_path: Path) -> None:
    setting = Setting(clinic(tmp_path), Settings(tmp_path, tmp_path))
    with pytest.raises(ConfigError, match="--endpoint"):
        async with SYSTEMS["autogen"](setting):
            pass


@pytest.mark.skipif(find_spec("autogen_agentchat") is not None, reason="it is installed")
async def test_a_missing_autogen_is_named(tmp_path: Path) -> None:
    setting = Setting(clinic(tmp_path), Settings(tmp_path, tmp_path), Endpoint("http://127.0.0.1:9/v1", "m"))
    with pytest.raises(ConfigError, match="pip install"):
        async with SYSTEMS["autogen"](setting):
            pass
