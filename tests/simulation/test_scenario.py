"""What is simulated: simulation files and team files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from compllm.core.ledger import Device, Model
from compllm.errors import ConfigError
from compllm.simulation.scenario import load_scenario

FILE = """\
devices:
  cpu: {capacity: 24GiB, cores: 4, speed: 0.5, co_run: [1, 0.9]}
  gpu: {capacity: 8GiB}
models:
  small: {footprint: 2GiB, load_s: 3, slots: 2, threads: 4, curve: [1, 1.7], devices: [gpu, cpu], pinned: true}
  other: {footprint: 100}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "simulation.yaml"
    path.write_text(text)
    return path


def test_a_simulation_file_describes_devices_and_models_by_numbers(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, FILE))
    gib = 2**30
    assert scenario.devices == (Device("cpu", 24 * gib, 4, 0.5), Device("gpu", 8 * gib))
    assert scenario.models == (
        Model("small", 2 * gib, 2, 4, ("gpu", "cpu"), pinned=True, load_s=3.0, curve=(1.0, 1.7)),
        Model("other", 100, devices=("cpu", "gpu")),
    )
    assert scenario.experts == {"small": "small", "other": "other"}
    assert scenario.truth.co_run == {"cpu": (1.0, 0.9)}


def test_trouble_and_traffic_may_be_described_too(tmp_path: Path) -> None:
    more = (
        "experts: {law: small}\ntrouble: {noise: 0.3, crash_mean_s: 600, larger: 0.1}\ntraffic: {rate: 2, users: 3}\n"
    )
    scenario = load_scenario(write(tmp_path, FILE + more))
    assert scenario.experts == {"law": "small"}
    failures = scenario.truth.failures
    assert (scenario.truth.noise, failures.crash_mean_s, failures.larger) == (0.3, 600.0, 0.1)
    assert (scenario.mix.rate_per_s, scenario.mix.users) == (2.0, 3)
    assert math.isinf(load_scenario(write(tmp_path, FILE)).truth.failures.crash_mean_s)


@pytest.mark.parametrize(
    ("found", "instead", "problem"),
    [
        ("devices: [gpu, cpu]", "devices: [tpu]", r"simulation.yaml:5: models.small.devices.0: 'tpu' is no device"),
        ("footprint: 100", "footprints: 100", r"simulation.yaml:6: models.other.footprints: unknown key"),
        ("footprint: 100", "footprint: big", r"simulation.yaml:6: models.other.footprint: .* size in bytes"),
        ("cores: 4", "cores: 0", r"simulation.yaml:2: devices.cpu.cores: "),
        ("devices:\n", "experts: {a: b}\ndevices:\n", r"simulation.yaml:1: experts.a: 'b' is no model"),
        ("  gpu:", "  remote:", r"simulation.yaml:3: devices.remote: `remote` is where models are"),
        ("devices:\n", "traffic: {sizes: [8, 2]}\ndevices:\n", r"simulation.yaml:1: traffic.sizes: .* 8, .* most, 2"),
        ("devices:\n", "traffic: {sizes: [0, 2]}\ndevices:\n", r"simulation.yaml:1: traffic.sizes.0: .* 1"),
    ],
)
def test_a_mistake_is_answered_with_file_line_and_remedy(
    tmp_path: Path, found: str, instead: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_scenario(write(tmp_path, FILE.replace(found, instead, 1)))


def test_a_team_of_hosted_models_can_be_simulated(tmp_path: Path) -> None:
    team = """\
models:
  far: {backend: endpoint, base_url: "http://127.0.0.1:1/v1", model: x, slots: 3}
experts:
  law: {model: far, description: An expert in law}
router: {fallback: law}
on_failure: continue
devices:
  cpu: {capacity: 1GiB, cores: 3}
"""
    scenario = load_scenario(write(tmp_path, team))
    assert (scenario.devices, scenario.models) == ((Device("cpu", 2**30, 3),), (Model("far", slots=3),))
    assert (scenario.experts, scenario.rules.skip_descendants) == ({"law": "far"}, False)


def test_a_team_file_with_a_mistake_is_answered_as_a_team_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.far\.backend"):
        load_scenario(write(tmp_path, "models: {far: {slots: 3}}\nexperts: {a: {model: far}}\n"))


def test_a_device_may_be_changed(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, FILE))
    assert scenario.with_device("gpu", speed=2.0).devices[1] == Device("gpu", 8 * 2**30, speed=2.0)
    with pytest.raises(ConfigError, match="no device 'tpu'; the devices are cpu, gpu"):
        scenario.with_device("tpu", speed=2.0)
