"""What composition is worth on the embedded model: four sub-queries together against one after another.

Both ways use the same workers, prompts and lengths, and the answers are compared. On four models (four workers of the
same file) the point is that working together is never slower, although every worker has a thread for each core.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from compllm.assembly import share_cores
from compllm.config import DeviceConfig
from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.ledger import Device, Model
from compllm.core.routing import Assignment, Candidate
from compllm.core.scheduler import Scheduler
from compllm.executor import Executor
from compllm.experts.base import ChatRequest, Message
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.settings import load_settings

_QUESTIONS = (
    "Describe what a heart does.",
    "Describe how a treaty is made.",
    "What is a contract?",
    "Explain gravity.",
)


class _Questions:
    """A run whose nodes are plain requests of a fixed length."""

    def __init__(self, executor: Executor, tokens: int) -> None:
        self.texts: dict[int, str] = {}
        self._executor = executor
        self._tokens = tokens

    async def resolve(self, node: int) -> ev.NodeRouted:
        """Never asked for: every node is final."""
        raise NotImplementedError(node)

    async def answer(self, command: ev.RunNode) -> SubAnswer:
        """Have the model write exactly as many tokens as asked for, or fewer if it ends before."""
        request = ChatRequest((Message("user", _QUESTIONS[command.node]),), max_tokens=self._tokens)
        backend = self._executor.backends[command.model]
        self.texts[command.node] = "".join([chunk.text async for chunk in backend.stream(request)])
        return SubAnswer(self.texts[command.node], command.expert, command.model)

    def notify(self, event: ev.Event) -> None:
        """Nobody watches."""


async def _ask(
    executor: Executor, run: str, models: Sequence[str], nodes: Sequence[int], tokens: int
) -> dict[int, str]:
    work = _Questions(executor, tokens)
    finished = executor.open_run(run, work)
    for node in nodes:
        only = Candidate("expert", models[node % len(models)])
        assignment = Assignment((only,), "given", 1.0, 1.0, passed=True, reason="bench")
        executor.dispatch(ev.NodeAdded(run, node, _QUESTIONS[node], (), assignment))
    executor.dispatch(ev.PlanClosed(run))
    await finished.wait()
    return work.texts


async def _compare(model_count: int, repeats: int, tokens: int) -> dict[str, float | bool]:
    """Return the median seconds of both ways and their ratio; each repeat measures both, in turn."""
    device = DeviceConfig()
    names = [f"model{n}" for n in range(model_count)]
    cores = device.core_count
    cache_dir = load_settings().cache_dir
    backends = {name: EmbeddedBackend(None, threads=cores, slots=4, cache_dir=cache_dir) for name in names}
    room = Device("cpu", device.capacity_bytes, cores)
    share_cores(backends, [room])
    models = [
        Model(name, backend.estimated_footprint_bytes(), slots=4, threads=backend.compute_share, devices=("cpu",))
        for name, backend in backends.items()
    ]
    nodes = range(len(_QUESTIONS))
    together_s, apart_s, equal = [], [], True
    async with Executor(Scheduler(models, [room]), backends) as executor:
        await _ask(executor, "warm", names, nodes, 8)
        for repeat in range(repeats):
            began_s = time.monotonic()
            composed = await _ask(executor, f"together{repeat}", names, nodes, tokens)
            together_s.append(time.monotonic() - began_s)
            began_s = time.monotonic()
            single: dict[int, str] = {}
            for node in nodes:
                single |= await _ask(executor, f"apart{repeat}.{node}", names, [node], tokens)
            apart_s.append(time.monotonic() - began_s)
            equal = equal and composed == single
    together, apart = statistics.median(together_s), statistics.median(apart_s)
    ratios = [a / t for a, t in zip(apart_s, together_s, strict=True)]
    return {"composed_s": together, "sequential_s": apart, "speedup": statistics.median(ratios), "equal_outputs": equal}


async def run_speedup_bench(repeats: int, tokens: int) -> dict[str, float | bool]:
    """Return seconds and speed-up for four sub-queries on one model and on four."""
    one = await _compare(1, repeats, tokens)
    four = await _compare(4, repeats, tokens)
    figures = {f"one_model_{key}": value for key, value in one.items()}
    return (
        figures | {f"four_models_{key}": value for key, value in four.items()} | {"tokens": tokens, "repeats": repeats}
    )
