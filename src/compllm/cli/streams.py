"""The standard streams as a shell may leave them: closed, full, or in an encoding that lacks characters."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys

from compllm.errors import ConfigError

_AS_JSON = "compllm.as_json"


def prepare_streams() -> None:
    """Put the null device in the place of closed streams, and let output escape what its encoding has no character for.

    Raises:
        ConfigError: standard output is closed, so that nobody would get what was asked for.
    """
    if sys.stdin is None:
        sys.stdin = _null("r")
    nobody_reads = sys.stdout is None
    if nobody_reads:
        sys.stdout = _null("w")
    if sys.stderr is None:
        sys.stderr = _null("w")
    if nobody_reads:
        raise ConfigError("standard output is closed; send it to /dev/null if nobody is to read it")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        codecs.register_error(_AS_JSON, _escaped)
        sys.stdout.reconfigure(errors=_AS_JSON)


def drop_output() -> None:
    """Let go of what standard output holds and cannot write, so that it does not fail again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _null(mode: str) -> io.TextIOWrapper:
    # The lowest free number is that of the closed stream; a file opened later must not get it.
    return io.TextIOWrapper(os.fdopen(os.open(os.devnull, os.O_RDWR), f"{mode}b"))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Write characters as JSON escapes them: that is right within JSON, and legible elsewhere."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
