"""The best of many schedules: priority rules, biased sampling, and a genetic search that goes back and forth in time.

The search keeps two populations: schedules that forward passes built and schedules that backward passes built. The
children of one belong to the other, so every pass justifies what it inherits, and none is spent on improvement alone
(bi-population genetic algorithm, Debels and Vanhoucke 2005; to justify every child twice, as Valls, Ballestin and
Quintanilla 2008 have it, takes three passes instead of one).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compllm.core.rcpsp.passes import Choose, Direction, Passes, listed, smallest, turned
from compllm.core.rcpsp.project import Project, Schedule

# Chosen on PSPLIB's J30 and J60 with 1,000 schedules.
_SAMPLES = 20
_PARALLEL_SHARE = 0.67
_POPULATION = 40
_TOURNAMENT = 3
_WINDOW_SHARES = (0.25, 0.75)
_SWAP_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """The shortest schedule found, how many were built, and whether it is proven optimal by the lower bound."""

    schedule: Schedule
    built: int
    optimal: bool


def _never() -> bool:
    return False


def best_schedule(
    project: Project, limit: int = 1000, seed: int = 0, out_of_time: Callable[[], bool] = _never
) -> Found:
    """Return the shortest of at most `limit` schedules, each built by one pass.

    The first is `parallel_schedule` by latest finish, so the result is never longer than that one. `out_of_time` is
    asked after every pass; a schedule as short as `Project.lower_bound` ends the search. Deterministic in its
    arguments, as far as `out_of_time` is.

    Raises:
        ValueError: `limit` is below 1.
    """
    if limit < 1:
        raise ValueError("a search needs at least one schedule")
    passes, bound = Passes.of(project), project.lower_bound
    rng = random.Random(seed)  # noqa: S311 - nothing here is secret
    best: tuple[Direction, list[int]] = passes.forward, []
    makespan, built = sum(passes.durations) + 1, 0
    for direction, ends in itertools.islice(_built(passes, rng), limit):
        built += 1
        if max(ends, default=0) < makespan:
            best, makespan = (direction, ends), max(ends, default=0)
        if makespan <= bound or out_of_time():
            break
    return Found(passes.schedule(*best), built, makespan <= bound)


class _Member(NamedTuple):
    """A schedule in a population, best first; list and ranks are those that a pass in the other direction takes up."""

    makespan: int
    sum_of_ends: int
    activity_list: tuple[int, ...]
    ranks: list[int]


@dataclass(slots=True)
class _Population:
    """Schedules that passes in one direction built, for passes in the other one to inherit from."""

    direction: Direction
    other: Direction
    members: list[_Member]

    def add(self, ends: Sequence[int]) -> None:
        """Take up a schedule."""
        activity_list = turned(self.other, ends)
        ranks = [0] * len(ends)
        for rank, activity in enumerate(activity_list):
            ranks[activity] = rank
        self.members.append(_Member(max(ends), sum(ends), tuple(activity_list), ranks))

    def select(self) -> None:
        """Keep the best, each only once."""
        self.members[:] = sorted({member.activity_list: member for member in self.members}.values())[:_POPULATION]


def _built(passes: Passes, rng: random.Random) -> Iterator[tuple[Direction, list[int]]]:
    """Build schedules for ever: one by rule, samples in both directions, their justifications, then generations."""
    forward = _Population(passes.forward, passes.backward, [])
    backward = _Population(passes.backward, passes.forward, [])
    for population in (forward, backward):
        for ends in _samples(passes, population.direction, rng):
            yield population.direction, ends
            population.add(ends)
    first_lists = [[member.activity_list for member in population.members] for population in (forward, backward)]
    for generation, (parents, children) in enumerate(itertools.cycle([(forward, backward), (backward, forward)])):
        parents.select()
        for activity_list in first_lists[generation] if generation < 2 else _children(parents, rng):
            ends = passes.serial(children.direction, activity_list)
            yield children.direction, ends
            children.add(ends)


def _samples(passes: Passes, direction: Direction, rng: random.Random) -> Iterator[list[int]]:
    """Build one schedule by latest finish and others by regret-based biased random sampling, in both schemes.

    The parallel scheme is better on average, but for some projects it cannot build an optimal schedule (Kolisch 1996).
    """
    latest_finish = [start + duration for start, duration in zip(direction.latest_start, passes.durations, strict=True)]
    yield passes.parallel(direction, smallest(direction, latest_finish))
    for urgency in itertools.islice(itertools.cycle((direction.latest_start, latest_finish)), _SAMPLES - 1):
        choose = _biased(urgency, rng)
        if rng.random() < _PARALLEL_SHARE:
            yield passes.parallel(direction, choose)
        else:
            yield passes.serial(direction, listed(direction, choose))


def _biased(urgency: Sequence[int], rng: random.Random) -> Choose:
    """Return a random choice by regret: how much less urgent the least urgent is (Kolisch and Drexl 1996)."""

    def choose(activities: list[int]) -> int:
        if len(activities) == 1:
            return activities[0]
        keys = [urgency[activity] for activity in activities]
        least = max(keys) + 1
        return rng.choices(activities, [least - key for key in keys])[0]

    return choose


def _children(parents: _Population, rng: random.Random) -> Iterator[Sequence[int]]:
    """Return the list of the best parent as it is, and crossings of each member in turn with a good one."""
    members = parents.members
    yield members[0].activity_list
    for member in itertools.islice(itertools.cycle(members), 1, _POPULATION):
        mother, father = member, members[min(rng.randrange(len(members)) for _ in range(_TOURNAMENT))]
        if rng.random() < 0.5:
            mother, father = father, mother
        child = _crossed(mother.activity_list, father.ranks, rng)
        _swap_neighbours(child, parents.other, rng)
        yield child


def _crossed(mother: Sequence[int], father_ranks: Sequence[int], rng: random.Random) -> list[int]:
    """Return the mother's list with the activities of a window in the father's order; precedence stays respected."""
    narrow, wide = (round(len(mother) * share) for share in _WINDOW_SHARES)
    width = rng.randint(narrow, wide)
    begin = rng.randint(0, len(mother) - width)
    end = begin + width
    return [*mother[:begin], *sorted(mother[begin:end], key=father_ranks.__getitem__), *mother[end:]]


def _swap_neighbours(activity_list: list[int], direction: Direction, rng: random.Random) -> None:
    """Swap some neighbours in the list, where precedence allows."""
    count = len(activity_list) - 1
    for position in rng.choices(range(count), k=max(1, round(count * _SWAP_SHARE))):
        first, second = activity_list[position : position + 2]
        if first not in direction.before[second]:
            activity_list[position : position + 2] = second, first
