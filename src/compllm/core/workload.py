"""Workloads: runs that arrive over time, as data, and a seeded generator of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Shape = Literal["single", "chain", "fan", "diamond", "layered"]
_Parents: TypeAlias = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class WorkNode:
    """One node of a run to come.

    `duration_s` is what it really takes, alone on a device of speed 1; `estimate_s` is what the scheduler is told, None
    when it has to find out by itself. `added_s` counts from the run's arrival to when its planner has written it.
    """

    id: int
    parents: tuple[int, ...]
    expert: str
    model: str
    duration_s: float
    estimate_s: float | None = None
    added_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkRun:
    """A run to come: its plan and when it arrives; `deadline_s` and `closed_s` (its plan's end) count from then.

    Raises:
        ValueError: an id is there twice, or a parent is not one of the nodes before.
    """

    id: str
    at_s: float
    nodes: tuple[WorkNode, ...]
    user: str = ""
    priority: int = 0
    deadline_s: float | None = None
    closed_s: float = 0.0

    def __post_init__(self) -> None:
        seen: set[int] = set()
        for node in self.nodes:
            if node.id in seen or not seen.issuperset(node.parents):
                raise ValueError(f"run {self.id}: node {node.id} is there twice, or comes before one of its parents")
            seen.add(node.id)

    @property
    def work_s(self) -> float:
        """The sum of all durations: what one slot of a device of speed 1 would need."""
        return sum(node.duration_s for node in self.nodes)

    @property
    def critical_path_s(self) -> float:
        """The longest chain of durations: what no number of devices of speed 1 could beat."""
        end_s: dict[int, float] = {}
        for node in self.nodes:
            end_s[node.id] = node.duration_s + max((end_s[parent] for parent in node.parents), default=0.0)
        return max(end_s.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Workload:
    """Runs in order of their arrival; ids are unique.

    Raises:
        ValueError: an id is there twice.
    """

    runs: tuple[WorkRun, ...]

    def __post_init__(self) -> None:
        if len({run.id for run in self.runs}) != len(self.runs):
            raise ValueError("two runs of the workload have the same id")
        object.__setattr__(self, "runs", tuple(sorted(self.runs, key=lambda run: run.at_s)))

    @property
    def size(self) -> int:
        """The number of nodes."""
        return sum(len(run.nodes) for run in self.runs)


@dataclass(frozen=True, slots=True)
class Mix:
    """What a random workload is made of.

    `rate_per_s`: arrivals of runs (Poisson). `skew`: exponent of the experts' popularity (Zipf), 0 is uniform.
    `shapes`: weights of the plans' shapes. `sizes`: least and most nodes of a plan. `duration_s`: median of the nodes'
    durations, which are log-normal with `spread` (standard deviation of the logarithm). `known`: whether the scheduler
    is told the durations. `deadline_s`: of every run, counted from its arrival.
    """

    rate_per_s: float = 1.0
    skew: float = 1.0
    shapes: Mapping[Shape, float] = field(
        default_factory=lambda: MappingProxyType(
            {"single": 0.2, "chain": 0.2, "fan": 0.3, "diamond": 0.1, "layered": 0.2}
        )
    )
    sizes: tuple[int, int] = (2, 8)
    duration_s: float = 1.0
    spread: float = 0.5
    known: bool = True
    users: int = 1
    deadline_s: float | None = None


def random_workload(runs: int, experts: Mapping[str, str], mix: Mix, seed: int) -> Workload:
    """Make up a workload for experts (their models by name); the same arguments give the same workload.

    Which experts are popular is drawn too, so that it does not follow from their names.

    Raises:
        ValueError: there are no experts.
    """
    if not experts:
        raise ValueError("a workload needs at least one expert")
    rng = random.Random(seed)  # noqa: S311 - draws, not secrets
    ranked = rng.sample(sorted(experts), len(experts))
    weights = list(itertools.accumulate((rank + 1) ** -mix.skew for rank in range(len(ranked))))
    arrivals = itertools.accumulate(rng.expovariate(mix.rate_per_s) for _ in range(runs))
    return Workload(tuple(_run(f"r{n}", at_s, experts, ranked, weights, mix, rng) for n, at_s in enumerate(arrivals)))


def _run(
    name: str,
    at_s: float,
    experts: Mapping[str, str],
    ranked: Sequence[str],
    weights: Sequence[float],
    mix: Mix,
    rng: random.Random,
) -> WorkRun:
    shape = rng.choices(list(mix.shapes), list(mix.shapes.values()))[0]
    plan = _SHAPES[shape](rng.randint(*mix.sizes), rng)
    chosen = rng.choices(ranked, cum_weights=weights, k=len(plan))
    durations_s = [mix.duration_s * rng.lognormvariate(0.0, mix.spread) for _ in plan]
    nodes = tuple(
        WorkNode(place + 1, parents, expert, experts[expert], duration_s, duration_s if mix.known else None)
        for place, (parents, expert, duration_s) in enumerate(zip(plan, chosen, durations_s, strict=True))
    )
    return WorkRun(name, at_s, nodes, user=f"u{rng.randrange(mix.users)}", deadline_s=mix.deadline_s)


# --- shapes of plans: the parents of nodes 1, 2, ... -----------------------------------------------------------------


def _single(_size: int, _rng: random.Random) -> _Parents:
    return [()]


def _chain(size: int, _rng: random.Random) -> _Parents:
    return [(), *((place,) for place in range(1, size))]


def _fan(size: int, _rng: random.Random) -> _Parents:
    """Independent nodes and one that joins them."""
    leaves = range(1, max(2, size))
    return [*(() for _ in leaves), tuple(leaves)]


def _diamond(size: int, _rng: random.Random) -> _Parents:
    """One node, several that need it, and one that joins those."""
    middle = range(2, max(4, size))
    return [(), *((1,) for _ in middle), tuple(middle)]


def _layered(size: int, rng: random.Random) -> _Parents:
    """Layers of one to three nodes, each node with one or two parents in the layer before, as in written plans."""
    plan: _Parents = []
    layer: list[int] = []
    for layer_size in _layer_sizes(size, rng):
        first = len(plan) + 1
        for _ in range(layer_size):
            plan.append(tuple(sorted(rng.sample(layer, min(len(layer), rng.choice((1, 1, 2)))))))
        layer = list(range(first, len(plan) + 1))
    return plan


def _layer_sizes(size: int, rng: random.Random) -> Iterator[int]:
    while size > 0:
        layer_size = min(size, rng.randint(1, 3))
        size -= layer_size
        yield layer_size


_SHAPES: Final[Mapping[Shape, Callable[[int, random.Random], _Parents]]] = MappingProxyType(
    {"single": _single, "chain": _chain, "fan": _fan, "diamond": _diamond, "layered": _layered}
)
