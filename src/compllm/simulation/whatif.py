"""The same workload on the devices as they are and as they might be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pydantic import ByteSize, TypeAdapter, ValidationError

from compllm.core.scheduler import Scheduler
from compllm.core.simulation import SimulationResult, simulate
from compllm.core.workload import Workload
from compllm.errors import ConfigError
from compllm.simulation.scenario import Scenario


def vary(scenario: Scenario, capacities: Sequence[str], speeds: Sequence[str]) -> dict[str, Scenario]:
    """Return the scenario as it is and one for each change, by what they are called in reports.

    A change is written `cpu=48GiB` (capacity) or `cpu=2` (speed), one of several devices `cpu=48GiB,gpu=8GiB`.

    Raises:
        ConfigError: a change cannot be read or names no device.
    """
    changed = {text: _changed(scenario, text, "capacity_bytes", _bytes) for text in capacities}
    changed |= {f"speed {text}": _changed(scenario, text, "speed", _factor) for text in speeds}
    return {"as it is": scenario, **changed}


def _changed(scenario: Scenario, text: str, field: str, read: Callable[[str], float]) -> Scenario:
    for part in text.split(","):
        device, _, value = part.partition("=")
        try:
            scenario = scenario.with_device(device.strip(), **{field: read(value)})
        except ValueError as error:
            raise ConfigError(f"{part!r}: {error}") from None
    return scenario


def _bytes(text: str) -> int:
    try:
        size_bytes = int(TypeAdapter(ByteSize).validate_python(text.strip()))
    except ValidationError:
        size_bytes = 0
    if size_bytes <= 0:
        raise ValueError("write a device and its capacity, like cpu=48GiB")
    return size_bytes


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < math.inf:
        raise ValueError("write a device and its speed, like cpu=2")
    return factor


def simulate_all(scenarios: Mapping[str, Scenario], workload: Workload, seed: int) -> dict[str, SimulationResult]:
    """Let a scheduler work through the workload in each scenario; all of them meet the same luck.

    Raises:
        ConfigError: the workload names a model that a scenario has not.
        ModelTooLargeError: a model fits no device.
    """
    return {name: _simulate(scenario, workload, seed) for name, scenario in scenarios.items()}


def _simulate(scenario: Scenario, workload: Workload, seed: int) -> SimulationResult:
    known = {model.name for model in scenario.models}
    for node in (node for run in workload.runs for node in run.nodes):
        if node.model not in known:
            raise ConfigError(
                f"the trace sends expert {node.expert!r} to model {node.model!r}, "
                f"which is none of {', '.join(sorted(known))}; "
                "simulate it with the file of the team it was recorded from, or add the model"
            )
    scheduler = Scheduler(scenario.models, scenario.devices, scenario.rules)
    return simulate(workload, scenario.models, scenario.devices, scheduler, scenario.truth, seed)
