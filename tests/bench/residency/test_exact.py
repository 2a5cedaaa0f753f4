"""The proved optimum: instances solved by hand, and the rules checked on what CP-SAT hands back."""

from __future__ import annotations

import pytest

from compllm.bench.residency.exact import solve
from compllm.bench.residency.instances import Instance, small_instance
from compllm.bench.residency.schedule import violations
from compllm.core.ledger import Device, Model
from compllm.core.workload import WorkNode, WorkRun

pytest.importorskip("ortools")


def model(name: str, size: int = 4, *, load_s: float = 3.0, slots: int = 1, threads: int = 1, on: str = "d") -> Model:
    return Model(name, size, slots=slots, threads=threads, devices=tuple(on.split()), load_s=load_s)


def instance(models: list[Model], devices: list[Device], *nodes: tuple[str, float, tuple[int, ...]]) -> Instance:
    work = (WorkNode(n, parents, f"e-{name}", name, s) for n, (name, s, parents) in enumerate(nodes, start=1))
    return Instance(0, tuple(models), tuple(devices), WorkRun("plan", 0.0, tuple(work)))


def optimum_s(given: Instance) -> float:
    solution = solve(given, workers=1)
    assert solution.proved
    assert violations(given, solution.schedule) == []
    return solution.schedule.makespan_s


def test_a_load_comes_before_the_first_node() -> None:
    assert optimum_s(instance([model("a")], [Device("d", 4)], ("a", 2.0, ()))) == 5.0


def test_one_load_serves_all_nodes_of_a_batch() -> None:
    assert optimum_s(instance([model("a", slots=2)], [Device("d", 4)], ("a", 2.0, ()), ("a", 2.0, ()))) == 5.0
    assert optimum_s(instance([model("a", slots=1)], [Device("d", 4)], ("a", 2.0, ()), ("a", 2.0, ()))) == 7.0


def test_models_that_fit_together_load_together() -> None:
    nodes = (("a", 2.0, ()), ("b", 2.0, ()))
    assert optimum_s(instance([model("a"), model("b")], [Device("d", 8, cores=2)], *nodes)) == 5.0
    assert optimum_s(instance([model("a"), model("b")], [Device("d", 7, cores=2)], *nodes)) == 10.0


def test_cores_are_held_once_per_computing_model() -> None:
    models = [model("a", slots=2, threads=2), model("b", threads=2)]
    nodes = (("a", 2.0, ()), ("a", 2.0, ()), ("b", 2.0, ()))
    assert optimum_s(instance(models, [Device("d", 8, cores=4)], *nodes)) == 5.0
    assert optimum_s(instance(models, [Device("d", 8, cores=2)], *nodes)) == 7.0


def test_a_model_is_loaded_again_when_that_is_what_the_plan_needs() -> None:
    chain = (("a", 1.0, ()), ("b", 1.0, (1,)), ("a", 1.0, (2,)))
    models = [model("a"), model("b")]
    assert optimum_s(instance(models, [Device("d", 4)], *chain)) == 12.0
    assert optimum_s(instance(models, [Device("d", 8)], *chain)) == 6.0


def test_the_next_model_is_loaded_while_the_first_computes() -> None:
    chain = (("a", 5.0, ()), ("b", 1.0, (1,)))
    assert optimum_s(instance([model("a"), model("b")], [Device("d", 8)], *chain)) == 9.0


def test_loads_and_nodes_are_faster_on_a_faster_device() -> None:
    devices = [Device("d", 4), Device("fast", 4, speed=2.0)]
    assert optimum_s(instance([model("a", on="d fast")], devices, ("a", 4.0, ()))) == 3.5


def test_one_replica_of_a_model_at_a_time() -> None:
    devices = [Device("d", 4), Device("e", 4)]
    assert optimum_s(instance([model("a", on="d e")], devices, ("a", 2.0, ()), ("a", 2.0, ()))) == 7.0


def test_a_bound_below_the_optimum_leaves_no_schedule() -> None:
    with pytest.raises(ValueError, match="INFEASIBLE"):
        solve(instance([model("a")], [Device("d", 4)], ("a", 2.0, ())), known_s=4.0, workers=1)


def test_times_that_the_solver_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        solve(instance([model("a", load_s=0.3)], [Device("d", 4)], ("a", 2.0, ())))


def test_a_random_instance_is_solved_by_a_valid_schedule() -> None:
    given = small_instance(10)
    assert optimum_s(given) >= given.run.critical_path_s
