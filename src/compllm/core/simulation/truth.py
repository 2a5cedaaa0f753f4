"""What is true in a simulation, whatever the scheduler believes: speeds of sharing, footprints, failures.

Every draw is seeded by what it is about (the seed, the run, the node, the attempt), never by the order of events, so
that two schedulers, or two capacities, meet the same luck (common random numbers; Law and Kelton 2000, section 11.2).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compllm.core.ledger import Model


@dataclass(frozen=True, slots=True)
class Failures:
    """How much goes wrong: shares of 1 unless a unit says otherwise.

    `nodes`: attempts that fail, of which `retryable` may be asked again. `loads`: loads that fail, likewise.
    `crash_mean_s`: mean life of a resident replica (exponential). `cancelled`: runs whose caller leaves, after at most
    their critical path. `larger`: models that really hold `growth` times their footprint.
    """

    nodes: float = 0.0
    loads: float = 0.0
    retryable: float = 0.7
    crash_mean_s: float = math.inf
    cancelled: float = 0.0
    larger: float = 0.0
    growth: float = 1.3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt or a load will end: after `work_s` at full speed, with a failure or without."""

    work_s: float
    failed: bool = False
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """What durations, loads and sharing really are.

    `curves`: throughput of a model with k requests in flight relative to one, at place k - 1; without one its own
    holds, and without that requests do not slow each other down. `co_run`: by device, the speed of each computing
    replica when k of them compute, at place k - 1; without one they do not slow each other down either (the cores rule
    is the scheduler's). Beyond a curve's end its last value holds. `noise`: standard deviation of the logarithm of
    durations and load times around what workload and models say. `loads_share`: whether loads on one device share its
    bandwidth. `resolve_s`: what it takes to route a dependent node.
    """

    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    co_run: Mapping[str, Sequence[float]] = field(default_factory=dict)
    noise: float = 0.0
    evict_s: float = 0.0
    resolve_s: float = 0.0
    loads_share: bool = False
    tokens_per_s: float = 30.0
    failures: Failures = field(default_factory=Failures)

    def request_rate(self, model: Model, requests: int) -> float:
        """Return how fast each of so many requests progresses on one replica, relative to one alone."""
        curve = self.curves.get(model.name, model.curve)
        return curve[min(requests, len(curve)) - 1] / requests if curve and requests else 1.0

    def replica_rate(self, device: str, computing: int) -> float:
        """Return how fast each of so many computing replicas is on a device, relative to one alone."""
        factors = self.co_run.get(device, ())
        return factors[min(computing, len(factors)) - 1] if factors and computing else 1.0

    def load_rate(self, loading: int) -> float:
        """Return how fast each of so many loads on one device is, relative to one alone."""
        return 1.0 / loading if self.loads_share and loading else 1.0


class Luck:
    """The draws of one simulation."""

    def __init__(self, truth: Truth, seed: int) -> None:
        self._truth = truth
        self._seed = seed

    def attempt(self, run: str, node: int, attempt: int, duration_s: float) -> Outcome:
        """Return how an attempt at a node will end; attempts at one node take the same time unless they fail."""
        work_s = duration_s * self._noise("node", run, node)
        return self._outcome(work_s, self._truth.failures.nodes, "attempt", run, node, attempt)

    def load(self, model: Model, number: int) -> Outcome:
        """Return how the n-th load of a model will end."""
        work_s = model.load_s * self._noise("load", model.name, number)
        return self._outcome(work_s, self._truth.failures.loads, "load", model.name, number)

    def footprint_bytes(self, model: Model) -> int:
        """Return what a model's replicas really hold."""
        failures = self._truth.failures
        if failures.larger and self._draw("footprint", model.name).random() < failures.larger:
            return math.ceil(model.footprint_bytes * failures.growth)
        return model.footprint_bytes

    def life_s(self, model: str, number: int) -> float:
        """Return how long the n-th replica of a model lives before it crashes."""
        mean_s = self._truth.failures.crash_mean_s
        return self._draw("life", model, number).expovariate(1.0 / mean_s) if math.isfinite(mean_s) else math.inf

    def leaves_after_s(self, run: str, critical_path_s: float) -> float:
        """Return how long the caller of a run stays."""
        share = self._truth.failures.cancelled
        draw = self._draw("leaves", run) if share else None
        return draw.uniform(0.0, critical_path_s) if draw and draw.random() < share else math.inf

    def _noise(self, *about: object) -> float:
        return self._draw("noise", *about).lognormvariate(0.0, self._truth.noise) if self._truth.noise else 1.0

    def _outcome(self, work_s: float, share: float, *about: object) -> Outcome:
        draw = self._draw(*about) if share else None
        if draw is None or draw.random() >= share:
            return Outcome(work_s)
        return Outcome(work_s * draw.random(), failed=True, retryable=draw.random() < self._truth.failures.retryable)

    def _draw(self, *about: object) -> random.Random:
        return random.Random(repr((self._seed, *about)))  # noqa: S311 - draws, not secrets
