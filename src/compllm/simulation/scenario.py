"""What is simulated: devices, models and experts, from a simulation file or from a team file.

A simulation file describes models by numbers alone, so that hardware and models can be tried that nobody has yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compllm.assembly import make_embedded, model_of
from compllm.config import EmbeddedModelConfig, Name, Size, TeamFile, check_devices, find_team, load_team
from compllm.core.ledger import Device, Model
from compllm.core.rules import Rules
from compllm.core.simulation import Failures, Truth
from compllm.core.workload import Mix
from compllm.errors import ConfigError
from compllm.settings import load_settings
from compllm.yamlfile import Document, Key, explain_errors, read_yaml

Factor = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _SimulatedDevice(_Section):
    """What has memory; `co_run` is the speed of each computing replica when 1, 2, ... of them compute."""

    capacity: Size = Field(gt=0)
    cores: int = Field(1, ge=1)
    speed: Factor = 1.0
    co_run: tuple[Factor, ...] = ()


class _SimulatedModel(_Section):
    """What takes memory; `curve` is its throughput with 1, 2, ... requests in flight relative to one."""

    footprint: Size = Field(ge=0)
    load_s: float = Field(1.0, ge=0)
    slots: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)
    curve: tuple[Factor, ...] = ()
    devices: tuple[str, ...] = ()
    pinned: bool = False


class _Trouble(_Section):
    """What goes wrong, as in `Failures`, and how far durations stray (`noise`)."""

    noise: float = Field(0.0, ge=0, le=3)
    node_failures: Share = 0.0
    load_failures: Share = 0.0
    retryable: Share = 0.7
    crash_mean_s: float | None = Field(None, gt=0)
    cancelled: Share = 0.0
    larger: Share = 0.0


class _Traffic(_Section):
    """What random runs are like, as in `Mix`."""

    rate: float = Field(1.0, gt=0)
    skew: float = Field(1.0, ge=0, le=10)
    sizes: tuple[Count, Count] = (2, 8)
    duration_s: float = Field(1.0, gt=0)
    spread: float = Field(0.5, ge=0, le=3)
    estimates: bool = True
    users: int = Field(1, ge=1)
    deadline_s: float | None = Field(None, gt=0)


class _SimulationFile(_Section):
    devices: dict[Name, _SimulatedDevice] = Field(min_length=1)
    models: dict[Name, _SimulatedModel] = Field(min_length=1)
    experts: dict[Name, Name] = Field(default_factory=dict)
    trouble: _Trouble = _Trouble()
    traffic: _Traffic = _Traffic()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Devices and models, the model of every expert, what is true of them, and what random runs are like."""

    devices: tuple[Device, ...]
    models: tuple[Model, ...]
    experts: Mapping[str, str]
    truth: Truth = field(default_factory=Truth)
    mix: Mix = field(default_factory=Mix)
    rules: Rules = field(default_factory=Rules)

    def with_device(self, name: str, **changes: Any) -> Scenario:
        """Return the scenario with another capacity or speed of a device.

        Raises:
            ConfigError: there is no such device.
        """
        names = [device.name for device in self.devices]
        if name not in names:
            raise ConfigError(f"there is no device {name!r}; the devices are {', '.join(names)}")
        return replace(self, devices=tuple(replace(d, **changes) if d.name == name else d for d in self.devices))


def load_scenario(path: Path | None = None) -> Scenario:
    """Read a simulation file or a team file: the one named, else the team that `compllm ask` would use.

    A file is a simulation file when a model of it has a `footprint`. Nothing is loaded; the footprints of a team are
    those that its scheduler begins with.

    Raises:
        ConfigError: the file is not usable; the message names file, line, key and the way out.
    """
    found = find_team(path)
    document = read_yaml(found)
    if not _is_simulation(document.data):
        return _from_team(load_team(path))
    try:
        file = _SimulationFile.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(explain_errors(document, error, _SimulationFile)) from None
    _check_names(document, file)
    return _from_file(file)


def _is_simulation(data: Any) -> bool:
    models = data.get("models") if isinstance(data, Mapping) else None
    described = list(models.values()) if isinstance(models, Mapping) else []
    return any(isinstance(each, Mapping) and "footprint" in each for each in described)


def _check_names(document: Document, file: _SimulationFile) -> None:
    check_devices(document, file.devices)
    for name, model in file.models.items():
        for place, device in enumerate(model.devices):
            _known(document, ("models", name, "devices", place), device, file.devices, "device")
    for expert, model_name in file.experts.items():
        _known(document, ("experts", expert), model_name, file.models, "model")
    least, most = file.traffic.sizes
    if least > most:
        problem = f"the least nodes of a plan, {least}, are more than the most, {most}"
        raise document.error(("traffic", "sizes"), problem, "write the smaller number first")


def _known(document: Document, key: Key, name: str, known: Mapping[str, Any], what: str) -> None:
    if name not in known:
        raise document.error(key, f"{name!r} is no {what} of this file", f"use one of {', '.join(known)}, or add it")


def _from_file(file: _SimulationFile) -> Scenario:
    homes = tuple(file.devices)
    devices = (Device(name, int(each.capacity), each.cores, each.speed) for name, each in file.devices.items())
    models = (_simulated(name, each, homes) for name, each in file.models.items())
    return Scenario(
        tuple(devices),
        tuple(models),
        file.experts or {name: name for name in file.models},
        _truth(file),
        _mix(file.traffic),
    )


def _truth(file: _SimulationFile) -> Truth:
    trouble = file.trouble
    failures = Failures(
        trouble.node_failures,
        trouble.load_failures,
        trouble.retryable,
        trouble.crash_mean_s or math.inf,
        trouble.cancelled,
        trouble.larger,
    )
    co_run = {name: each.co_run for name, each in file.devices.items() if each.co_run}
    return Truth(co_run=co_run, noise=trouble.noise, failures=failures)


def _mix(traffic: _Traffic) -> Mix:
    return Mix(
        rate_per_s=traffic.rate,
        skew=traffic.skew,
        sizes=traffic.sizes,
        duration_s=traffic.duration_s,
        spread=traffic.spread,
        known=traffic.estimates,
        users=traffic.users,
        deadline_s=traffic.deadline_s,
    )


def _simulated(name: str, given: _SimulatedModel, homes: tuple[str, ...]) -> Model:
    return Model(
        name,
        int(given.footprint),
        given.slots,
        given.threads,
        given.devices or homes,
        given.pinned,
        given.load_s,
        given.curve,
    )


def _from_team(team: TeamFile) -> Scenario:
    config = team.config
    devices = tuple(Device(name, each.capacity_bytes, each.core_count) for name, each in config.devices.items())
    settings = load_settings()
    backends = {
        name: make_embedded(team, each, settings)
        for name, each in config.models.items()
        if isinstance(each, EmbeddedModelConfig)
    }
    models = tuple(model_of(name, backends.get(name), each, devices) for name, each in config.models.items())
    experts = {name: expert.model for name, expert in config.experts.items()}
    return Scenario(devices, models, experts, rules=Rules(skip_descendants=config.on_failure == "skip"))
