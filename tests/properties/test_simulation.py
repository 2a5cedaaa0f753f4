"""Simulations with trouble: the invariants hold by the scheduler's check and by books that distrust it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from compllm.core import events as ev
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import Failures, SimulationResult, Truth, simulate, summarise
from compllm.core.workload import Mix, Workload, random_workload
from tests.core.simulation.brains import Watched
from tests.properties.books import Books, Team
from tests.properties.world import working_team

SEEDS = st.integers(0, 2**32)
MIX = Mix(rate_per_s=1.5, sizes=(2, 6), users=2)
TROUBLE = Truth(
    noise=0.4,
    evict_s=0.1,
    resolve_s=0.05,
    loads_share=True,
    failures=Failures(nodes=0.15, loads=0.15, crash_mean_s=15.0, cancelled=0.2, larger=0.3),
)


class Distrusted:
    """A scheduler behind books that note and check everything it is told and says."""

    def __init__(self, team: Team) -> None:
        self.books = Books(team)

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        while self.books.wakes and isinstance(events[0], ev.Woken) and min(self.books.wakes) <= now_s:
            self.books.wakes.remove(min(self.books.wakes))
        return self.books.send_all(events, now_s - self.books.now_s)


def small_world(seed: int) -> tuple[Team, Workload]:
    team = working_team(random.Random(seed))
    experts = {f"{model.name}/{n}": model.name for model in team.models for n in range(2)}
    return team, random_workload(12, experts, MIX, seed)


def simulated(seed: int) -> tuple[SimulationResult, Watched]:
    team, workload = small_world(seed)
    brain = Watched(Scheduler(team.models, team.devices, team.rules))
    return simulate(workload, team.models, team.devices, brain, TROUBLE, seed), brain


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_invariants_hold_by_independent_books(seed: int) -> None:
    team, workload = small_world(seed)
    brain = Distrusted(team)
    result = simulate(workload, team.models, team.devices, brain, TROUBLE, seed)
    brain.books.check_determinism()
    assert {run.id for run in result.runs} == {run.id for run in workload.runs}


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_simulated_machines_hold_the_bytes_that_the_scheduler_books(seed: int) -> None:
    result, brain = simulated(seed)
    last_at = dict(brain.held)  # several events at one time: the last one counts
    for device in result.devices:
        steps = dict(result.memory(device.name))
        held_bytes = 0
        for at_s in sorted({*steps, *last_at}):
            held_bytes = steps.get(at_s, held_bytes)
            if at_s in last_at:
                assert last_at[at_s][device.name] == held_bytes


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_same_seed_gives_the_same_simulation(seed: int) -> None:
    assert simulated(seed)[0] == simulated(seed)[0]


def test_another_seed_gives_another_simulation() -> None:
    team, workload = small_world(1)
    results = [
        simulate(workload, team.models, team.devices, Scheduler(team.models, team.devices), TROUBLE, seed)
        for seed in (1, 2)
    ]
    assert results[0] != results[1]


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_node_of_an_answered_run_was_completed_once_and_after_its_parents(seed: int) -> None:
    _, workload = small_world(seed)
    result, _ = simulated(seed)
    spans = {(a.run, a.node): (a.started_s, a.ended_s) for a in result.attempts if a.end == "completed"}
    assert len(spans) == sum(attempt.end == "completed" for attempt in result.attempts)
    ends = {run.id: run.end for run in result.runs}
    for run in workload.runs:
        for node in run.nodes if ends[run.id] == "answered" else ():
            assert all(spans[run.id, parent][1] <= spans[run.id, node.id][0] for parent in node.parents)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_two_capacities_meet_the_same_luck(seed: int) -> None:
    """An attempt takes the work it takes, wherever and whenever it runs: nothing shares here, so it takes as long."""
    team, workload = small_world(seed)
    truth = replace(TROUBLE, failures=replace(TROUBLE.failures, crash_mean_s=math.inf, cancelled=0.0))
    roomy = tuple(replace(device, capacity_bytes=10**6, cores=99) for device in team.devices)
    lengths_s = []
    for devices in (team.devices, roomy):
        brain = Scheduler(team.models, devices, team.rules)
        result = simulate(workload, team.models, devices, brain, truth, seed)
        lengths_s.append({(a.run, a.node, a.number): round(a.ended_s - a.started_s, 6) for a in result.attempts})
    both = lengths_s[0].keys() & lengths_s[1].keys()
    assert [lengths_s[0][key] for key in both] == [lengths_s[1][key] for key in both]


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_figures_are_within_their_bounds(seed: int) -> None:
    summary = summarise(simulated(seed)[0])
    assert sum(summary.ends.values()) == summary.runs == 12
    for use in summary.devices.values():
        assert 0 <= use.memory_share <= use.peak_bytes / use.capacity_bytes + 1e-9
        assert use.peak_bytes <= use.capacity_bytes
        assert 0 <= use.core_share <= 1 + 1e-9
    assert math.isnan(summary.slot_share) or 0 <= summary.slot_share <= 1 + 1e-9
    assert math.isnan(summary.fairness) or 0.5 <= summary.fairness <= 1 + 1e-9
