"""What the metrics count, and that they hold nothing of what was asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from compllm.core import events as ev
from compllm.core.inspection import DeviceSnapshot, ReplicaSnapshot, Snapshot
from compllm.errors import ExpertResponseError
from compllm.experts.fake import FakeExpert
from compllm.pipeline import Team
from compllm.planner.language import parse_plan
from compllm.serve.metrics import Metrics
from tests.serve.conftest import FILE, MakeTeam

pytestmark = pytest.mark.anyio
PLAN = parse_plan("1. [heart] What is pulse?\n2. [glands] What is insulin?\n3. [heart] Does #1 change #2?")
NOTHING = Snapshot((), (), {}, 0)
Samples = dict[tuple[str, frozenset[str]], float]


def samples(metrics: Metrics, snapshot: Snapshot = NOTHING) -> Samples:
    families = text_string_to_metric_families(metrics.render(snapshot).decode())
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def value(found: Samples, name: str, *labels: str) -> float:
    return found.get((name, frozenset(labels)), 0.0)


async def finish(team: Team, question: str, **options: object) -> None:
    async for _ in team.follow(team.start(question, **options)):  # type: ignore[arg-type]
        pass


async def test_runs_nodes_and_tokens_are_counted(make_team: MakeTeam) -> None:
    metrics = Metrics()
    async with make_team(observers=[metrics]) as team:
        for _ in range(2):
            await finish(team, "What about it?", plan=PLAN)
        found = samples(metrics, team.snapshot())
        rows = [team.journal.events(row.id)[-1].event for row in team.journal.runs(9)]
    assert value(found, "compllm_run_seconds_count", "answered") == 2
    assert value(found, "compllm_run_first_token_seconds_count") == 2
    assert value(found, "gen_ai_server_time_to_first_token_seconds_count", "one") == 4
    assert value(found, "gen_ai_server_time_per_output_token_seconds_count", "two") == 2
    assert value(found, "gen_ai_server_request_duration_seconds_count", "two") == 2
    assert value(found, "compllm_similarity_count", "tag") == 6
    for kind, total in (("input", "prompt_tokens"), ("output", "completion_tokens")):
        assert value(found, "compllm_run_tokens_total", kind) == sum(getattr(row, total) for row in rows)
        by_model = [value(found, "gen_ai_client_token_usage_sum", model, kind) for model in ("one", "two")]
        assert sum(by_model) == value(found, "compllm_run_tokens_total", kind)
    assert value(found, "compllm_open_runs") == 0
    assert not metrics._open


async def test_fallbacks_failures_and_gaps_say_why(make_team: MakeTeam) -> None:
    broken = FakeExpert(failures={n: ExpertResponseError("no") for n in range(1, 50)})
    metrics = Metrics()
    text = FILE.replace("heart and pulse.}", "heart and pulse., fallback: general}").replace(
        "{model: one}", "{model: two}"
    )
    async with make_team(text, one=broken, observers=[metrics]) as team:
        await finish(team, "What?", plan=parse_plan("1. [heart] What is pulse?"))  # heart fails, general answers
        await finish(team, "What?", plan=parse_plan("1. [cooking] What is soup?"))  # nobody's field
    async with make_team(one=broken, two=broken, observers=[metrics]) as team:
        await finish(team, "What?", plan=PLAN)
    found = samples(metrics)
    assert value(found, "compllm_fallbacks_total", "failure") >= 1
    assert value(found, "compllm_fallbacks_total", "score") == 1
    assert value(found, "compllm_node_failures_total", "heart") >= 1
    assert value(found, "compllm_gaps_total", "failed") == 2
    assert value(found, "compllm_gaps_total", "skipped") == 1
    assert value(found, "compllm_run_seconds_count", "failed") == 1
    assert value(found, "compllm_run_seconds_count", "answered") == 2


async def test_a_cancelled_run_counts_as_cancelled_even_before_it_began() -> None:
    metrics = Metrics(lambda: 5.0)
    for event in (
        ev.RunCancelled("r", "enough"),
        ev.RunStarted("r", "What?", "clinic", "rules"),
        ev.RunFailed("r", "enough"),
    ):
        metrics.observe(event)
    assert value(samples(metrics), "compllm_run_seconds_count", "cancelled") == 1
    assert not metrics._open


def test_what_becomes_of_models_is_counted() -> None:
    metrics = Metrics()
    for event in (
        ev.ModelLoading("m", "cpu"),
        ev.ModelLoaded("m", "cpu", 5, 2.0),
        ev.ModelLoadFailed("m", "cpu", "no room"),
        ev.ModelEvicted("m", "cpu"),
        ev.ModelCrashed("m", "cpu", "killed"),
    ):
        metrics.observe(event)
    found = samples(metrics)
    assert value(found, "compllm_model_load_seconds_sum", "m") == 2.0
    names = ("compllm_model_load_failures_total", "compllm_model_evictions_total", "compllm_model_crashes_total")
    assert [value(found, name, "m") for name in names] == [1, 1, 1]


def test_gauges_tell_what_is_now() -> None:
    devices = (DeviceSnapshot("cpu", 100, 30, 8, 5),)
    replicas = (ReplicaSnapshot("m", "cpu", "resident", 70, 4, 3),)
    found = samples(Metrics(), Snapshot(devices, replicas, {"ready": 7, "running": 3}, 2))
    assert value(found, "compllm_open_runs") == 2
    assert value(found, "compllm_nodes", "ready") == 7
    assert value(found, "compllm_nodes", "waiting") == 0
    assert value(found, "compllm_device_resident_bytes", "cpu") == 70
    assert value(found, "compllm_device_capacity_bytes", "cpu") == 100
    assert value(found, "compllm_model_resident_bytes", "m", "cpu", "resident") == 70
    assert value(found, "compllm_model_requests", "m", "cpu", "resident") == 3


async def test_labels_are_no_words_of_a_request(make_team: MakeTeam) -> None:
    metrics = Metrics()
    async with make_team(observers=[metrics]) as team:
        await finish(team, "What is Zanzibar?", user="Zanzibar", plan=parse_plan("1. [Zanzibar] What is Zanzibar?"))
        names = {name for name, _ in samples(metrics, team.snapshot())}
        for number in range(5):
            await finish(team, f"What is Zanzibar {number}?", user=f"Zanzibar{number}")
        assert {name for name, _ in samples(metrics, team.snapshot())} == names
        assert b"anzibar" not in metrics.render(team.snapshot())


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page[page.index("## Metrics") : page.index("## Traces")]
    documented = set(re.findall(r"`((?:compllm|gen_ai)_[a-z_]+)(?:\{[^`]*)?`", table))
    told = Metrics().render(Snapshot((), (), {}, 0)).decode()
    described = set(re.findall(r"^# HELP ((?:compllm|gen_ai)_\S+)", told, re.MULTILINE))
    assert documented == {name for name in described if not name.endswith("_created")}
