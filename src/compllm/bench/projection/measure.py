"""Latency and memory at the paper's sizes: the scheduler that runs a team, on virtual time, under the assumptions."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from compllm.bench.projection.assumptions import (
    BYTES_PER_PARAMETER,
    EXPERTS,
    GENERAL,
    LLAMA_34B,
    LLAMA_70B,
    Assumptions,
    Llm,
)
from compllm.bench.projection.costs import as_model, co_run, footprint_bytes, gpus_for
from compllm.bench.projection.questions import (
    GENERAL_NAME,
    SHAPES,
    Question,
    Shape,
    composed,
    monolithic,
    random_questions,
)
from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import Truth, simulate
from compllm.core.simulation.measures import quantile, summarise
from compllm.core.workload import Workload

System: TypeAlias = Literal["monolith 34B", "monolith 70B", "sequential", "composed"]
# Memory in billions of fp16 parameters; none: everything has room. The paper's compositions hold about 35.
BUDGETS: Final[tuple[float | None, ...]] = (25, 35, 40, None)
CURVE_BUDGETS: Final[tuple[float | None, ...]] = (23, 25, 27.5, 30, 32.5, 35, 37.5, 40, None)
PAPER_BUDGET: Final = 35.0
_MONOLITHS: Final[dict[System, Llm]] = {"monolith 34B": LLAMA_34B, "monolith 70B": LLAMA_70B}
_COMPOSITIONS: Final[tuple[System, ...]] = ("sequential", "composed")
# The first questions find memory empty, which happens once in the life of a server.
_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Projected:
    """What a system needs for the questions of a shape.

    `budget`: billions of fp16 parameters that memory has room for, None without a limit. `loads`: per question.
    `peak_bytes`: the most held at any time, on `gpus`.
    """

    shape: Shape
    system: System
    budget: float | None
    gpus: int
    mean_s: float
    p50_s: float
    p95_s: float
    loads: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The paper's budget under one changed assumption, for all shapes: mean seconds."""

    change: str
    monolith_s: float
    sequential_s: float
    composed_s: float


@dataclass(frozen=True, slots=True)
class Projection:
    """Everything projected for one GPU: the table, the curve over memory, and what the assumptions do to it."""

    given: Assumptions
    questions: int
    seed: int
    rows: tuple[Projected, ...]
    curve: tuple[Projected, ...]
    sensitivity: tuple[Changed, ...]


def project(given: Assumptions, count: int, seed: int) -> Projection:
    """Answer so many questions of each shape in every way; some milliseconds for each question and way."""
    rows = [row for shape in SHAPES for row in _rows(shape, given, count, seed)]
    known = {(row.system, row.budget): row for row in rows if row.shape == "All"}
    questions = random_questions("All", count + _WARM_UP, given, seed)
    curve = [
        known.get((system, budget)) or project_composition("All", questions, system, budget, given)
        for system in _COMPOSITIONS
        for budget in CURVE_BUDGETS
    ]
    changed = [_changed(name, each, count, seed) for name, each in changes(given).items()]
    return Projection(given, count, seed, tuple(rows), tuple(curve), tuple(changed))


def _rows(shape: Shape, given: Assumptions, count: int, seed: int) -> Iterator[Projected]:
    questions = random_questions(shape, count + _WARM_UP, given, seed)
    for name in _MONOLITHS:
        yield project_monolith(shape, questions, name, given)
    for budget in BUDGETS:
        for system in _COMPOSITIONS:
            yield project_composition(shape, questions, system, budget, given)


def project_monolith(shape: Shape, questions: list[Question], name: System, given: Assumptions) -> Projected:
    """Let one model answer every question by itself, split over as many GPUs as hold it."""
    llm = _MONOLITHS[name]
    gpus = gpus_for(footprint_bytes(llm, given), given)
    device = Device("gpus", gpus * given.gpu.memory_bytes)
    model = as_model(name, llm, (device.name,), given)
    workload = monolithic(questions, name, llm, gpus, given)
    return _simulated(shape, name, None, workload, (model,), (device,), given, gpus)


def project_composition(
    shape: Shape, questions: list[Question], system: System, budget: float | None, given: Assumptions
) -> Projected:
    """Let the team answer every question within a budget on one GPU, or without one on as many as hold all.

    Raises:
        ModelTooLargeError: the budget has no room for the pinned model and the largest expert.
    """
    llms = {GENERAL_NAME: GENERAL, **EXPERTS}
    all_bytes = sum(footprint_bytes(llm, given) for llm in llms.values())
    gpus = gpus_for(all_bytes, given) if budget is None else 1
    capacity_bytes = given.gpu.memory_bytes if budget is None else round(budget * 1e9) * BYTES_PER_PARAMETER
    devices = tuple(Device(f"gpu{place}", capacity_bytes, cores=len(llms)) for place in range(gpus))
    names = tuple(device.name for device in devices)
    # What every question needs twice stays in memory.
    models = tuple(as_model(name, llm, names, given, pinned=name == GENERAL_NAME) for name, llm in llms.items())
    workload = composed(questions, given, one_by_one=system == "sequential")
    return _simulated(shape, system, budget, workload, models, devices, given, gpus)


def _simulated(
    shape: Shape,
    system: System,
    budget: float | None,
    workload: Workload,
    models: tuple[Model, ...],
    devices: tuple[Device, ...],
    given: Assumptions,
    gpus: int,
) -> Projected:
    shared = {device.name: co_run(len(models), given) for device in devices}
    truth = Truth(co_run=shared, loads_share=True)
    result = simulate(workload, models, devices, Scheduler(models, devices), truth)
    warm_s = workload.runs[_WARM_UP].at_s
    latencies_s = sorted(run.latency_s for run in result.runs if run.arrived_s >= warm_s)
    return Projected(
        shape,
        system,
        budget,
        gpus,
        statistics.fmean(latencies_s),
        quantile(latencies_s, 0.5),
        quantile(latencies_s, 0.95),
        sum(stay.asked_s >= warm_s for stay in result.stays) / len(latencies_s),
        sum(use.peak_bytes for use in summarise(result).devices.values()),
    )


def changes(given: Assumptions) -> dict[str, Assumptions]:
    """Return the assumptions as they are and with one of them changed, by what is changed."""
    changed = {"as assumed": given}
    for sign, factor in (("- 50 %", 0.5), ("+ 50 %", 1.5)):
        faster = replace(given.gpu, bytes_per_s=given.gpu.bytes_per_s * factor)
        changed |= {
            f"memory bandwidth {sign}": replace(given, gpu=faster),
            f"load speed {sign}": replace(given, load_share=given.load_share * factor),
            f"tokens per answer {sign}": replace(given, answer_tokens=given.answer_tokens * factor),
        }
    changed["loads from one NVMe disk, 7 GB/s"] = replace(given, load_share=7e9 / given.gpu.pcie_bytes_per_s)
    changed["replicas gain nothing together"] = replace(given, shared_share=given.decode_share)
    return changed


def _changed(name: str, given: Assumptions, count: int, seed: int) -> Changed:
    questions = random_questions("All", count + _WARM_UP, given, seed)
    sequential, ours = (
        project_composition("All", questions, system, PAPER_BUDGET, given).mean_s for system in _COMPOSITIONS
    )
    return Changed(name, project_monolith("All", questions, "monolith 70B", given).mean_s, sequential, ours)
