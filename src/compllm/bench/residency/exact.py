"""The shortest makespan of a small instance, proved optimal by OR-tools' CP-SAT.

The model holds the rules of the simulator. A node runs on a resident replica of its model, for its length, after its
parents; a replica serves at most `slots` nodes at once and holds its threads while it serves any; it holds its bytes
from the start of its load until it is evicted, which takes no time; a model may be loaded again, and has one replica at
a time.

The variables of a model are its *bouts*, in order of time: spans in which it serves nodes. A bout either begins with a
load or takes over the replica of the bout before, whose bytes were held meanwhile. So many bouts as nodes suffice, and
a bout that covers a pause only wastes cores, so that the optimum is that of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from compllm.bench.residency.instances import Instance
from compllm.bench.residency.schedule import Placed, Schedule, Stay
from compllm.core.ledger import Device, Model
from compllm.core.workload import WorkNode
from compllm.errors import ConfigError

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar

_TICKS_PER_S = 2  # a whole second takes half a second on a device of twice the speed


@dataclass(frozen=True, slots=True)
class Solution:
    """A schedule; `proved` says that none is shorter, `solve_s` how long the proof took."""

    schedule: Schedule
    proved: bool
    solve_s: float


@dataclass(slots=True)
class _Bout:
    """The variables of one bout; `on` says on which device it is, and all are false when it does not take place."""

    held: IntVar
    began: IntVar
    ended: IntVar
    present: IntVar
    loads: IntVar
    on: dict[str, IntVar]


@dataclass(slots=True)
class _Builder:
    """The constraint model of an instance, in ticks."""

    instance: Instance
    horizon: int
    program: CpModel
    began: dict[int, IntVar] = field(default_factory=dict)
    ended: dict[int, IntVar] = field(default_factory=dict)
    bouts: dict[str, list[_Bout]] = field(default_factory=dict)

    def build(self) -> None:
        """State everything."""
        for node in self.instance.run.nodes:
            self.began[node.id] = self._time(f"began{node.id}")
            self.ended[node.id] = self._time(f"ended{node.id}")
        for model in self.instance.models:
            nodes = [node for node in self.instance.run.nodes if node.model == model.name]
            self._add_model(model, nodes)
        for node in self.instance.run.nodes:
            for parent in node.parents:
                self.program.add(self.began[node.id] >= self.ended[parent])
        for device in self.instance.devices:
            self._add_device(device)
        makespan = self._time("makespan")
        self.program.add_max_equality(makespan, list(self.ended.values()))
        self.program.minimize(makespan)

    def _add_model(self, model: Model, nodes: list[WorkNode]) -> None:
        bouts = self.bouts[model.name] = [self._bout(model, n) for n in range(len(nodes))]
        for earlier, later in pairwise(bouts):
            self._follow(earlier, later)
        if bouts:
            self.program.add_implication(bouts[0].present, bouts[0].loads)
        for bout in bouts:
            self._add_load(model, bout)
        serves = {node.id: [self.program.new_bool_var("") for _ in bouts] for node in nodes}
        for node in nodes:
            self.program.add_exactly_one(serves[node.id])
            for bout, chosen in zip(bouts, serves[node.id], strict=True):
                self._add_service(node, bout, chosen)
        for n, bout in enumerate(bouts):
            self.program.add_bool_or([bout.present.negated(), *(serves[node.id][n] for node in nodes)])
        if len(nodes) > model.slots:
            spans = [self._span(node) for node in nodes]
            self.program.add_cumulative(spans, [1] * len(spans), model.slots)

    def _bout(self, model: Model, number: int) -> _Bout:
        name = f"{model.name}.{number}"
        on = {device: self.program.new_bool_var(f"{name}@{device}") for device in model.devices}
        present, loads = (self.program.new_bool_var(f"{name} {word}") for word in ("present", "loads"))
        held, began, ended = (self._time(f"{name} {word}") for word in ("held", "began", "ended"))
        bout = _Bout(held, began, ended, present, loads, on)
        self.program.add(sum(on.values()) == bout.present)
        self.program.add(bout.held <= bout.began)
        self.program.add(bout.began <= bout.ended)
        return bout

    def _follow(self, earlier: _Bout, later: _Bout) -> None:
        self.program.add_implication(later.present, earlier.present)
        self.program.add(later.held >= earlier.ended).only_enforce_if(later.present)
        stays = [later.present, later.loads.negated()]
        self.program.add(later.held == earlier.ended).only_enforce_if(stays)
        for device, here in later.on.items():
            self.program.add_bool_or([later.loads, here.negated(), earlier.on[device]])

    def _add_load(self, model: Model, bout: _Bout) -> None:
        for device, here in bout.on.items():
            load = _ticks(model.load_s / self.speed(device))
            self.program.add(bout.began >= bout.held + load).only_enforce_if([here, bout.loads])

    def _add_service(self, node: WorkNode, bout: _Bout, chosen: IntVar) -> None:
        began, ended = self.began[node.id], self.ended[node.id]
        self.program.add_implication(chosen, bout.present)
        self.program.add(began >= bout.began).only_enforce_if(chosen)
        self.program.add(ended <= bout.ended).only_enforce_if(chosen)
        for device, here in bout.on.items():
            length = _ticks(node.duration_s / self.speed(device))
            self.program.add(ended == began + length).only_enforce_if([chosen, here])

    def _add_device(self, device: Device) -> None:
        models = [model for model in self.instance.models if device.name in model.devices]
        held, held_bytes, busy, busy_cores = [], [], [], []
        for model in models:
            for bout in self.bouts[model.name]:
                here = bout.on[device.name]
                held.append(self._optional(bout.held, bout.ended, here))
                held_bytes.append(model.footprint_bytes)
                busy.append(self._optional(bout.began, bout.ended, here))
                busy_cores.append(model.threads)
        self.program.add_cumulative(held, held_bytes, device.capacity_bytes)
        if sum(model.threads for model in models) > device.cores:
            self.program.add_cumulative(busy, busy_cores, device.cores)

    def _optional(self, began: IntVar, ended: IntVar, present: IntVar) -> Any:
        return self.program.new_optional_interval_var(began, self._time("length"), ended, present, "")

    def _span(self, node: WorkNode) -> Any:
        began, ended = self.began[node.id], self.ended[node.id]
        return self.program.new_interval_var(began, self._time("length"), ended, "")

    def speed(self, device: str) -> float:
        """Return what times on the device are divided by."""
        return next(each.speed for each in self.instance.devices if each.name == device)

    def _time(self, name: str) -> IntVar:
        return self.program.new_int_var(0, self.horizon, name)


def solve(instance: Instance, *, known_s: float | None = None, limit_s: float = 600.0, workers: int = 2) -> Solution:
    """Return a shortest schedule; `known_s` is the makespan of some schedule, which narrows the search.

    Exponential in the number of nodes; up to some minutes for a dozen.

    Raises:
        ConfigError: OR-tools is not installed.
        ValueError: there is no schedule within `known_s`, or none was found in time.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise ConfigError("the optimum needs OR-tools: pip install 'compllm[bench]'") from None

    builder = _Builder(instance, _ticks(known_s or instance.serial_s), cp_model.CpModel())
    builder.build()
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.max_time_in_seconds = limit_s
    status = solver.solve(builder.program)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise ValueError(f"instance {instance.seed}: CP-SAT says {solver.status_name(status)}")
    return _read(builder, solver, proved=status == cp_model.OPTIMAL)


def _read(builder: _Builder, solver: Any, *, proved: bool) -> Solution:
    """Return the schedule that the solver found; bouts that share a replica are one stay."""
    placed: list[Placed] = []
    stays: list[Stay] = []
    for model in builder.instance.models:
        for bout in builder.bouts[model.name]:
            if not solver.value(bout.present):
                break
            device = next(name for name, here in bout.on.items() if solver.value(here))
            held_s, ended_s = (solver.value(time) / _TICKS_PER_S for time in (bout.held, bout.ended))
            if solver.value(bout.loads):
                load_s = model.load_s / builder.speed(device)
                stays.append(Stay(model.name, device, held_s, held_s + load_s, ended_s))
            else:
                stays[-1] = replace(stays[-1], evicted_s=ended_s)
    for node in builder.instance.run.nodes:
        began_s, ended_s = (solver.value(times[node.id]) / _TICKS_PER_S for times in (builder.began, builder.ended))
        home = next(stay for stay in stays if stay.model == node.model and stay.evicted_s >= ended_s)
        placed.append(Placed(node.id, home.device, began_s, ended_s))
    return Solution(Schedule(tuple(placed), tuple(stays)), proved, solver.wall_time)


def _ticks(seconds: float) -> int:
    ticks = seconds * _TICKS_PER_S
    if ticks != int(ticks):
        raise ValueError(f"{seconds} s is not a whole number of ticks")
    return int(ticks)
