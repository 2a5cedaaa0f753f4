"""The scheduler against a world that distrusts it: random teams, plans, failures, crashes and cancellations."""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.properties.books import can_work, place_models_or_none
from tests.properties.world import World, crowded_team, drive, random_team, working_team

SEQUENCES = int(os.environ.get("COMPLLM_SEQUENCES", "200"))
randoms = st.randoms(use_true_random=False)


class SchedulerMachine(RuleBasedStateMachine):
    """Hypothesis chooses what happens; the world checks every invariant after every event."""

    world: World

    @initialize(rng=randoms)
    def begin(self, rng: random.Random) -> None:
        self.world = World(working_team(rng))

    @rule(rng=randoms)
    def add_node(self, rng: random.Random) -> None:
        self.world.add_node(rng)

    @precondition(lambda self: self.world.open_runs())
    @rule(rng=randoms)
    def close_plan(self, rng: random.Random) -> None:
        self.world.close_plan(rng)

    @precondition(lambda self: self.world.in_state("resolving"))
    @rule(rng=randoms)
    def resolve(self, rng: random.Random) -> None:
        self.world.resolve(rng)

    @precondition(lambda self: self.world.in_state("running"))
    @rule(rng=randoms)
    def end_attempt(self, rng: random.Random) -> None:
        self.world.end_attempt(rng)

    @precondition(lambda self: self.world.in_state("cancelling"))
    @rule(rng=randoms)
    def end_cancelled(self, rng: random.Random) -> None:
        self.world.end_cancelled(rng)

    @precondition(lambda self: self.world.replicas_in("loading"))
    @rule(rng=randoms)
    def end_load(self, rng: random.Random) -> None:
        self.world.end_load(rng)

    @precondition(lambda self: self.world.replicas_in("evicting"))
    @rule(rng=randoms)
    def end_eviction(self, rng: random.Random) -> None:
        self.world.end_eviction(rng)

    @precondition(lambda self: self.world.replicas_in("resident"))
    @rule(rng=randoms)
    def crash(self, rng: random.Random) -> None:
        self.world.crash(rng)

    @precondition(lambda self: self.world.live_runs())
    @rule(rng=randoms)
    def cancel_run(self, rng: random.Random) -> None:
        self.world.cancel_run(rng)

    @precondition(lambda self: self.world.stale)
    @rule(rng=randoms)
    def late_news(self, rng: random.Random) -> None:
        self.world.late_news(rng)

    @precondition(lambda self: self.world.wakes)
    @rule(rng=randoms)
    def wake(self, rng: random.Random) -> None:
        self.world.wake(rng)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish(random.Random(0))
            self.world.check_determinism()


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_random_histories_keep_every_invariant() -> None:
    for seed in range(SEQUENCES):
        try:
            world = drive(seed, steps=80)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        assert all(run.finished for run in world.runs.values())
        assert all(book.end for book in world.nodes.values())


def test_crowded_histories_with_priorities_keep_every_invariant() -> None:
    """Models that must leave for each other, plans of three priorities: what makes way must not wait for nothing."""
    for seed in range(SEQUENCES // 10):
        try:
            drive(seed, steps=80, team_from=crowded_team, kind=Crowd)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


class Crowd(World):
    """A world of whole plans."""

    def add_node(self, rng: random.Random) -> None:
        self.add_plan(rng)


def test_every_accepted_random_team_can_work() -> None:
    rng = random.Random(7)
    teams = [random_team(rng) for _ in range(2_000)]
    accepted = [team for team in teams if place_models_or_none(team)]
    assert 0 < len(accepted) < len(teams)
    assert all(can_work(team) for team in accepted)
