"""Every brain on the same traces: seconds of loading, swaps, makespan, and how long runs take."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from compllm.bench.residency.belady import clairvoyant, replay_load_s
from compllm.bench.residency.policies import BASELINES, lru
from compllm.bench.residency.servers import Servers
from compllm.bench.residency.traces import Trace, random_trace
from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import Brain, SimulationResult, Truth, simulate
from compllm.core.simulation.truth import Luck

OURS, LRU, CLAIRVOYANT = "ours", "LRU by bytes", "Belady, clairvoyant"
BrainFactory = Callable[[Sequence[Model], Sequence[Device]], Brain]
# What nodes and loads really take differs from what the scheduler is told (standard deviation of the logarithm).
_TRUTH = Truth(noise=0.2)
_MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """What a brain made of a trace."""

    load_s: float
    loads: int
    makespan_s: float
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class TraceFigures:
    """One trace, and the figures of every brain by name.

    `own_order_s`: the seconds of loading that Belady's rule needs for the requests in the order in which our scheduler
    started them, where the n-th load of a model takes as long as it does in the simulations.
    """

    seed: int
    skewed: bool
    share: float
    models: int
    brains: dict[str, Figures]
    own_order_s: float

    def ratio(self, measure: Callable[[Figures], float], other: str) -> float:
        """Return ours over another brain's."""
        return measure(self.brains[OURS]) / measure(self.brains[other])


@dataclass(frozen=True, slots=True)
class ResidencyReport:
    """All traces of one measurement."""

    traces: tuple[TraceFigures, ...]

    def total_load_s(self, brain: str) -> float:
        """Return a brain's seconds of loading over all traces."""
        return sum(trace.brains[brain].load_s for trace in self.traces)

    def load_ratio(self, other: str) -> float:
        """Return ours over another brain's seconds of loading, over all traces together."""
        return self.total_load_s(OURS) / self.total_load_s(other)

    @property
    def own_order_ratio(self) -> float:
        """Our seconds of loading over what Belady's rule needs for the same requests in the same order."""
        return self.total_load_s(OURS) / sum(trace.own_order_s for trace in self.traces)


def compare_brains(seeds: Iterable[int], runs: int = 60, ours: BrainFactory = Scheduler) -> ResidencyReport:
    """Let our scheduler and every baseline work through the same traces; some tenths of a second each."""
    return ResidencyReport(tuple(compare_trace(random_trace(seed, runs), ours) for seed in seeds))


def compare_trace(trace: Trace, ours: BrainFactory = Scheduler) -> TraceFigures:
    """Let our scheduler and every baseline work through one trace."""
    result = _simulate(trace, ours(trace.models, trace.devices))
    brains = {OURS: _figures(result)}
    for baseline in BASELINES:
        brains[baseline.name] = _figures(_simulate(trace, baseline.brain(trace.models, trace.devices)))
    brains[CLAIRVOYANT] = _clairvoyant(trace)
    order = [each.model for each in sorted(result.attempts, key=lambda each: each.started_s)]
    models = {model.name: model for model in trace.models}
    own_order_s = replay_load_s(order, models, trace.devices[0].capacity_bytes, _load_s(trace))
    return TraceFigures(trace.seed, trace.skewed, trace.share, len(trace.models), brains, own_order_s)


def _clairvoyant(trace: Trace) -> Figures:
    """Return the best of Belady's rule with the order of requests of the round before, which it changes a little."""
    servers = Servers(trace.models, trace.devices, lru)
    _simulate(trace, servers)
    rounds = []
    for _ in range(_MOST_ROUNDS):
        order = servers.sent
        servers = Servers(trace.models, trace.devices, clairvoyant(order))
        rounds.append(_figures(_simulate(trace, servers)))
        if servers.sent == order:
            break
    return min(rounds, key=lambda figures: figures.load_s)


def _simulate(trace: Trace, brain: Brain) -> SimulationResult:
    return simulate(trace.workload, trace.models, trace.devices, brain, _TRUTH, trace.seed)


def _load_s(trace: Trace) -> Callable[[Model, int], float]:
    """Return what the n-th load of a model takes in the simulations of a trace."""
    luck = Luck(_TRUTH, trace.seed)
    return lambda model, number: luck.load(model, number).work_s


def _figures(result: SimulationResult) -> Figures:
    loads_s = [stay.loaded_s - stay.asked_s for stay in result.stays if stay.loaded_s is not None]
    latencies_s = [run.latency_s for run in result.runs]
    twentieths_s = statistics.quantiles(latencies_s, n=20, method="inclusive")
    return Figures(sum(loads_s), len(loads_s), result.ended_s, statistics.median(latencies_s), twentieths_s[-1])


def together(report: ResidencyReport) -> dict[str, Figures]:
    """Return the figures of every brain over all traces: sums, and medians of what latencies the traces have."""
    return {name: _together([trace.brains[name] for trace in report.traces]) for name in report.traces[0].brains}


def _together(every: Sequence[Figures]) -> Figures:
    return Figures(
        sum(figures.load_s for figures in every),
        sum(figures.loads for figures in every),
        sum(figures.makespan_s for figures in every),
        statistics.median(figures.p50_s for figures in every),
        statistics.median(figures.p95_s for figures in every),
    )


def format_residency(report: ResidencyReport) -> str:
    """Return the report as lines for people."""
    lines = [f"{'':34} {'load s':>9} {'loads':>6} {'makespan s':>10} {'p50 s':>7} {'p95 s':>7}"]
    lines += [
        f"{name:34} {f.load_s:9.0f} {f.loads:6} {f.makespan_s:10.0f} {f.p50_s:7.1f} {f.p95_s:7.1f}"
        for name, f in together(report).items()
    ]
    lines.append(f"Belady's rule on our own order needs {sum(t.own_order_s for t in report.traces):.0f} s of loading.")
    lines.append(f"{'ours over ...':34} {'together':>9} {'median':>7} {'p90':>7} {'worst':>7}")
    lines += [
        *(
            _ratios(f"load s of {other}", report, lambda f: f.load_s, other, report.load_ratio(other))
            for other in (LRU, CLAIRVOYANT)
        ),
        _ratios(f"p50 of {LRU}", report, lambda f: f.p50_s, LRU),
        _ratios(f"p95 of {LRU}", report, lambda f: f.p95_s, LRU),
        f"{'load s of Belady on our order':34} {report.own_order_ratio:9.3f}",
    ]
    return "\n".join(lines)


def format_traces(report: ResidencyReport) -> str:
    """Return a line for each trace: ours over LRU, over Belady, and over Belady on our own order; latencies of LRU."""
    return "\n".join(map(_trace_line, report.traces))


def _trace_line(trace: TraceFigures) -> str:
    ours, other = trace.brains[OURS], trace.brains[LRU]
    load_ratios = (trace.ratio(lambda f: f.load_s, LRU), trace.ratio(lambda f: f.load_s, CLAIRVOYANT))
    return (
        f"{trace.seed:3} {'skewed' if trace.skewed else 'uniform':7} {trace.share:.2f} fits, load s over LRU "
        f"{load_ratios[0]:.2f}, Belady {load_ratios[1]:.2f}, own order {ours.load_s / trace.own_order_s:.2f}; "
        f"p50 {ours.p50_s:.1f} (LRU {other.p50_s:.1f}) p95 {ours.p95_s:.1f} ({other.p95_s:.1f})"
    )


def _ratios(
    title: str, report: ResidencyReport, measure: Callable[[Figures], float], other: str, together: float | None = None
) -> str:
    ratios = sorted(trace.ratio(measure, other) for trace in report.traces)
    p90 = ratios[min(len(ratios) - 1, int(0.9 * len(ratios)))]
    first = "" if together is None else f"{together:.3f}"
    return f"{title:34} {first:>9} {statistics.median(ratios):7.3f} {p90:7.3f} {ratios[-1]:7.3f}"
