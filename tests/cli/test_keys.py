"""`compllm keys new`: a key, and the entry that goes into the team file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from compllm.config import ServerConfig
from compllm.serve.keys import KeyedAccess
from tests.cli.conftest import Invoke


def test_the_entry_that_is_printed_lets_the_key_in(invoke: Invoke, folder: Path) -> None:
    printed = invoke("keys", "new", "alice")
    key, _, rest = printed.stdout.partition("\n")
    entry = yaml.safe_load(rest[rest.index("server:") :])
    access = KeyedAccess(ServerConfig.model_validate(entry["server"]))
    assert access.caller_of(key).name == "alice"
    assert key not in rest
    assert list(folder.iterdir()) == []
    assert invoke("keys", "new", "alice").stdout.partition("\n")[0] != key


@pytest.mark.parametrize("name", ["", "two words", "a\nhash: x", "x" * 65, "../x"])
def test_a_name_that_would_be_none_in_the_file_is_refused(invoke: Invoke, name: str) -> None:
    refused = invoke("keys", "new", name)
    assert refused.exit_code == 2
    assert "cllm-" not in refused.stdout
