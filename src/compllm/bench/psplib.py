"""How good the schedules of `core.rcpsp` are, on the instances of PSPLIB.

Deviations are from the optimum where every optimum of a set is known, else from the length of the critical path, as
published results have it (Kolisch and Hartmann 2006). Times are CPU time, so that a busy machine does not distort them.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compllm.bench.psplib_data import Instance, InstanceSet, read_sets
from compllm.core.rcpsp import (
    RULES,
    Found,
    Project,
    Rule,
    Schedule,
    best_schedule,
    justify,
    parallel_schedule,
    serial_schedule,
    violation,
)

_RUN_BUDGET_MS = 5.0  # what planning a run may take
Method = Callable[[Project], Found]
Track = Callable[[Sequence[Instance], str], Iterable[Instance]]


@dataclass(frozen=True, slots=True)
class PsplibRow:
    """One method on one set: deviations in percent, the share of schedules as good as the best known, CPU time."""

    set: str
    method: str
    instances: int
    deviation_from: str
    mean_deviation_percent: float
    max_deviation_percent: float
    best_known_percent: float
    schedules_per_instance: float
    cpu_ms_per_instance: float


@dataclass(frozen=True, slots=True)
class PsplibReport:
    """What was measured, and with which limits and seed."""

    rows: tuple[PsplibRow, ...]
    schedules: int
    budget_ms: float
    seed: int


def _untracked(instances: Sequence[Instance], title: str) -> Iterable[Instance]:
    del title
    return instances


def run_psplib(
    directory: Path,
    names: Sequence[str] = (),
    *,
    schedules: int = 1000,
    budget_ms: float = 100.0,
    seed: int = 0,
    track: Track = _untracked,
) -> PsplibReport:
    """Measure single passes, double justification, and the search within `schedules` and within `budget_ms`.

    `names` chooses sets of the directory. Every schedule is checked by other code than that which built it. `track` is
    given the instances and a title for each row, and hands the instances on, to show how far the bench is.

    Raises:
        ConfigError: a file is missing or malformed; the message names it.
        AssertionError: a schedule is infeasible: a bug of ours.
    """
    methods = dict(_methods(schedules, budget_ms, seed))
    rows = [
        _row(instances, name, method, track)
        for instances in read_sets(directory, names)
        for name, method in methods.items()
    ]
    return PsplibReport(tuple(rows), schedules, budget_ms, seed)


def _methods(schedules: int, budget_ms: float, seed: int) -> Iterator[tuple[str, Method]]:
    for name, rule in RULES.items():
        yield f"parallel {name}", _single(parallel_schedule, rule)
    yield "serial LFT", _single(serial_schedule, RULES["LFT"])
    yield "justified LFT", _justified
    yield f"search, {schedules} schedules", lambda project: best_schedule(project, schedules, seed)
    yield f"search, {_RUN_BUDGET_MS:g} ms", lambda project: _within(project, _RUN_BUDGET_MS, seed)
    yield f"search, {budget_ms:g} ms", lambda project: _within(project, budget_ms, seed)


def _single(scheme: Callable[[Project, Sequence[float]], Schedule], rule: Rule) -> Method:
    def method(project: Project) -> Found:
        schedule = scheme(project, rule(project))
        return Found(schedule, 1, schedule.makespan <= project.lower_bound)

    return method


def _justified(project: Project) -> Found:
    schedule = justify(project, parallel_schedule(project, RULES["LFT"](project)))
    return Found(schedule, 3, schedule.makespan <= project.lower_bound)


def _within(project: Project, budget_ms: float, seed: int) -> Found:
    end_s = time.process_time() + budget_ms / 1000
    return best_schedule(project, sys.maxsize, seed, lambda: time.process_time() >= end_s)


@dataclass(frozen=True, slots=True)
class _Measured:
    """One method on one instance."""

    deviation_percent: float
    is_best_known: bool
    built: int
    cpu_ms: float


def _row(instances: InstanceSet, name: str, method: Method, track: Track) -> PsplibRow:
    title = f"{instances.name}: {name}"
    measured = [_measure(each, method, proven=instances.proven) for each in track(instances.instances, title)]
    return PsplibRow(
        instances.name,
        name,
        len(measured),
        "optimum" if instances.proven else "critical path",
        statistics.fmean(each.deviation_percent for each in measured),
        max(each.deviation_percent for each in measured),
        100 * statistics.fmean(each.is_best_known for each in measured),
        statistics.fmean(each.built for each in measured),
        statistics.fmean(each.cpu_ms for each in measured),
    )


def _measure(instance: Instance, method: Method, *, proven: bool) -> _Measured:
    begin_s = time.process_time()
    found = method(instance.project)
    cpu_ms = 1000 * (time.process_time() - begin_s)
    if said := violation(instance.project, found.schedule):
        raise AssertionError(f"{instance.name}: {said}")
    makespan = found.schedule.makespan
    reference = instance.best_known if proven else instance.project.critical_path
    return _Measured(100 * (makespan / reference - 1), makespan <= instance.best_known, found.built, cpu_ms)
