"""Simulations as text and as JSON."""

from __future__ import annotations

import json

from compllm.core.ledger import Device, Model
from compllm.core.simulation import FinishedRun, SimulationResult, Stay, Summary, summarise
from compllm.simulation.report import as_plain, render_report

GIB = 2**30


def summary(end: str = "answered", devices: int = 1, users: int = 1) -> Summary:
    runs = tuple(FinishedRun(f"r{n}", f"u{n}", 0.0, 4.0 + n, 1, 1, 2.0, end) for n in range(users))  # type: ignore[arg-type]
    stays = (Stay("a", "d0", GIB, GIB, 0.0, 1.0, 4.0, 2.0, "evicted"),)
    machines = tuple(Device(f"d{n}", 2 * GIB) for n in range(devices))
    return summarise(SimulationResult((Model("a"),), machines, runs, (), stays, 10.0, 5))


def test_a_report_has_a_column_for_each_simulation() -> None:
    lines = render_report({"as it is": summary(), "d0=4GiB": summary()}).splitlines()
    assert lines[0].split("  ")[-2:] == ["as it is", "d0=4GiB"]
    assert len({len(line) for line in lines}) == 1
    figures = {line[:20].strip(): line[20:].split() for line in lines[1:]}
    assert figures["latency p95, s"] == ["4.00", "4.00"]
    assert figures["d0: memory in use"] == ["20.0%", "20.0%"]
    assert figures["d0: most held, GiB"] == ["1.00", "1.00"]
    assert figures["swaps (evictions)"] == ["1", "1"]


def test_trouble_is_named_when_anybody_had_any() -> None:
    assert "past their deadline" not in render_report({"a": summary()})
    both = render_report({"a": summary(), "b": summary("late")})
    assert "past their deadline 0 1" in " ".join(both.split())


def test_many_devices_are_put_together_and_a_single_user_is_not_named() -> None:
    report = render_report({"a": summary(devices=20)})
    assert "memory in use, mean of devices   1.0%" in report
    assert "d0" not in report
    assert "u0" not in report


def test_users_are_named_while_they_are_few() -> None:
    assert "u1: latency p95, s" in render_report({"a": summary(users=2)})
    many = render_report({"a": summary(users=20)})
    assert "fairness over users (Jain)" in many
    assert "u1" not in many


def test_what_is_not_a_number_is_a_dash_and_null() -> None:
    empty = summary("failed")
    assert "latency p50, s - " in " ".join(render_report({"a": empty}).split())
    plain = as_plain({"a": empty})
    assert json.loads(json.dumps(plain, allow_nan=False))["a"]["latency"]["p50_s"] is None
    assert plain["a"]["devices"]["d0"]["peak_bytes"] == GIB
