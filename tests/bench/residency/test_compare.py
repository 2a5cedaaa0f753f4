"""Traces and the comparison of brains on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compllm.bench.residency.compare import (
    CLAIRVOYANT,
    LRU,
    OURS,
    compare_brains,
    compare_trace,
    format_residency,
    format_traces,
    together,
)
from compllm.bench.residency.policies import BASELINES
from compllm.bench.residency.traces import random_trace


def test_traces_are_reproducible_and_as_promised() -> None:
    traces = [random_trace(seed, runs=20) for seed in range(20)]
    assert traces[:3] == [random_trace(seed, runs=20) for seed in range(3)]
    for trace in traces:
        sizes_bytes = sorted(model.footprint_bytes for model in trace.models)
        assert sum(sizes_bytes[-2:]) <= trace.devices[0].capacity_bytes
        assert 0.2 <= trace.share <= 0.6
        assert all(3 <= len(run.nodes) <= 12 for run in trace.workload.runs)
    assert {trace.skewed for trace in traces} == {True, False}


def test_every_brain_serves_every_run_of_the_same_traces() -> None:
    report = compare_brains(range(2), runs=15)
    names = {OURS, CLAIRVOYANT, *(baseline.name for baseline in BASELINES)}
    for trace in report.traces:
        assert set(trace.brains) == names
        assert all(figures.p50_s <= figures.p95_s <= figures.makespan_s for figures in trace.brains.values())
        assert trace.brains[CLAIRVOYANT].load_s <= trace.brains[LRU].load_s * 1.05
        assert trace.own_order_s <= trace.brains[OURS].load_s * 1.3
    totals = together(report)
    assert set(totals) == names
    assert totals[OURS].load_s == report.total_load_s(OURS)
    assert report.load_ratio(LRU) == pytest.approx(totals[OURS].load_s / totals[LRU].load_s)
    assert "Belady" in format_residency(report)
    assert len(format_traces(report).splitlines()) == 2


def test_belady_on_our_order_loads_as_slowly_as_we_do() -> None:
    """Where everything fits, whoever loads what is asked for needs just what the simulation says."""
    trace = random_trace(1, runs=15)
    (device,) = trace.devices
    total_bytes = sum(model.footprint_bytes for model in trace.models)
    figures = compare_trace(replace(trace, devices=(replace(device, capacity_bytes=total_bytes),)))
    assert figures.brains[OURS].loads == len({node.model for run in trace.workload.runs for node in run.nodes})
    assert figures.own_order_s == pytest.approx(figures.brains[OURS].load_s)
