"""Simulations as text: one column for each, so that what a change would bring can be read across."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from compllm.core.simulation import Summary

# Counts of trouble are left out when nobody had any.
_TROUBLE = {
    "gaps": "answered with gaps",
    "failed": "failed",
    "late": "past their deadline",
    "cancelled": "cancelled",
    "refused": "refused",
}
_OPTIONAL = {*_TROUBLE.values(), "failed loads", "crashes", "failed attempts"}
# More devices or users than this are not listed one by one.
_MOST_LISTED = 8


def render_report(summaries: Mapping[str, Summary]) -> str:
    """Return a table with a column for each simulation of the same devices and users."""
    columns = [dict(_figures(summary)) for summary in summaries.values()]
    names = [name for name in columns[0] if name not in _OPTIONAL or any(column[name] != "0" for column in columns)]
    return _aligned([["", *summaries], *([name, *(column[name] for column in columns)] for name in names)])


def as_plain(summaries: Mapping[str, Summary]) -> dict[str, Any]:
    """Return the figures as what JSON can hold; what is not a number becomes null."""
    return {name: _plain(asdict(summary)) for name, summary in summaries.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _figures(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "runs", f"{summary.runs:,}"
    yield "answered", f"{summary.ends.get('answered', 0):,}"
    for end, name in _TROUBLE.items():
        yield name, f"{summary.ends.get(end, 0):,}"
    yield "throughput, runs/s", _number(summary.throughput_per_s, 3)
    yield "latency p50, s", _number(summary.latency.p50_s, 2)
    yield "latency p95, s", _number(summary.latency.p95_s, 2)
    yield "latency p99, s", _number(summary.latency.p99_s, 2)
    yield "makespan, s", _number(summary.makespan_s, 1)
    yield "loads", f"{summary.loads:,}"
    yield "loading, s", _number(summary.load_s, 1)
    yield "loaded, GiB", _gib(summary.loaded_bytes)
    yield "swaps (evictions)", f"{summary.swaps:,}"
    yield "failed loads", f"{summary.failed_loads:,}"
    yield "crashes", f"{summary.crashes:,}"
    yield "failed attempts", f"{summary.failed_attempts:,}"
    yield "slots in use", _percent(summary.slot_share)
    yield from _device_figures(summary)
    yield from _user_figures(summary)


def _device_figures(summary: Summary) -> Iterator[tuple[str, str]]:
    if len(summary.devices) > _MOST_LISTED:
        yield "memory in use, mean of devices", _percent(fmean(use.memory_share for use in summary.devices.values()))
        yield "cores in use, mean of devices", _percent(fmean(use.core_share for use in summary.devices.values()))
        return
    for name, use in summary.devices.items():
        yield f"{name}: memory in use", _percent(use.memory_share)
        yield f"{name}: most held, GiB", _gib(use.peak_bytes)
        yield f"{name}: cores in use", _percent(use.core_share)


def _user_figures(summary: Summary) -> Iterator[tuple[str, str]]:
    if len(summary.users) < 2:
        return
    yield "fairness over users (Jain)", _number(summary.fairness, 3)
    if len(summary.users) <= _MOST_LISTED:
        for name, share in summary.users.items():
            yield f"{name}: latency p95, s", _number(share.latency.p95_s, 2)


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"


def _gib(count_bytes: float) -> str:
    return f"{count_bytes / 2**30:,.2f}"


def _aligned(table: Sequence[Sequence[str]]) -> str:
    first, *widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        for name, *cells in table
    )
    return "\n".join(line.rstrip() for line in lines)
