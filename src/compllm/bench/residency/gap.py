"""How far the scheduler is from the proved optimum on small instances."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compllm.bench.residency.exact import Solution, solve
from compllm.bench.residency.instances import Instance, small_instance
from compllm.bench.residency.schedule import Placed, Schedule, Stay, simulated_schedule, violations
from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import Brain, simulate
from compllm.core.workload import Workload
from compllm.errors import InvalidTransition

BrainFactory = Callable[[Sequence[Model], Sequence[Device]], Brain]


@dataclass(frozen=True, slots=True)
class Gap:
    """One instance: what the scheduler needed, and the least that is possible (`proved`) and how long proving took."""

    seed: int
    nodes: int
    models: int
    devices: int
    ours_s: float
    optimum_s: float
    proved: bool
    solve_s: float

    @property
    def ratio(self) -> float:
        """Ours over the optimum; 1 is optimal."""
        return self.ours_s / self.optimum_s


@dataclass(frozen=True, slots=True)
class GapReport:
    """All instances of one measurement."""

    gaps: tuple[Gap, ...]

    @property
    def mean(self) -> float:
        """Mean of ours over the optimum."""
        return statistics.fmean(gap.ratio for gap in self.gaps)

    @property
    def worst(self) -> float:
        """Largest of ours over the optimum."""
        return max(gap.ratio for gap in self.gaps)

    @property
    def proved(self) -> bool:
        """Whether every optimum is proved."""
        return all(gap.proved for gap in self.gaps)


def measure_gaps(
    seeds: Iterable[int], brain: BrainFactory = Scheduler, cache_dir: Path | None = None, limit_s: float = 600.0
) -> GapReport:
    """Schedule small instances online and exactly; `cache_dir` keeps optima from one measurement to the next.

    Both schedules are checked against the rules by code of its own.

    Raises:
        InvalidTransition: a schedule breaks the rules, or the optimum is worse than ours.
    """
    return GapReport(tuple(_gap(small_instance(seed), brain, cache_dir, limit_s) for seed in seeds))


def _gap(instance: Instance, brain: BrainFactory, cache_dir: Path | None, limit_s: float) -> Gap:
    ours = schedule_online(instance, brain)
    optimum = _optimum(instance, ours.makespan_s, cache_dir, limit_s)
    _expect_valid(instance, optimum.schedule)
    if optimum.proved and optimum.schedule.makespan_s > ours.makespan_s + 1e-6:
        raise InvalidTransition(f"instance {instance.seed}: the optimum is longer than a schedule that exists")
    return Gap(
        instance.seed,
        len(instance.run.nodes),
        len(instance.models),
        len(instance.devices),
        ours.makespan_s,
        optimum.schedule.makespan_s,
        optimum.proved,
        optimum.solve_s,
    )


def schedule_online(instance: Instance, brain: BrainFactory) -> Schedule:
    """Return the schedule that a brain makes of an instance, checked.

    Raises:
        InvalidTransition: it breaks the rules.
    """
    thinking = brain(instance.models, instance.devices)
    result = simulate(Workload((instance.run,)), instance.models, instance.devices, thinking)
    schedule = simulated_schedule(result)
    _expect_valid(instance, schedule)
    return schedule


def _expect_valid(instance: Instance, schedule: Schedule) -> None:
    faults = violations(instance, schedule)
    if faults:
        raise InvalidTransition(f"instance {instance.seed}: {'; '.join(faults)}")


def _optimum(instance: Instance, known_s: float, cache_dir: Path | None, limit_s: float) -> Solution:
    """Return the optimum, from the cache when this very instance is there."""
    digest = hashlib.sha256(_essence(instance).encode()).hexdigest()[:16]
    file = cache_dir / f"optimum-{instance.seed}-{digest}.json" if cache_dir else None
    if file is not None and file.exists():
        return _solution(json.loads(file.read_text()))
    solution = solve(instance, known_s=known_s, limit_s=limit_s)
    if file is not None and solution.proved:
        file.write_text(json.dumps(asdict(solution)))
    return solution


def _essence(instance: Instance) -> str:
    """Return what the optimum depends on."""
    models = [(m.name, m.footprint_bytes, m.slots, m.threads, m.devices, m.load_s) for m in instance.models]
    devices = [(d.name, d.capacity_bytes, d.cores, d.speed) for d in instance.devices]
    nodes = [(n.id, n.parents, n.model, n.duration_s) for n in instance.run.nodes]
    return repr((models, devices, nodes))


def _solution(record: dict[str, Any]) -> Solution:
    schedule = record["schedule"]
    placed = tuple(Placed(**each) for each in schedule["placed"])
    stays = tuple(Stay(**each) for each in schedule["stays"])
    return Solution(Schedule(placed, stays), record["proved"], record["solve_s"])


def format_gaps(report: GapReport) -> str:
    """Return the report as lines for people."""
    lines = ["seed  nodes  models  devices   ours s  optimum s  ratio  proved  solved in s"]
    lines += [
        f"{gap.seed:4}  {gap.nodes:5}  {gap.models:6}  {gap.devices:7}  {gap.ours_s:7.1f}  {gap.optimum_s:9.1f}"
        f"  {gap.ratio:5.3f}  {'yes' if gap.proved else 'no':6}  {gap.solve_s:11.2f}"
        for gap in report.gaps
    ]
    return "\n".join([*lines, f"mean {report.mean:.3f}  worst {report.worst:.3f}  all proved: {report.proved}"])
