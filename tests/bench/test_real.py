"""The bench on workers, with fakes in their place: who is asked what, and what the figures say."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from compllm.bench.real import (
    Composition,
    Query,
    WorkerTeam,
    forget,
    format_composition,
    measure_composition,
    mixed_queries,
    predicted_s,
)
from compllm.bench.residency.live import format_live, measure_swapping
from compllm.core.answers import SubAnswer
from compllm.core.learning import Company
from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.experts.fake import FakeExpert
from tests.wiring import questions

pytestmark = pytest.mark.anyio
MIB = 2**20


def fake_team(count: int, capacity_bytes: int | None = None) -> WorkerTeam:
    """Models of 1 MiB whose answers take a hundredth of a second, any number of them side by side."""
    names = [f"model{n}" for n in range(count)]
    fakes = {name: FakeExpert(first_token_s=0.01, load_s=0.002, footprint_bytes=MIB) for name in names}
    models = tuple(Model(name, MIB, slots=4, devices=("cpu",)) for name in names)
    return WorkerTeam(fakes, models, Device("cpu", capacity_bytes or count * MIB, cores=count))


def test_queries_are_mixed_and_spread_over_all_models() -> None:
    queries = mixed_queries(24)
    assert len({query.prompt[:8] for query in queries}) == 24
    assert {query.tokens for query in queries} == {16, 64, 96}
    assert min(len(q.prompt) for q in queries) * 3 < max(len(q.prompt) for q in queries)
    for count in (1, 2, 3, 4):
        models = [query.model(count) for query in queries]
        assert {models.count(f"model{n}") for n in range(count)} == {24 // count}
        kinds = {(query.kind, query.model(count)) for query in queries}
        assert len(kinds) == 4 * count


async def test_every_slot_reads_something_else_that_begins_like_no_query() -> None:
    fakes = {"model0": FakeExpert(), "model1": FakeExpert()}
    await forget(fakes)
    for fake in fakes.values():
        read = questions(fake)
        assert len(set(read)) == len(read) == 8
        assert not {text[:4] for text in read} & {query.prompt[:4] for query in mixed_queries(24)}


async def test_the_same_queries_are_answered_in_all_ways() -> None:
    figures = await measure_composition(2, 8, naive=True, build=fake_team)
    assert figures.queries == figures.equal == 8
    assert figures.naive_ended
    assert figures.sequential_s > 8 * 0.01
    assert figures.composed_s >= 0.01
    assert figures.predicted_s > 0
    assert "OMP_WAIT_POLICY" not in os.environ


def test_figures_are_ratios_of_the_same_work() -> None:
    figures = Composition(
        4,
        24,
        10.0,
        15.0,
        60.0,
        naive_ended=False,
        predicted_s=8.0,
        over_sequential=1.5,
        prediction_error=0.2,
        equal=24,
    )
    assert figures.over_naive == pytest.approx(6.0)
    assert replace(figures, naive_s=None).over_naive is None
    assert "at least 6.00 x" in format_composition(figures)


async def test_the_prediction_counts_on_batches_and_on_what_sharing_the_device_costs() -> None:
    team, queries = fake_team(2), mixed_queries(8)
    scheduler = Scheduler(team.models, [team.device])
    for query in queries:
        answer = SubAnswer("", query.expert(2), query.model(2), completion_tokens=10, ttft_s=0.2, elapsed_s=1.0)
        scheduler.estimates.learn(query.model(2), "cpu", answer, Company(), ())
    assert predicted_s(scheduler, team, queries) == pytest.approx(1.0)
    alone = replace(team.device, cores=1)
    assert predicted_s(scheduler, replace(team, device=alone), queries) == pytest.approx(2.0)


async def test_three_models_share_a_budget_for_two_under_both_brains() -> None:
    report = await measure_swapping(16, 0.005, fake_team)
    assert report.budget_bytes == 2 * MIB
    for figures in (report.ours, report.lru):
        assert figures.loads >= 3
        assert figures.p50_s <= figures.p95_s <= figures.makespan_s
        assert figures.samples > 0
    assert "budget 2 MiB" in format_live(report)


def test_a_query_names_its_expert_by_kind_and_model() -> None:
    assert Query(5, "essay", "?", 64).expert(4) == "essay on model2"
