"""How far the scheduler is from the proved optimum on small instances."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from compllm.bench.residency.exact import solve
from compllm.bench.residency.instances import Instance, small_instance
from compllm.bench.residency.schedule import Schedule, simulated_schedule, violations
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


def measure_gaps(seeds: Iterable[int], brain: BrainFactory = Scheduler) -> GapReport:
    """Schedule small instances online and exactly; both schedules are checked against the rules by code of its own.

    Raises:
        InvalidTransition: a schedule breaks the rules.
        ConfigError: OR-tools is not installed.
    """
    return GapReport(tuple(_gap(small_instance(seed), brain) for seed in seeds))


def _gap(instance: Instance, brain: BrainFactory) -> Gap:
    ours = schedule_online(instance, brain)
    optimum = solve(instance, known_s=ours.makespan_s)
    _expect_valid(instance, optimum.schedule)
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


def format_gaps(report: GapReport) -> str:
    """Return the report as lines for people."""
    lines = ["seed  nodes  models  devices   ours s  optimum s  ratio  proved  solved in s"]
    lines += [
        f"{gap.seed:4}  {gap.nodes:5}  {gap.models:6}  {gap.devices:7}  {gap.ours_s:7.1f}  {gap.optimum_s:9.1f}"
        f"  {gap.ratio:5.3f}  {'yes' if gap.proved else 'no':6}  {gap.solve_s:11.2f}"
        for gap in report.gaps
    ]
    return "\n".join([*lines, f"mean {report.mean:.3f}  worst {report.worst:.3f}  all proved: {report.proved}"])
