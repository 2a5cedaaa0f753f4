"""Draws when what ran, and what memory it took: bars and steps in per cent of the time shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compllm.core.ledger import REMOTE
from compllm.explain import Explanation, LoadStory, NodeStory
from compllm.serve.page import words

_LEAST_WIDTH = 0.4


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time, in per cent; `kind` is waiting, running, failed, loading, planning or joining."""

    start: float
    width: float
    kind: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the timeline; a node's has its number."""

    label: str
    bars: tuple[Bar, ...]
    when: str
    node: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the models of a run held on a device over time.

    `points` are `(per cent of the time, per cent of the peak)`, a step function from its first to its last moment.
    """

    device: str
    peak_bytes: int
    points: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run over time; `until_s` is what 100 per cent stand for, `critical` are the nodes that decided its end."""

    until_s: float
    rows: tuple[Row, ...]
    memory: tuple[Memory, ...]
    critical: tuple[int, ...]


def timeline(
    run: Explanation, *, until_s: float | None = None, footprints_bytes: Mapping[str, int] | None = None
) -> Timeline:
    """Draw a run from its start to `until_s`, or to its end.

    `footprints_bytes` are those of models, as far as they are known: a run does not record what was resident before.
    """
    until_s = max(run.elapsed_s, until_s or 0.0)
    scale = 100 / until_s if until_s > 0 else 0.0
    memory = tuple(_memory(run, scale, footprints_bytes or {}))
    return Timeline(until_s, tuple(_rows(run, scale)), memory, tuple(step.node for step in run.critical_path))


# --- what ran --------------------------------------------------------------------------------------------------------


def _rows(run: Explanation, scale: float) -> Iterator[Row]:
    end_s = run.elapsed_s
    planned_s = run.phases.planning_s
    yield Row("plan", (_bar(0.0, planned_s, "planning", scale),), words.span(0.0, run.plan_closed_s))
    begun = [(load.started_s, _load_row(load, end_s, scale)) for load in run.loads]
    begun += [(node.added_s, _node_row(node, end_s, scale)) for node in run.nodes]
    yield from (row for _, row in sorted(begun, key=lambda each: each[0]))
    if (joining_s := run.aggregation_started_s) is not None:
        when = words.span(joining_s, None if run.status == "running" else end_s)
        yield Row("join", (_bar(joining_s, end_s, "joining", scale),), when)


def _load_row(load: LoadStory, end_s: float, scale: float) -> Row:
    kind = "loading" if load.failure is None else "failed"
    bar = _bar(load.started_s, _or(load.ended_s, end_s), kind, scale)
    return Row(f"load {load.model}", (bar,), words.span(load.started_s, load.ended_s))


def _node_row(node: NodeStory, end_s: float, scale: float) -> Row:
    bars = [_bar(node.added_s, _or(node.ended_s, end_s), "waiting", scale)]
    for attempt in node.attempts:
        kind = "running" if attempt.failure is None else "failed"
        bars.append(_bar(attempt.started_s, _or(attempt.ended_s, end_s), kind, scale))
    ran = node.started_s is not None
    when = words.span(node.started_s, node.ended_s) if node.started_s is not None else node.state
    if ran and node.state not in {"completed", "running"}:
        when += f" {node.state}"
    return Row(f"#{node.node} {node.expert or 'nobody'}", tuple(bars), when, node.node)


def _bar(started_s: float, ended_s: float, kind: str, scale: float) -> Bar:
    width = max(_LEAST_WIDTH, (ended_s - started_s) * scale)
    return Bar(round(min(started_s * scale, 100 - _LEAST_WIDTH), 2), round(width, 2), kind)


def _or(at_s: float | None, end_s: float) -> float:
    return end_s if at_s is None else at_s


# --- what memory it took ---------------------------------------------------------------------------------------------


def _memory(run: Explanation, scale: float, footprints_bytes: Mapping[str, int]) -> Iterator[Memory]:
    for device in sorted(_devices(run)):
        before = _resident_before(run, device)
        changes = _changes(run, device, before, footprints_bytes)
        levels = _levels(changes, run.elapsed_s)
        peak_bytes = max(level for _, level in levels)
        unknown = sorted(model for model in before if not footprints_bytes.get(model))
        notes = [f"{', '.join(sorted(before))} had been loaded before"] if before else []
        notes += [f"the size of {', '.join(unknown)} is not known"] if unknown else []
        points = tuple((round(at_s * scale, 2), _share(level, peak_bytes)) for at_s, level in levels)
        yield Memory(device, peak_bytes, points, tuple(notes))


def _devices(run: Explanation) -> set[str]:
    """Return the devices that have memory of their own and that the run used."""
    used = {load.device for load in run.loads} | {each.device for each in run.departures}
    used |= {attempt.device for node in run.nodes for attempt in node.attempts}
    return used - {REMOTE}


def _resident_before(run: Explanation, device: str) -> set[str]:
    """Return the models that ran on the device, or left it, and that had not been loaded in this run before."""
    first_load_s: dict[str, float] = {}
    for load in run.loads:
        if load.device == device:
            first_load_s.setdefault(load.model, load.started_s)
    seen = [(a.model, a.started_s) for node in run.nodes for a in node.attempts if a.device == device]
    seen += [(each.model, each.at_s) for each in run.departures if each.device == device]
    return {model for model, at_s in seen if at_s < first_load_s.get(model, float("inf"))}


def _changes(
    run: Explanation, device: str, before: set[str], footprints_bytes: Mapping[str, int]
) -> list[tuple[float, int]]:
    """Return by how many bytes the memory in use changed, and when; a load counts from its beginning."""
    held = {model: footprints_bytes.get(model, 0) for model in before}
    changes = [(0.0, sum(held.values()))]
    loads = [(load.started_s, load.model, load) for load in run.loads if load.device == device]
    leaves = [(each.at_s, each.model, None) for each in run.departures if each.device == device]
    for at_s, model, load in sorted([*leaves, *loads], key=lambda each: each[0]):
        if load is None:
            changes.append((at_s, -held.pop(model, 0)))
        elif load.failure is None:
            held[model] = load.footprint_bytes or footprints_bytes.get(model, 0)
            changes.append((at_s, held[model]))
    return changes


def _levels(changes: Sequence[tuple[float, int]], end_s: float) -> list[tuple[float, int]]:
    """Return the corners of the step function that the changes add up to."""
    level = 0
    corners: list[tuple[float, int]] = []
    for at_s, change in changes:
        corners += [(at_s, level), (at_s, level + change)]
        level += change
    return [*corners[1:], (max(end_s, corners[-1][0]), level)]


def _share(level: int, peak_bytes: int) -> float:
    return round(100 * level / peak_bytes, 2) if peak_bytes else 0.0
