"""The order in which idle models leave memory, system by system: a function each, and how the servers are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compllm.bench.residency.servers import Policy, Servers, Usage
from compllm.core.ledger import Device, Model

_KEEP_ALIVE_S = 300.0


def fifo(usage: Usage, _sent: int) -> float:
    """What was loaded first leaves first."""
    return usage.loaded_at


def lru(usage: Usage, _sent: int) -> float:
    """What was used longest ago leaves first."""
    return usage.used_at


def keep_alive(_usage: Usage, _sent: int) -> float:
    """What has the shortest keep-alive leaves first, then by name, as in Ollama.

    `findRunnerToUnload` takes the first idle runner of those sorted by session duration and path (`ByDurationAndName`,
    ollama/ollama, server/sched.go). Nobody sets a duration here, so that all have the default of five minutes; that
    idle models also leave at its end would only add loads.
    """
    return _KEEP_ALIVE_S


def gdsf(usage: Usage, _sent: int) -> float:
    """What costs least to load again per byte, times its uses, leaves first; what was not used for long ages.

    GreedyDual-Size-Frequency (Cherkasova 1998, HP Laboratories technical report HPL-98-69R1).
    """
    return usage.age + usage.uses * usage.reload_s_per_byte


@dataclass(frozen=True, slots=True)
class Baseline:
    """A way to run model servers; `counts` says that as many models as fit, whichever they are, may be loaded."""

    name: str
    policy: Policy
    most_models: int | None = None
    counts: bool = False

    def brain(self, models: Sequence[Model], devices: Sequence[Device]) -> Servers:
        """Return servers that know nothing yet."""
        most_models = _safe_count(models, devices) if self.counts else self.most_models
        return Servers(models, devices, self.policy, most_models)


def _safe_count(models: Sequence[Model], devices: Sequence[Device]) -> int:
    """Return how many models, whichever they are, fit at once: the limit that an operator who counts can afford."""
    sizes_bytes = sorted((model.footprint_bytes for model in models), reverse=True)
    room_bytes, count = sum(device.capacity_bytes for device in devices), 0
    for size_bytes in sizes_bytes:
        room_bytes -= size_bytes
        if room_bytes < 0:
            break
        count += 1
    return max(count, 1)


BASELINES = (
    Baseline("FIFO", fifo),
    # `--models-max`: the least recently used leaves (ggml-org/llama.cpp, tools/server: `server_models::unload_lru`).
    Baseline("LRU by count (llama.cpp router)", lru, counts=True),
    Baseline("keep-alive (Ollama)", keep_alive),
    # Without a matrix of what may run together, a model runs alone (mostlygeek/llama-swap, config.example.yaml).
    Baseline("swap (llama-swap)", lru, most_models=1),
    Baseline("GDSF", gdsf),
    Baseline("LRU by bytes", lru),
)
