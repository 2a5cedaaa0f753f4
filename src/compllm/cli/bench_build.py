"""`compllm bench build`: MultiExpertQA from its sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compllm.bench.evidence.builder.build import Sources, compose, read_material, write
from compllm.cli.common import say
from compllm.errors import ConfigError


def bench_build(out: Path, sources: Sources, counts: Mapping[str, int], seed: int) -> None:
    """Build the sets and say what they have.

    Raises:
        ConfigError: a source is missing or malformed, or the folder cannot be written.
    """
    material = read_material(sources)
    for what, rows in write(compose(material, counts, seed), out).items():
        say(f"{out}: {what}: {rows} rows")


def lines(path: Path | None) -> frozenset[str] | None:
    """Return the first word of every line of a file that is not a comment, or None without one.

    Raises:
        ConfigError: it cannot be read.
    """
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return frozenset(words[0] for line in text.splitlines() if (words := line.split("#")[0].split()))
