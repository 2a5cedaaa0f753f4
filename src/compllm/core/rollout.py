"""Plans ahead: tries orders of a closed plan's nodes on a model of the devices, and keeps the best.

One greedy pass is what the scheduler does by itself. Here many passes are made with different priorities (several
rules, then biased random sampling around the best; Kolisch and Drexl 1996), each a parallel schedule generation in
which models are loaded and evicted as the scheduler would. The best pass gives every node its urgency and its expected
start. Batches are taken as free of slow-down.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

_SPREADS = (0.1, 0.3, 0.6)
_LEAST_BETTER_S = 1e-9


@dataclass(frozen=True, slots=True)
class Step:
    """A node that has not ended: `parents` are the places, in the sequence of steps, of those that it waits for.

    `run` groups the steps whose last one counts. `left_s` is what a running node still takes, None for one to start.
    """

    model: int
    duration_s: float
    parents: tuple[int, ...]
    run: int = 0
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Residency:
    """A model: what it takes, where it may live, and where it is (`home`; none: absent); ready in `ready_s`."""

    bytes: int
    load_s: float
    slots: int
    threads: int
    homes: tuple[int, ...]
    home: int | None = None
    ready_s: float = 0.0
    pinned: bool = False
    is_loading: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """A device: free bytes, cores that no running step holds, and speed."""

    free_bytes: int
    cores: int
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """The best order found: each step's urgency (larger first) and its start, and the last end, in seconds from now."""

    urgency_s: tuple[float, ...]
    start_s: tuple[float, ...]
    cost_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Situation:
    """What is to be done, by what; a step's parents stand before it."""

    steps: tuple[Step, ...]
    models: tuple[Residency, ...]
    devices: tuple[Capacity, ...]


def plan_ahead(now: Situation, tries: int, seed: int = 0) -> Outlook:
    """Return the best of `tries` passes, at least one; the cost is the sum over runs of when their last step ends.

    No more are made once none could be better. Deterministic in its arguments. O(tries * steps * (log steps + models)).
    """
    dice = random.Random(seed)  # noqa: S311 - sampling, not secrets
    rules = _rules(now)
    best, least_s = Pass(now, rules[0]).outlook(), _least_cost_s(now)
    for number in range(1, tries):
        if best.cost_s <= least_s + _LEAST_BETTER_S:
            break
        urgency_s = rules[number] if number < len(rules) else _changed(now, best, dice, number)
        outlook = Pass(now, urgency_s).outlook()
        if outlook.cost_s < best.cost_s - _LEAST_BETTER_S:
            best = outlook
    return best


def _rules(now: Situation) -> list[list[float]]:
    """Return urgencies by rule: longest remaining path, with loads, and with its model's work for or against."""
    tails_s, switching_s = _tails_s(now, load_share=0.0), _tails_s(now, load_share=1.0)
    work_s = [0.0] * len(now.models)
    for step in now.steps:
        work_s[step.model] += step.duration_s
    with_work_s = [tail_s + work_s[step.model] for tail_s, step in zip(tails_s, now.steps, strict=True)]
    against_s = [tail_s - work_s[step.model] for tail_s, step in zip(tails_s, now.steps, strict=True)]
    return [tails_s, switching_s, with_work_s, against_s]


def _least_cost_s(now: Situation) -> float:
    """Return what no order can beat: the sum over runs of their longest path, without loads, on the fastest device."""
    longest_s: dict[int, float] = {}
    for step, tail_s in zip(now.steps, _tails_s(now, load_share=0.0), strict=True):
        longest_s[step.run] = max(longest_s.get(step.run, 0.0), tail_s)
    return sum(longest_s.values()) / max([1.0, *(device.speed for device in now.devices)])


def _tails_s(now: Situation, load_share: float) -> list[float]:
    """Return the longest remaining path from each step, with a share of the loads where the model changes."""
    tails_s = [step.duration_s if step.left_s is None else step.left_s for step in now.steps]
    for place in range(len(now.steps) - 1, -1, -1):
        step = now.steps[place]
        for parent in step.parents:
            above = now.steps[parent]
            load_s = load_share * now.models[step.model].load_s if above.model != step.model else 0.0
            tails_s[parent] = max(tails_s[parent], above.duration_s + load_s + tails_s[place])
    return tails_s


def _changed(now: Situation, best: Outlook, dice: random.Random, number: int) -> list[float]:
    """Return the best urgencies so far, changed at random: by model, by step, or both."""
    spread_s = _SPREADS[number % len(_SPREADS)] * max(*best.start_s, max(best.urgency_s) - min(best.urgency_s))
    by_model = [dice.uniform(-spread_s, spread_s) if number % 3 else 0.0 for _ in now.models]
    by_step = spread_s if number % 3 != 1 else 0.0
    base_s = best.urgency_s if number % 2 else [-start_s for start_s in best.start_s]
    return [
        each_s + by_model[step.model] + dice.uniform(-by_step, by_step)
        for each_s, step in zip(base_s, now.steps, strict=True)
    ]


class Pass:
    """One parallel schedule generation with given urgencies, loads and evictions included.

    It decides as the scheduler does: fill the batches that run, then the most urgent; load the most urgent absent
    model, evicting what is idle and needed last; load into free bytes what will be needed next.
    """

    def __init__(self, now: Situation, urgency_s: Sequence[float]) -> None:
        self._steps = now.steps
        self._models = now.models
        self._devices = now.devices
        self._urgency_s = urgency_s
        self._time_s = 0.0
        self._start_s = [0.0] * len(now.steps)
        self._end_s = [0.0] * len(now.steps)
        self._waits = [len(step.parents) for step in now.steps]
        self._children: list[list[int]] = [[] for _ in now.steps]
        self._home = [model.home for model in now.models]
        self._loading = [model.is_loading for model in now.models]
        self._owed: list[int | None] = [None] * len(now.models)
        self._running = [0] * len(now.models)
        self._unstarted: list[list[int]] = [[] for _ in now.models]
        self._ready: list[list[int]] = [[] for _ in now.models]
        self._free_bytes = [device.free_bytes for device in now.devices]
        self._free_cores = [device.cores for device in now.devices]
        self._agenda: list[tuple[float, int, int]] = []
        self._enter()

    def outlook(self) -> Outlook:
        """Make the pass and return what came of it."""
        self._decide()
        while self._agenda:
            self._time_s = self._agenda[0][0]
            while self._agenda and self._agenda[0][0] <= self._time_s:
                _, is_load, index = heapq.heappop(self._agenda)
                if is_load:
                    self._loading[index] = False
                else:
                    self._finish(index)
            self._decide()
        ends_s: dict[int, float] = {}
        for step, end_s in zip(self._steps, self._end_s, strict=True):
            ends_s[step.run] = max(ends_s.get(step.run, 0.0), end_s)
        cost_s = sum(ends_s.values()) if not any(self._unstarted) else math.inf
        return Outlook(tuple(self._urgency_s), tuple(self._start_s), cost_s, self._time_s)

    def _enter(self) -> None:
        """Take over what runs and loads now, and sort the rest, the most urgent first."""
        for index, model in enumerate(self._models):
            if self._loading[index]:
                heapq.heappush(self._agenda, (model.ready_s, 1, index))
        for index, step in enumerate(self._steps):
            for parent in step.parents:
                self._children[parent].append(index)
            if step.left_s is not None:
                self._run(index, step.left_s)
            else:
                self._unstarted[step.model].append(index)
                if not step.parents:
                    self._ready[step.model].append(index)
        for places in (*self._unstarted, *self._ready):
            places.sort(key=self._order)

    def _order(self, index: int) -> tuple[float, int]:
        return -self._urgency_s[index], index

    def _run(self, index: int, left_s: float) -> None:
        model = self._steps[index].model
        home = self._home[model]
        if home is not None and not self._running[model]:
            self._free_cores[home] -= self._models[model].threads
        self._running[model] += 1
        self._start_s[index] = self._time_s
        self._end_s[index] = self._time_s + left_s
        heapq.heappush(self._agenda, (self._end_s[index], 0, index))

    def _finish(self, index: int) -> None:
        model = self._steps[index].model
        home = self._home[model]
        self._running[model] -= 1
        if home is not None and not self._running[model]:
            self._free_cores[home] += self._models[model].threads
        for child in self._children[index]:
            self._waits[child] -= 1
            if not self._waits[child]:
                insort(self._ready[self._steps[child].model], child, key=self._order)

    def _decide(self) -> None:
        while (model := self._next_start()) is not None:
            owed, self._owed[model] = self._owed[model], None
            index = owed if owed is not None else self._ready[model][0]
            self._ready[model].remove(index)
            self._unstarted[model].remove(index)
            home = self._home[model]
            speed = self._devices[home].speed if home is not None else 1.0
            self._run(index, self._steps[index].duration_s / speed)
        self._place()

    def _next_start(self) -> int | None:
        """Return the model whose most urgent step should start now."""
        best: tuple[bool, float, int] | None = None
        for model, ready in enumerate(self._ready):
            if not ready or not self._may_start(model):
                continue
            key = (not self._running[model], -self._urgency_s[ready[0]], model)
            if best is None or key < best:
                best = key
        return best[2] if best is not None else None

    def _may_start(self, model: int) -> bool:
        each, home = self._models[model], self._home[model]
        if not each.homes:
            return self._running[model] < each.slots
        if home is None or self._loading[model] or self._running[model] >= each.slots:
            return False
        return self._running[model] > 0 or each.threads <= self._free_cores[home]

    def _place(self) -> None:
        """Load what ready steps ask for, then what later ones will."""
        absent = [m for m, each in enumerate(self._models) if each.homes and self._home[m] is None]
        wanted = sorted((m for m in absent if self._ready[m]), key=self._load_order)
        closed: set[int] = set()
        for model in wanted:
            if not self._load(model, closed, self._ready[model][0]):
                device = self._make_room(model, closed)
                if device is not None:
                    closed.add(device)
        if all(self._home[m] is not None for m in wanted):
            for model in sorted((m for m in absent if self._unstarted[m]), key=self._need_order):
                if self._home[model] is None:
                    self._load(model, closed, None)

    def _load_order(self, model: int) -> tuple[float, int]:
        first = self._ready[model][0]
        return -self._urgency_s[first] - self._models[model].load_s, first

    def _need_order(self, model: int) -> tuple[float, int]:
        return self._order(self._unstarted[model][0])

    def _load(self, model: int, closed: set[int], owed: int | None) -> bool:
        each = self._models[model]
        fitting = [d for d in each.homes if d not in closed and each.bytes <= self._free_bytes[d]]
        if not fitting:
            return False
        device = min(fitting, key=lambda d: self._crowding(d, each.threads))
        self._home[model], self._loading[model], self._owed[model] = device, True, owed
        self._free_bytes[device] -= each.bytes
        ready_s = self._time_s + each.load_s / self._devices[device].speed
        heapq.heappush(self._agenda, (ready_s, 1, model))
        return True

    def _crowding(self, device: int, threads: int) -> tuple[bool, float]:
        busy = sum(
            self._models[m].threads
            for m, home in enumerate(self._home)
            if home == device and (self._running[m] or self._loading[m] or self._unstarted[m])
        )
        return busy + threads > self._devices[device].cores, -self._devices[device].speed

    def _make_room(self, model: int, closed: set[int]) -> int | None:
        """Evict what is idle where that costs least, and load; return the device, or None where nothing helps."""
        found: tuple[float, int, list[int]] | None = None
        for device in self._models[model].homes:
            if device in closed:
                continue
            victims = self._victims(model, device)
            if victims is None:
                continue
            cost_s = sum(self._models[v].load_s for v in victims if self._unstarted[v])
            if found is None or cost_s < found[0]:
                found = (cost_s, device, victims)
        if found is None:
            return None
        for victim in found[2]:
            self._home[victim] = None
            self._free_bytes[found[1]] += self._models[victim].bytes
        self._load(model, closed, self._ready[model][0])
        return found[1]

    def _victims(self, model: int, device: int) -> list[int] | None:
        need_bytes = self._models[model].bytes - self._free_bytes[device]
        idle = [m for m, home in enumerate(self._home) if home == device and self._is_evictable(m, model)]
        idle.sort(key=self._worth)
        chosen: list[int] = []
        for victim in idle:
            if need_bytes <= 0:
                break
            chosen.append(victim)
            need_bytes -= self._models[victim].bytes
        if need_bytes > 0:
            return None
        for victim in chosen[-2::-1]:
            if self._models[victim].bytes <= -need_bytes:
                need_bytes += self._models[victim].bytes
                chosen.remove(victim)
        return chosen

    def _is_evictable(self, victim: int, wanted: int) -> bool:
        """Whether a replica is idle, and no step that is just about to need it goes before the one that wants room."""
        if self._running[victim] or self._loading[victim] or self._owed[victim] is not None:
            return False
        if self._ready[victim] or self._models[victim].pinned:
            return False
        if not self._unstarted[victim]:
            return True
        following = self._unstarted[victim][0]
        is_imminent = all(self._end_s[parent] > 0 for parent in self._steps[following].parents)
        return not is_imminent or self._urgency_s[following] <= self._urgency_s[self._ready[wanted][0]]

    def _worth(self, model: int) -> tuple[bool, float, int]:
        """Order victims: not needed any more, then the least urgent need; cheap reloads per byte weigh less."""
        if not self._unstarted[model]:
            return False, 0.0, model
        return True, self._urgency_s[self._unstarted[model][0]], model
