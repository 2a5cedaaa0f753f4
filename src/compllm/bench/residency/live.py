"""Residency on real worker processes: three models, a budget for two, and what the workers really hold.

The same executor is driven by our scheduler and by a server that evicts by LRU, on the same runs at the same times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import anyio
import psutil

from compllm.bench.real import Query, WorkerTeam, ask_composed, mixed_queries, worker_team
from compllm.bench.residency.policies import lru
from compllm.bench.residency.servers import Servers
from compllm.core import events as ev
from compllm.core.scheduler import Scheduler
from compllm.executor import Executor

_MODELS = 3
_FIT = 2
_SAMPLE_S = 0.02
_RUN_QUERIES = 4


@dataclass(slots=True)
class _Watched:
    """A brain whose events are looked at: what loads took."""

    brain: Scheduler | Servers
    loads_s: list[float] = field(default_factory=list)

    @property
    def models(self) -> object:
        """The models as the brain knows them, which the executor asks for when memory runs out."""
        return self.brain.models

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        """Pass events on."""
        self.loads_s += [event.load_s for event in events if isinstance(event, ev.ModelLoaded)]
        return self.brain.handle_all(events, now_s)


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """What a brain made of the queries; `peak_bytes` is the most that all workers held in any of so many samples."""

    brain: str
    load_s: float
    loads: int
    makespan_s: float
    p50_s: float
    p95_s: float
    peak_bytes: int
    samples: int


@dataclass(frozen=True, slots=True)
class LiveReport:
    """Our scheduler and LRU on the same queries, with the same budget."""

    budget_bytes: int
    queries: int
    ours: LiveFigures
    lru: LiveFigures


async def measure_swapping(
    queries: int = 40, interval_s: float = 1.5, build: Callable[[int, int | None], WorkerTeam] = worker_team
) -> LiveReport:
    """Let runs of four queries arrive at intervals, for three models of which two fit; ours first, then LRU.

    Raises:
        ConfigError: the runtime or the bundled model is not installed.
    """
    budget_bytes = _FIT * build(1, None).models[0].footprint_bytes
    team = build(_MODELS, budget_bytes)
    asked = mixed_queries(queries)
    ours = await _measure("ours", team, Scheduler(team.models, [team.device]), asked, interval_s)
    by_lru = await _measure("LRU", team, Servers(team.models, [team.device], lru), asked, interval_s)
    return LiveReport(budget_bytes, queries, ours, by_lru)


async def _measure(
    name: str, team: WorkerTeam, brain: Scheduler | Servers, queries: Sequence[Query], interval_s: float
) -> LiveFigures:
    watched, latencies_s, held_bytes = _Watched(brain), list[float](), list[int]()

    async def live(executor: Executor, number: int) -> None:
        await anyio.sleep(number * interval_s)
        began_s = time.monotonic()
        mine = queries[number * _RUN_QUERIES : (number + 1) * _RUN_QUERIES]
        await ask_composed(executor, f"run{number}", mine, _MODELS)
        latencies_s.append(time.monotonic() - began_s)

    began_s = time.monotonic()
    async with Executor(cast("Scheduler", watched), team.backends) as executor, anyio.create_task_group() as sampling:
        sampling.start_soon(_sample, held_bytes)
        async with anyio.create_task_group() as runs:
            for number in range(len(queries) // _RUN_QUERIES):
                runs.start_soon(live, executor, number)
        makespan_s = time.monotonic() - began_s
        sampling.cancel_scope.cancel()
    p95_s = statistics.quantiles(latencies_s, n=20, method="inclusive")[-1]
    loads_s, p50_s = watched.loads_s, statistics.median(latencies_s)
    return LiveFigures(name, sum(loads_s), len(loads_s), makespan_s, p50_s, p95_s, max(held_bytes), len(held_bytes))


async def _sample(held_bytes: list[int]) -> None:
    """Note again and again what all workers below this process hold, shared pages counted in each."""
    me, next_s = psutil.Process(), anyio.current_time()
    while True:
        held_bytes.append(sum(map(_resident_bytes, me.children(recursive=True))))
        next_s = max(next_s + _SAMPLE_S, anyio.current_time())
        await anyio.sleep_until(next_s)


def _resident_bytes(worker: psutil.Process) -> int:
    try:
        return int(worker.memory_info().rss)
    except psutil.NoSuchProcess:  # it has just ended
        return 0


def format_live(report: LiveReport) -> str:
    """Return the report as lines for people."""
    lines = [f"{report.queries} queries, three models, budget {report.budget_bytes / 2**20:.0f} MiB"]
    lines += [
        f"{f.brain:5} {f.loads:3} loads, {f.load_s:.2f} s; runs p50 {f.p50_s:.2f} s, p95 {f.p95_s:.2f} s, all "
        f"{f.makespan_s:.2f} s; workers hold {f.peak_bytes / 2**20:.0f} MiB at most ({f.samples} samples)"
        for f in (report.ours, report.lru)
    ]
    return "\n".join(lines)
