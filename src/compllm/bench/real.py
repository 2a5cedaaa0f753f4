"""What scheduling is worth on real worker processes: mixed sub-queries composed, one after another, and all at once.

The models are the bundled weights in workers of their own, warm. Naive dispatch sends every request at once to servers
whose threads wait actively for each other; those of our workers sleep.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from compllm.assembly import share_cores
from compllm.config import DeviceConfig
from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.ledger import Device, Model
from compllm.core.routing import Assignment, Candidate
from compllm.core.scheduler import Scheduler
from compllm.core.simulation import Truth, simulate
from compllm.core.workload import Workload, WorkNode, WorkRun
from compllm.errors import ExpertTimeoutError
from compllm.executor import Executor
from compllm.experts.base import Backend, ChatRequest, Message
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.settings import load_settings

_DEVICE = "cpu"
_SLOTS, _CONTEXT_TOKENS = 8, 1024
_WAIT_POLICY = "OMP_WAIT_POLICY"
_NAIVE_PATIENCE = 6.0
# Kinds of sub-queries: sentences of the passage that is read first (none for a plain question), and tokens to write.
_KINDS: Mapping[str, tuple[int, int]] = {"brief": (0, 16), "essay": (0, 96), "lookup": (5, 16), "summary": (5, 64)}
_TOPICS = (
    "the heart", "a treaty", "gravity", "a contract", "photosynthesis", "the tides", "a novel", "inflation",
    "a volcano", "a vaccine", "the printing press", "an earthquake",
)  # fmt: skip
_SENTENCES = (
    "{0} was described in many old books, long before anyone could measure it.",
    "Scholars disagree about what {0} owes to chance and what to rules.",
    "In schools, {0} is often the first example that children learn by heart.",
    "A careful observer of {0} writes down the place, the hour and the weather.",
    "Nobody who has worked with {0} for years would call it simple.",
    "Two hundred years ago, {0} was explained with words that we no longer use.",
    "The best known picture of {0} was made by somebody who had never seen it.",
    "Whoever wants to teach {0} begins with a question and not with an answer.",
    "There is a museum that shows nothing but {0} and what people thought of it.",
    "What is most surprising about {0} is how little of it is needed.",
)


@dataclass(frozen=True, slots=True)
class Query:
    """One sub-query; `kind` is the expert that it goes to, so that lengths are alike within an expert."""

    number: int
    kind: str
    prompt: str
    tokens: int

    def model(self, count: int) -> str:
        """Return which of so many models answers: all kinds are spread evenly over all models."""
        return f"model{(self.number + self.number // len(_KINDS)) % count}"

    def expert(self, count: int) -> str:
        """Return the name of the expert: a kind on a model."""
        return f"{self.kind} on {self.model(count)}"


def mixed_queries(count: int) -> tuple[Query, ...]:
    """Return short and long sub-queries in turn; no two share a beginning that a prompt cache could use."""
    kinds = list(_KINDS.items())
    return tuple(_query(number, *kinds[number % len(kinds)]) for number in range(count))


def _query(number: int, kind: str, size: tuple[int, int]) -> Query:
    sentences, tokens = size
    topic = _TOPICS[number % len(_TOPICS)]
    passage = [_SENTENCES[(number + n) % len(_SENTENCES)].format(topic) for n in range(sentences)]
    question = f"Query {number + 1}: what should one know about {topic}?"
    return Query(number, kind, " ".join([f"({number + 1})", *passage, question]), tokens)


@dataclass(slots=True)
class QueryWork:
    """A run whose nodes are plain requests of a given length; keeps their answers."""

    backends: Mapping[str, Backend]
    queries: Mapping[int, Query]
    answers: dict[int, SubAnswer] = field(default_factory=dict)

    async def resolve(self, node: int) -> ev.NodeRouted:
        """Never asked for: every node is final."""
        raise NotImplementedError(node)

    async def answer(self, command: ev.RunNode) -> SubAnswer:
        """Have the model write up to as many tokens as the query wants."""
        answer = await ask_model(self.backends[command.model], self.queries[command.node], command)
        self.answers[command.node] = answer
        return answer

    def notify(self, event: ev.Event) -> None:
        """Nobody watches."""


async def ask_model(backend: Backend, query: Query, command: ev.RunNode) -> SubAnswer:
    """Send a query to a model and measure its answer."""
    began_s, first_s = time.monotonic(), None
    pieces: list[str] = []
    prompt_tokens = completion_tokens = 0
    request = ChatRequest((Message("user", query.prompt),), max_tokens=query.tokens)
    async for chunk in backend.stream(request):
        first_s = first_s or time.monotonic()
        pieces.append(chunk.text)
        prompt_tokens = chunk.prompt_tokens or prompt_tokens
        completion_tokens = chunk.completion_tokens or completion_tokens
    now_s = time.monotonic()
    counts = (prompt_tokens, completion_tokens, (first_s or now_s) - began_s, now_s - began_s)
    return SubAnswer("".join(pieces), command.expert, command.model, (), *counts)


async def ask_composed(executor: Executor, run: str, queries: Sequence[Query], models: int) -> dict[int, SubAnswer]:
    """Have all queries answered as one run of independent nodes."""
    work = QueryWork(executor.backends, {query.number: query for query in queries})
    finished = executor.open_run(run, work)
    executor.dispatch_all([*(_node_added(run, query, models) for query in queries), ev.PlanClosed(run)])
    await finished.wait()
    return work.answers


def _node_added(run: str, query: Query, models: int) -> ev.NodeAdded:
    only = Candidate(query.expert(models), query.model(models))
    assignment = Assignment((only,), "given", 1.0, 1.0, passed=True, reason="bench")
    return ev.NodeAdded(run, query.number, query.prompt, (), assignment)


# --- teams -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerTeam:
    """Some workers, and the device that they share."""

    backends: Mapping[str, Backend]
    models: tuple[Model, ...]
    device: Device


def worker_team(count: int, capacity_bytes: int | None = None) -> WorkerTeam:
    """Return workers, not started yet, with a thread for every core; `capacity_bytes` is their budget.

    Raises:
        ConfigError: the runtime or the bundled model is not installed.
    """
    device, cache_dir = DeviceConfig(), load_settings().cache_dir
    cores = device.core_count
    backends = {
        f"model{n}": EmbeddedBackend(
            None, threads=cores, slots=_SLOTS, context_tokens=_CONTEXT_TOKENS, cache_dir=cache_dir
        )
        for n in range(count)
    }
    models = tuple(
        Model(
            name,
            backend.estimated_footprint_bytes(),
            slots=_SLOTS,
            threads=backend.compute_share,
            devices=(_DEVICE,),
            curve=backend.curve,
        )
        for name, backend in backends.items()
    )
    room = Device(_DEVICE, capacity_bytes or device.capacity_bytes, cores)
    share_cores(backends, [room])
    return WorkerTeam(backends, models, room)


# --- composition -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Composition:
    """Seconds for the same queries on so many models, dispatched in three ways, and what was predicted for ours.

    Medians over repeats; the ratios are medians of the ratios within each repeat, as the machine's speed changes.
    `naive_s` is None when that was not measured; `naive_ended` says whether it ended within the patience that it was
    given, else `naive_s` is that patience.
    `equal` counts the answers that are the same composed and one after another.
    """

    models: int
    queries: int
    composed_s: float
    sequential_s: float
    naive_s: float | None
    naive_ended: bool
    predicted_s: float
    over_sequential: float
    prediction_error: float
    equal: int

    @property
    def over_naive(self) -> float | None:
        """How many times faster than all at once."""
        return None if self.naive_s is None else self.naive_s / self.composed_s


async def measure_composition(
    models: int,
    queries: int = 24,
    *,
    repeats: int = 2,
    naive: bool = False,
    build: Callable[[int], WorkerTeam] = worker_team,
) -> Composition:
    """Answer the queries in each way, in turn; what was learned since a rehearsal predicts each composed pass.

    `naive` says whether all at once is measured too, once, which takes long on several models.

    Raises:
        ConfigError: the runtime or the bundled model is not installed.
    """
    asked, team = mixed_queries(queries), build(models)
    scheduler = Scheduler(team.models, [team.device])
    async with Executor(scheduler, team.backends) as executor:
        await ask_composed(executor, "warm", asked, models)
        await _pass(executor, scheduler, team, asked, 0)
        passes = [await _pass(executor, scheduler, team, asked, number) for number in range(1, repeats + 1)]
    composed_s = statistics.median(each.composed_s for each in passes)
    naive_s, ended = None, False
    if naive:
        naive_s, ended = await _naive(build(models), asked, _NAIVE_PATIENCE * composed_s)
    return Composition(
        models,
        queries,
        composed_s,
        statistics.median(each.sequential_s for each in passes),
        naive_s,
        ended,
        statistics.median(each.predicted_s for each in passes),
        statistics.median(each.sequential_s / each.composed_s for each in passes),
        statistics.median(abs(each.predicted_s / each.composed_s - 1) for each in passes),
        min(each.equal for each in passes),
    )


@dataclass(frozen=True, slots=True)
class _Pass:
    sequential_s: float
    predicted_s: float
    composed_s: float
    equal: int


async def _pass(
    executor: Executor, scheduler: Scheduler, team: WorkerTeam, asked: Sequence[Query], number: int
) -> _Pass:
    """Ask everything one after another, predict, and ask it composed."""
    models, apart = len(team.models), dict[int, SubAnswer]()
    await forget(team.backends)
    began_s = time.monotonic()
    for query in asked:
        apart |= await ask_composed(executor, f"apart{number}.{query.number}", [query], models)
    sequential_s = time.monotonic() - began_s
    predicted = predicted_s(scheduler, team, asked)
    await forget(team.backends)
    began_s = time.monotonic()
    composed = await ask_composed(executor, f"composed{number}", asked, models)
    composed_s = time.monotonic() - began_s
    equal = sum(answer.text == apart[query].text for query, answer in composed.items())
    return _Pass(sequential_s, predicted, composed_s, equal)


async def forget(backends: Mapping[str, Backend]) -> None:
    """Have every slot read something else: one that still holds the prompt of a query would not read it again."""

    async def read(backend: Backend, number: int) -> None:
        request = ChatRequest((Message("user", f"({-number}) {_TOPICS[number % len(_TOPICS)]}"),), max_tokens=1)
        async for _ in backend.stream(request):
            pass

    async with anyio.create_task_group() as readers:
        for backend in backends.values():
            for number in range(_SLOTS):
                readers.start_soon(read, backend, number)


async def _naive(team: WorkerTeam, queries: Sequence[Query], patience_s: float) -> tuple[float, bool]:
    """Send everything at once to plain servers; return the seconds until all is answered, and whether it ever was.

    A server that nothing is heard of for a backend's time-out counts as one that never answers.
    """
    answered: list[int] = []

    async def ask(query: Query) -> None:
        model = query.model(len(team.models))
        command = ev.RunNode("naive", query.number, query.kind, model, _DEVICE, 1)
        with suppress(ExpertTimeoutError):
            await ask_model(team.backends[model], query, command)
            answered.append(query.number)

    try:
        with _active_waiting():
            for backend in team.backends.values():
                await backend.load()
        began_s = time.monotonic()
        with anyio.move_on_after(patience_s):
            await _all_at_once(ask, queries)
        return time.monotonic() - began_s, len(answered) == len(queries)
    finally:
        for backend in team.backends.values():
            await backend.evict()


async def _all_at_once(ask: Callable[[Query], Coroutine[Any, Any, None]], queries: Sequence[Query]) -> None:
    async with anyio.create_task_group() as requests:
        for query in queries:
            requests.start_soon(ask, query)


@contextmanager
def _active_waiting() -> Iterator[None]:
    """Let the threads of workers that start meanwhile spin while they wait for each other."""
    before = os.environ.get(_WAIT_POLICY)
    os.environ[_WAIT_POLICY] = "active"
    try:
        yield
    finally:
        del os.environ[_WAIT_POLICY]
        if before is not None:
            os.environ[_WAIT_POLICY] = before


def predicted_s(scheduler: Scheduler, team: WorkerTeam, queries: Sequence[Query]) -> float:
    """Return when the scheduler would be done, by simulating it with what it has learned; every model is loaded."""
    learned, count = scheduler.estimates, len(team.models)
    models = tuple(replace(model, load_s=0.0) for model in team.models)
    curves = {
        model.name: [learned.speedup(model.name, n + 1, model.curve) for n in range(model.slots)] for model in models
    }
    co_run = {_DEVICE: [learned.corun(_DEVICE, n + 1) for n in range(count)]}
    nodes = (_work_node(query, count, learned.duration_s(query.expert(count))) for query in queries)
    brain = Scheduler(models, [team.device], estimates=deepcopy(learned))
    workload = Workload((WorkRun("rest", 0.0, tuple(nodes)),))
    return simulate(workload, models, [team.device], brain, Truth(curves=curves, co_run=co_run)).ended_s


def _work_node(query: Query, models: int, duration_s: float) -> WorkNode:
    return WorkNode(query.number, (), query.expert(models), query.model(models), duration_s, duration_s)


def format_composition(figures: Composition) -> str:
    """Return the figures as lines for people."""
    asked = f"{figures.models} models, {figures.queries} queries"
    predicted = f"predicted {figures.predicted_s:.2f} s (off by {figures.prediction_error:.0%})"
    apart = f"{figures.over_sequential:.2f} x as long, {figures.equal} of the texts equal"
    lines = [
        f"{asked}: composed {figures.composed_s:.2f} s, {predicted}",
        f"  one after another {figures.sequential_s:.2f} s: {apart}",
    ]
    if figures.naive_s is not None:
        least = "" if figures.naive_ended else "at least "
        lines.append(f"  all at once {least}{figures.naive_s:.2f} s: {least}{figures.over_naive:.2f} x as long")
    return "\n".join(lines)
