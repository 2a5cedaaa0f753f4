"""Devices as they are and as they might be."""

from __future__ import annotations

import pytest

from compllm.core.ledger import Device, Model
from compllm.core.simulation import summarise
from compllm.core.workload import Mix, Workload, WorkNode, WorkRun, random_workload
from compllm.errors import ConfigError, ModelTooLargeError
from compllm.simulation.scenario import Scenario
from compllm.simulation.whatif import simulate_all, vary

MODELS = tuple(Model(f"m{n}", 4, devices=("cpu", "gpu"), load_s=3.0) for n in range(4))
SCENARIO = Scenario((Device("cpu", 6, 4), Device("gpu", 5, 4)), MODELS, {model.name: model.name for model in MODELS})


def workload(scenario: Scenario = SCENARIO) -> Workload:
    return random_workload(30, scenario.experts, Mix(rate_per_s=0.5), 1)


def test_a_change_is_a_scenario_of_its_own() -> None:
    varied = vary(SCENARIO, ["cpu=1KiB", "cpu=20, gpu=30"], ["gpu=2"])
    assert {name: scenario.devices for name, scenario in varied.items()} == {
        "as it is": (Device("cpu", 6, 4), Device("gpu", 5, 4)),
        "cpu=1KiB": (Device("cpu", 1024, 4), Device("gpu", 5, 4)),
        "cpu=20, gpu=30": (Device("cpu", 20, 4), Device("gpu", 30, 4)),
        "speed gpu=2": (Device("cpu", 6, 4), Device("gpu", 5, 4, 2.0)),
    }


@pytest.mark.parametrize("text", ["cpu", "cpu=", "cpu=much", "cpu=0", "cpu=-1GiB", "=1GiB", "tpu=1GiB"])
def test_a_capacity_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write a device and its capacity|there is no device"):
        vary(SCENARIO, [text], [])


@pytest.mark.parametrize("text", ["cpu", "cpu=0", "cpu=nan", "cpu=inf", "cpu=fast"])
def test_a_speed_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match="write a device and its speed"):
        vary(SCENARIO, [], [text])


def test_more_memory_saves_loads_and_time() -> None:
    results = simulate_all(vary(SCENARIO, ["cpu=16"], []), workload(), seed=1)
    small, large = (summarise(result) for result in results.values())
    assert large.loads == 4 < small.loads
    assert large.latency.mean_s < small.latency.mean_s
    assert small.ends == large.ends == {"answered": 30}


def test_a_trace_of_another_team_is_refused() -> None:
    other = Scenario(SCENARIO.devices, (Model("far"),), {"law": "far"})
    with pytest.raises(ConfigError, match="expert 'law' to model 'far', which is none of m0, m1, m2, m3; simulate it"):
        simulate_all({"as it is": SCENARIO}, workload(other), seed=1)


def test_an_expert_of_a_trace_may_have_changed_its_model_but_none_may_be_unknown() -> None:
    nodes = (WorkNode(1, (), "law", "far", 1.0), WorkNode(2, (), "law", "m0", 1.0))
    with pytest.raises(ConfigError, match="expert 'law' to model 'far', which is none of m0, m1, m2, m3; simulate it"):
        simulate_all({"as it is": SCENARIO}, Workload((WorkRun("r", 0.0, nodes),)), seed=1)


def test_a_capacity_that_is_too_small_for_a_model_is_refused() -> None:
    with pytest.raises(ModelTooLargeError, match="model 'm0'"):
        simulate_all(vary(SCENARIO, ["cpu=1,gpu=1"], []), workload(), seed=1)
