"""A world for the scheduler: it performs commands on virtual time, with trouble, and keeps its own books."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.health import Backoff
from compllm.core.ledger import Device, Model
from compllm.core.routing import Assignment, Candidate
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from tests.properties.books import Books, Broken, SchedulerFactory, Team, place_models_or_none

ANSWER = SubAnswer("an answer", "expert", "model")


class World(Books):
    """A driver of the scheduler on virtual time: everything that it sends, a real driver could send."""

    def replicas_in(self, state: str) -> list[str]:
        """Return the models whose replica on a device of ours is in a state."""
        return [m for m, replica in self.replicas.items() if replica.state == state and replica.device != "remote"]

    def open_runs(self) -> list[str]:
        """Return the runs whose plan is still being written."""
        return [name for name, run in self.runs.items() if not (run.closed or run.cancelled)]

    def live_runs(self) -> list[str]:
        """Return the runs that could be cancelled."""
        return [name for name, run in self.runs.items() if not (run.cancelled or run.finished)]

    def assign(self, rng: random.Random) -> Assignment:
        """Make up an assignment; now and then nobody is eligible."""
        names = [model.name for model in self.team.models]
        first = names[0] if rng.random() < self.team.hot else rng.choice(names)
        chosen = [first, *(rng.choice(names) for _ in range(rng.choice((0, 0, 1, 2))))]
        if rng.random() < self.team.trouble * 0.05:
            chosen = []
        return assignment(*(f"{model}/{rng.randrange(2)}" for model in chosen))

    def add_node(self, rng: random.Random) -> None:
        """Add a node to an open run, or to a new one."""
        open_runs = self.open_runs()
        run = rng.choice(open_runs) if open_runs and rng.random() < 0.7 else f"r{len(self.runs)}"
        size = self.runs[run].size if run in self.runs else 0
        parents = tuple(sorted(p for p in range(1, size + 1) if rng.random() < 1.2 / size))
        final = not parents or rng.random() < 0.3
        duration_s = rng.choice((0.5, 1.0, 4.0))
        node = ev.NodeAdded(run, size + 1, "?", parents, self.assign(rng), final, duration_s=duration_s)
        self.send(node, self.tick(rng))

    def add_plan(self, rng: random.Random) -> None:
        """Add a whole plan at once, closed, now and then of a user with a priority and a deadline."""
        run = f"r{len(self.runs)}"
        opened = ev.RunOpened(run, rng.choice("ab"), rng.choice((0, 0, 1, 2)), rng.choice((None, self.now_s + 8.0)))
        expected = tuple(dict.fromkeys(candidate.model for candidate in self.assign(rng).candidates))
        self.send_all((opened, ev.ModelsExpected(run, expected[: rng.choice((0, 0, 2))])), self.tick(rng))
        nodes = []
        for number in range(1, rng.randrange(2, 8)):
            parents = tuple(p for p in range(1, number) if rng.random() < 1.2 / number)
            final = not parents or rng.random() < 0.3
            duration_s = rng.choice((0.5, 1.0, 4.0))
            nodes.append(ev.NodeAdded(run, number, "?", parents, self.assign(rng), final, duration_s=duration_s))
        self.send_all((*nodes, ev.PlanClosed(run)), self.tick(rng))

    def close_plan(self, rng: random.Random) -> None:
        """Close a plan."""
        self.send(ev.PlanClosed(rng.choice(self.open_runs())), self.tick(rng))

    def resolve(self, rng: random.Random) -> None:
        """Route a dependent node for good, often to the expert it had."""
        key = rng.choice(self.in_state("resolving"))
        keep = rng.random() < 0.6
        found = self.nodes[key].assignment if keep else self.assign(rng)
        self.send(ev.NodeRouted(*key, "?", found, rng.choice((0.5, 2.0))), self.tick(rng))

    def end_attempt(self, rng: random.Random) -> None:
        """Let a running node complete, or fail."""
        key = rng.choice(self.in_state("running"))
        attempt = self.nodes[key].attempt
        if rng.random() < self.team.trouble:
            retryable = rng.random() < 0.6
            self.send(ev.NodeFailed(*key, "no answer", retryable=retryable, attempt=attempt), self.tick(rng))
        else:
            self.send(ev.NodeCompleted(*key, ANSWER, attempt), self.tick(rng))

    def end_cancelled(self, rng: random.Random) -> None:
        """Let a node that was told to stop do so, or end by itself."""
        key = rng.choice(self.in_state("cancelling"))
        attempt = self.nodes[key].attempt
        late = (
            ev.NodeCompleted(*key, ANSWER, attempt),
            ev.NodeFailed(*key, "cut off", retryable=True, attempt=attempt),
        )
        self.send(rng.choice((ev.NodeCancelled(*key, attempt), *late)), self.tick(rng))

    def end_load(self, rng: random.Random) -> None:
        """Let a load succeed with some footprint, or fail."""
        model = rng.choice(self.replicas_in("loading"))
        replica = self.replicas[model]
        trouble = rng.random() < self.team.trouble
        if trouble and rng.random() < 0.5:
            needed = rng.choice((None, int(replica.bytes * 1.5), replica.bytes * 20))
            failed = ev.ModelLoadFailed(model, replica.device, "out of luck", rng.random() < 0.7, needed)
            self.send(failed, self.tick(rng))
            return
        factor = rng.choice((0.5, 1.2, 1.6, 3.0)) if trouble else 1.0
        measured = max(1, int(replica.bytes * factor))
        self.send(ev.ModelLoaded(model, replica.device, measured, rng.choice((0.5, 3.0))), self.tick(rng))

    def end_eviction(self, rng: random.Random) -> None:
        """Confirm an eviction; the death of what is evicted may be reported first."""
        model = rng.choice(self.replicas_in("evicting"))
        if rng.random() < self.team.trouble:
            self.send(ev.ModelCrashed(model, self.replicas[model].device, "killed"), self.tick(rng))
        self.send(ev.ModelEvicted(model, self.replicas[model].device), self.tick(rng))

    def crash(self, rng: random.Random) -> None:
        """Kill a resident replica; its streams may report their end later, or never."""
        model = rng.choice(self.replicas_in("resident"))
        replica = self.replicas[model]
        for key in sorted(replica.leases):
            attempt = self.nodes[key].attempt
            news = (
                ev.NodeFailed(*key, "connection lost", retryable=True, attempt=attempt),
                ev.NodeCompleted(*key, ANSWER, attempt),
                ev.NodeCancelled(*key, attempt),
            )
            self.stale += rng.sample(news, rng.randrange(2))
        self.send(ev.ModelCrashed(model, replica.device, "killed"), self.tick(rng))

    def cancel_run(self, rng: random.Random) -> None:
        """Cancel a run; what was being routed may still report."""
        run = rng.choice(self.live_runs())
        for key in self.in_state("resolving"):
            if key[0] == run and rng.random() < 0.5:
                self.stale.append(ev.NodeRouted(*key, "?", self.nodes[key].assignment))
        self.send(ev.RunCancelled(run, "the caller left"), self.tick(rng))

    def late_news(self, rng: random.Random) -> None:
        """Report something that is over."""
        self.send(self.stale.pop(rng.randrange(len(self.stale))), self.tick(rng))

    def wake(self, rng: random.Random) -> None:
        """Wake the scheduler at a time that it asked for, or somewhat later, or a rounding error earlier."""
        at_s = min(self.wakes)
        self.wakes.remove(at_s)
        early_s = 1e-9 if rng.random() < self.team.trouble else 0.0
        self.send(ev.Woken(), max(0.0, at_s - self.now_s - early_s) + rng.choice((0.0, 0.0, 0.3)))

    def tick(self, rng: random.Random) -> float:
        """Return how much later the next event comes; often at the same instant."""
        return rng.choice((0.0, 0.0, 0.01, 0.25, 1.0))

    def actions(self) -> Iterator[tuple[float, Callable[[random.Random], None]]]:
        """Yield what can happen now, with weights."""
        few = len(self.in_state("ready", "running", "waiting")) < 30
        yield 3.0 if few else 0.2, self.add_node
        yield 0.4 if few else 0.02, self.add_plan
        choices: Sequence[tuple[float, object, Callable[[random.Random], None]]] = (
            (0.3, self.open_runs(), self.close_plan),
            (2.0, self.in_state("resolving"), self.resolve),
            (3.0, self.in_state("running"), self.end_attempt),
            (1.0, self.in_state("cancelling"), self.end_cancelled),
            (2.0, self.replicas_in("loading"), self.end_load),
            (1.5, self.replicas_in("evicting"), self.end_eviction),
            (0.5 * self.team.trouble, self.replicas_in("resident"), self.crash),
            (0.3 * self.team.trouble, self.live_runs(), self.cancel_run),
            (1.0, self.stale, self.late_news),
            (1.0, self.wakes, self.wake),
        )
        yield from ((weight, action) for weight, possible, action in choices if possible and weight)

    def step(self, rng: random.Random) -> None:
        """Let something happen."""
        weights, actions = zip(*self.actions(), strict=True)
        rng.choices(actions, weights)[0](rng)

    def finish(self, rng: random.Random) -> None:
        """Let everything come to its end without further trouble, and check that it does."""
        self.team = replace(self.team, trouble=0.0)
        for _ in range(200 + 60 * len(self.nodes)):
            choices = [action for _, action in self.actions() if action not in (self.add_node, self.add_plan)]
            if not choices:
                break
            rng.choice(choices)(rng)
        unfinished = [run for run, book in self.runs.items() if not book.finished]
        without_end = [key for key, book in self.nodes.items() if book.end is None]
        if unfinished or without_end or self.scheduler.graph.runs:
            raise Broken(2, f"never finished: {unfinished} {without_end} {self.scheduler.graph.runs}")


def assignment(*experts: str) -> Assignment:
    """Assign to `model/number` experts in failover order."""
    candidates = tuple(Candidate(expert, expert.partition("/")[0]) for expert in experts)
    return Assignment(candidates, "given", 1.0, 1.0, passed=True, reason="so it was said")


def random_team(rng: random.Random) -> Team:
    """Make up a team, which may be one that has to be refused."""
    devices = tuple(
        Device(name, rng.randrange(10, 40), rng.choice((1, 2, 2, 4)))
        for name in ("cpu", "gpu")[: rng.choice((1, 1, 2))]
    )
    names = [device.name for device in devices]
    local = tuple(
        Model(
            f"m{number}",
            rng.randrange(1, 25),
            slots=rng.choice((1, 1, 2, 3)),
            threads=rng.choice((1, 1, 2)),
            devices=tuple(rng.sample(names, rng.randrange(1, len(names) + 1))),
            pinned=rng.random() < 0.15,
            load_s=rng.choice((0.1, 1.0, 5.0)),
        )
        for number in range(rng.choice((1, 2, 3, 4)))
    )
    remote = (Model("far", slots=rng.choice((1, 4))),) if rng.random() < 0.3 else ()
    backoff = Backoff(first_s=0.2, longest_s=2.0, breaker_failures=rng.choice((1, 2, 3)), breaker_s=3.0)
    rules = Rules(
        rng.choice((1, 2, 5)),
        rng.choice((1, 2, 3)),
        rng.random() < 0.6,
        backoff,
        hysteresis=rng.choice((0.0, 1.0)),
        patience=rng.choice((0.0, 2.0)),
        plan_steps=rng.choice((0, 60)),
    )
    return Team(local + remote, devices, rules, trouble=rng.choice((0.0, 0.3)), hot=rng.choice((0.2, 0.8)))


def working_team(rng: random.Random) -> Team:
    """Make up a team that is accepted."""
    while True:
        team = random_team(rng)
        if place_models_or_none(team):
            return team


def crowded_team(rng: random.Random) -> Team:
    """Make up a team of four models of which two fit, take turns on the cores, and may hardly overtake each other."""
    cpu = Device("cpu", 20, 2)
    models = tuple(Model(f"m{n}", rng.randrange(5, 12), slots=2, threads=2, devices=("cpu",)) for n in range(4))
    return Team(models, (cpu,), Rules(max_overtakes=1, patience=0.0), trouble=0.0)


def drive(
    seed: int,
    make: SchedulerFactory = Scheduler,
    *,
    steps: int = 120,
    self_check: bool = True,
    team_from: Callable[[random.Random], Team] = working_team,
    kind: type[World] = World,
) -> World:
    """Drive one scheduler through a random history to its end, checking all the time.

    Raises:
        Broken: an invariant does not hold.
    """
    rng = random.Random(seed)
    world = kind(team_from(rng), make, self_check=self_check)
    for _ in range(rng.randrange(steps // 4, steps)):
        world.step(rng)
    world.finish(rng)
    world.check_determinism(make)
    return world
