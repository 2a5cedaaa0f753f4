"""Where things are kept, and what the environment says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compllm.errors import ConfigError
from compllm.settings import load_settings, read_secret, wants_content, wants_traces


def test_settings_come_from_the_environment_or_the_user_s_own_folders() -> None:
    given_ones = load_settings({"COMPLLM_CACHE_DIR": "/c", "COMPLLM_DATA_DIR": "/d"})
    assert (given_ones.cache_dir, given_ones.journal_path) == (Path("/c"), Path("/d/runs.sqlite3"))
    own = load_settings({"COMPLLM_CACHE_DIR": "", "COMPLLM_DATA_DIR": ""})
    assert own.cache_dir.is_absolute()
    assert own.data_dir.is_absolute()


def test_a_home_is_written_as_shells_do() -> None:
    settings = load_settings({"COMPLLM_CACHE_DIR": "~/c", "COMPLLM_DATA_DIR": "/d"})
    assert settings.cache_dir == Path.home() / "c"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only the superuser may become nobody")
def test_a_user_without_a_home_is_told_what_to_set() -> None:
    script = """
import os, sys
from compllm.settings import load_settings
from compllm.errors import ConfigError
for name in [name for name in os.environ if name == "HOME" or name.startswith("XDG_")]:
    del os.environ[name]
os.setuid(54_321)
assert load_settings({"COMPLLM_CACHE_DIR": "/c", "COMPLLM_DATA_DIR": "/d"}).data_dir.name == "d"
try:
    load_settings({"COMPLLM_CACHE_DIR": "/c"})
except ConfigError as error:
    sys.exit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.startswith("this user has no home folder; set COMPLLM_DATA_DIR and COMPLLM_CACHE_DIR")


def test_a_secret_is_read_from_its_variable_and_its_absence_said() -> None:
    assert read_secret(None, "models.m", {}) is None
    assert read_secret("KEY", "models.m", {"KEY": " k \n"}) == "k"
    for environment in ({}, {"KEY": "  "}):
        with pytest.raises(
            ConfigError, match=r"models\.m\.api_key_env: the environment variable KEY is not set; export"
        ):
            read_secret("KEY", "models.m", environment)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_sent_where_the_standard_variables_say(environment: dict[str, str], wanted: bool) -> None:
    assert wants_traces(environment) == wanted
    assert not wants_content(environment)


def test_content_is_traced_only_when_asked_for() -> None:
    assert wants_content({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"})
