"""`compllm bench compare`: paired differences between results."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console

from compllm.bench.evidence.records import Record, read_records
from compllm.bench.evidence.summary import Comparison, by_system, compare
from compllm.cli.tables import figures_table
from compllm.errors import ConfigError

_AT = "@"


def bench_compare(first: str, second: str, *, as_json: bool) -> None:
    """Compare two systems, or every system that two files share, and print the differences.

    Raises:
        ConfigError: a file is missing or malformed, or there is nothing in common.
    """
    ours, theirs = _results(first), _results(second)
    if len(ours) == len(theirs) == 1:
        pairs = [(next(iter(ours.values())), next(iter(theirs.values())))]
    else:
        pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    if not pairs:
        raise ConfigError(f"{first} and {second} share no system; name one of each as FILE@SYSTEM")
    compared = [compare(*pair) for pair in pairs]
    if as_json:
        typer.echo(json.dumps([_json(each) for each in compared], indent=1))
        return
    for each in compared:
        title = f"{each.first} over {each.second}: {each.questions} questions, {each.latency_ratio:.2f} x as fast"
        Console(markup=False).print(figures_table(title, [_without_names(row) for row in each.figures()]))


def _results(named: str) -> dict[str, list[Record]]:
    """Return the records of a file by system, or of the one system that is named after the last @."""
    is_whole = Path(named).is_file() or _AT not in named
    path, system = (named, "") if is_whole else named.rsplit(_AT, 1)
    found = by_system(read_records(Path(path)))
    if system and system not in found:
        raise ConfigError(f"{path} has no results of {system!r}, but of {', '.join(found)}")
    return {system: found[system]} if system else found


def _json(comparison: Comparison) -> dict[str, object]:
    return {"latency_ratio": comparison.latency_ratio, "rows": comparison.figures()}


def _without_names(row: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in row.items() if key not in ("first", "second")}
