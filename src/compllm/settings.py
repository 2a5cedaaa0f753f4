"""Settings of this machine and its user: the only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from compllm.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are kept on this machine."""

    cache_dir: Path
    data_dir: Path

    @property
    def journal_path(self) -> Path:
        """The record of runs."""
        return self.data_dir / "runs.sqlite3"


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read `COMPLLM_CACHE_DIR` and `COMPLLM_DATA_DIR`, else take the user's own directories.

    Raises:
        ConfigError: a variable is not set, and the user has no home.
    """
    try:
        cache = environment.get("COMPLLM_CACHE_DIR") or platformdirs.user_cache_dir("compllm")
        data = environment.get("COMPLLM_DATA_DIR") or platformdirs.user_data_dir("compllm")
        return Settings(Path(cache).expanduser(), Path(data).expanduser())
    except RuntimeError:
        raise ConfigError("this user has no home folder; set COMPLLM_DATA_DIR and COMPLLM_CACHE_DIR") from None


def wants_traces(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the variables of OpenTelemetry name a collector to send traces to."""
    named = any(environment.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_"))
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return named and not off


def wants_content(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether traces are to hold questions and answers, by the variable that OpenTelemetry has for that."""
    return environment.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() == "true"


def read_secret(variable: str | None, wanted_by: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the secret that an environment variable holds.

    Raises:
        ConfigError: the variable is named but not set.
    """
    if variable is None:
        return None
    secret = environment.get(variable, "").strip()
    if not secret:
        raise ConfigError(
            f"{wanted_by}.api_key_env: the environment variable {variable} is not set; "
            "export it with the API key, or remove the line if the server wants none"
        )
    return secret
