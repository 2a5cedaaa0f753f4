"""Metrics in Prometheus' form: counters and histograms from what happens, gauges from what is when somebody looks.

Names that begin with `gen_ai` are those of OpenTelemetry's semantic conventions for generative AI. Values of labels are
words of the team file or of a closed list, never of a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.inspection import Snapshot
from compllm.core.nodes import ENDED, NodeState
from compllm.core.routing import Assignment

# The buckets that the semantic conventions advise, seconds and tokens.
_FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_SCORES = tuple(tenth / 10 for tenth in range(1, 11))
_CHAT = ("gen_ai_request_model",)
_TOKEN = ("gen_ai_token_type",)


@dataclass(slots=True)
class _Open:
    """What has to be remembered of a run while it is open; one may be cancelled before it has started."""

    began_s: float
    has_first_token: bool = False
    is_cancelled: bool = False
    chosen: dict[int, str] = field(default_factory=dict)


class Metrics:
    """An observer that counts; `now_s` is a clock in seconds."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._open: dict[str, _Open] = {}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        counter = partial(Counter, registry=self._registry)
        asked, model = "From a sub-query's request to ", ("model",)
        self._runs = histogram("compllm_run_seconds", "Runs by how they ended.", ("outcome",), buckets=_DURATION_S)
        self._run_first_token = histogram(
            "compllm_run_first_token_seconds", "From the question to its answer's first piece.", buckets=_FIRST_TOKEN_S
        )
        self._run_tokens = counter("compllm_run_tokens", "Tokens of all calls of completed runs.", _TOKEN)
        self._first_token = histogram(
            "gen_ai_server_time_to_first_token_seconds", f"{asked}the first token.", _CHAT, buckets=_FIRST_TOKEN_S
        )
        self._per_token = histogram(
            "gen_ai_server_time_per_output_token_seconds", "For each token after it.", _CHAT, buckets=_PER_TOKEN_S
        )
        self._duration = histogram(
            "gen_ai_server_request_duration_seconds", f"{asked}the last token.", _CHAT, buckets=_DURATION_S
        )
        self._usage = histogram("gen_ai_client_token_usage", "Tokens of a sub-query.", _CHAT + _TOKEN, buckets=_TOKENS)
        self._scores = histogram("compllm_similarity", "Score of who was chosen.", ("mode",), buckets=_SCORES)
        self._fallbacks = counter("compllm_fallbacks", "Sub-queries that a fallback got, by why.", ("reason",))
        self._failures = counter("compllm_node_failures", "Attempts that failed.", ("expert",))
        self._gaps = counter("compllm_gaps", "Sub-queries without an answer, by why.", ("reason",))
        self._loads = histogram("compllm_model_load_seconds", "Loads of models.", model, buckets=_DURATION_S)
        self._load_failures = counter("compllm_model_load_failures", "Loads that failed.", model)
        self._evictions = counter("compllm_model_evictions", "Models that left memory.", model)
        self._crashes = counter("compllm_model_crashes", "Models that died.", model)

    def render(self, snapshot: Snapshot) -> bytes:
        """Return everything as text in Prometheus' format, the gauges from the snapshot."""
        return generate_latest(self._registry) + generate_latest(_Now(snapshot))

    def observe(self, event: ev.Event) -> None:
        """Take note of an event."""
        match event:
            case ev.NodeDelta():
                pass  # the most frequent by far
            case ev.AnswerDelta(run):
                self._first_piece(self._of(run))
            case ev.ModelLoaded() | ev.ModelLoadFailed() | ev.ModelEvicted() | ev.ModelCrashed():
                self._observe_model(event)
            case ev.RunStarted() | ev.RunCancelled() | ev.RunCompleted() | ev.RunFailed():
                self._observe_run(event)
            case _:
                self._observe_node(event)

    def _observe_model(self, event: ev.Event) -> None:
        match event:
            case ev.ModelLoaded(model, _, _, load_s):
                self._loads.labels(model).observe(load_s)
            case ev.ModelLoadFailed(model):
                self._load_failures.labels(model).inc()
            case ev.ModelEvicted(model):
                self._evictions.labels(model).inc()
            case ev.ModelCrashed(model):
                self._crashes.labels(model).inc()

    def _observe_run(self, event: ev.Event) -> None:
        match event:
            case ev.RunStarted(run):
                self._of(run)
            case ev.RunCancelled(run):
                self._of(run).is_cancelled = True
            case ev.RunCompleted(run, _, gaps, prompt_tokens, completion_tokens):
                self._ended(run, "gaps" if gaps else "answered")
                self._run_tokens.labels("input").inc(prompt_tokens)
                self._run_tokens.labels("output").inc(completion_tokens)
            case ev.RunFailed(run):
                self._ended(run, "cancelled" if self._of(run).is_cancelled else "failed")

    def _observe_node(self, event: ev.Event) -> None:
        match event:
            case ev.NodeAdded(run, node, _, _, assignment, final) if final:
                self._assigned(self._of(run), node, assignment)
            case ev.NodeRouted(run, node, _, assignment):
                self._assigned(self._of(run), node, assignment)
            case ev.NodeStarted(run, node, expert):
                self._started(self._of(run), node, expert)
            case ev.NodeCompleted(_, _, answer):
                self._answered(answer)
            case ev.NodeFailed(run, node):
                self._failures.labels(self._of(run).chosen.get(node, "")).inc()
            case ev.NodeGivenUp():
                self._gaps.labels("failed").inc()
            case ev.NodeSkipped():
                self._gaps.labels("skipped").inc()

    def _first_piece(self, opened: _Open) -> None:
        if not opened.has_first_token:
            opened.has_first_token = True
            self._run_first_token.observe(self._now_s() - opened.began_s)

    def _ended(self, run: str, outcome: str) -> None:
        self._runs.labels(outcome).observe(self._now_s() - self._of(run).began_s)
        del self._open[run]

    def _of(self, run: str) -> _Open:
        return self._open.setdefault(run, _Open(self._now_s()))

    def _assigned(self, opened: _Open, node: int, assignment: Assignment) -> None:
        if not assignment.candidates:
            return
        opened.chosen[node] = assignment.expert
        if assignment.mode != "given":
            self._scores.labels(assignment.mode).observe(assignment.score)
        if not assignment.passed:
            self._fallbacks.labels("score").inc()

    def _started(self, opened: _Open, node: int, expert: str) -> None:
        if opened.chosen.get(node, expert) != expert:
            self._fallbacks.labels("failure").inc()
        opened.chosen[node] = expert

    def _answered(self, answer: SubAnswer) -> None:
        model = answer.model
        self._first_token.labels(model).observe(answer.ttft_s)
        self._duration.labels(model).observe(answer.elapsed_s)
        if answer.completion_tokens > 1:
            per_token_s = (answer.elapsed_s - answer.ttft_s) / (answer.completion_tokens - 1)
            self._per_token.labels(model).observe(per_token_s)
        self._usage.labels(model, "input").observe(answer.prompt_tokens)
        self._usage.labels(model, "output").observe(answer.completion_tokens)


class _Now(Collector):
    """What is queued, running and resident at an instant."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        yield GaugeMetricFamily("compllm_open_runs", "Runs that have not ended.", self._snapshot.open_runs)
        nodes = GaugeMetricFamily("compllm_nodes", "Sub-queries of open runs; `ready` ones queue.", labels=("state",))
        for state in get_args(NodeState):
            if state not in ENDED:
                nodes.add_metric((state,), self._snapshot.nodes.get(state, 0))
        yield nodes
        yield from self._devices()
        yield from self._replicas()

    def _devices(self) -> Iterator[GaugeMetricFamily]:
        capacity = GaugeMetricFamily("compllm_device_capacity_bytes", "Bytes for models.", labels=("device",))
        resident = GaugeMetricFamily("compllm_device_resident_bytes", "Bytes that models hold.", labels=("device",))
        free = GaugeMetricFamily("compllm_device_free_cores", "Cores that no model computes on.", labels=("device",))
        for device in self._snapshot.devices:
            capacity.add_metric((device.name,), device.capacity_bytes)
            resident.add_metric((device.name,), device.capacity_bytes - device.free_bytes)
            free.add_metric((device.name,), device.free_cores)
        yield from (capacity, resident, free)

    def _replicas(self) -> Iterator[GaugeMetricFamily]:
        labels = ("model", "device", "state")
        held = GaugeMetricFamily("compllm_model_resident_bytes", "Bytes that a model holds.", labels=labels)
        leases = GaugeMetricFamily("compllm_model_requests", "Requests that a model serves now.", labels=labels)
        for replica in self._snapshot.replicas:
            values = (replica.model, replica.device, replica.state)
            held.add_metric(values, replica.footprint_bytes)
            leases.add_metric(values, replica.leases)
        yield from (held, leases)
