"""Teams: wires planner, router, scheduler, executor and aggregator; the only place that constructs adapters."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from compllm.aggregator.base import Aggregator
from compllm.aggregator.joined import JoinedAggregator
from compllm.aggregator.written import ModelAggregator
from compllm.config import (
    EmbeddedModelConfig,
    EndpointModelConfig,
    ExpertConfig,
    ModelConfig,
    PlannerConfig,
    Settings,
    TeamFile,
    load_settings,
    load_team,
    read_secret,
)
from compllm.core.answers import Passage, SubAnswer
from compllm.core.events import NodeCompleted, RunCompleted, RunFailed, Stamped
from compllm.core.ledger import Device, Model
from compllm.core.plan import Plan, SubQuery
from compllm.core.routing import Assignment, Candidate, ExpertProfile
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import PlanError, RunError
from compllm.executor import Executor
from compllm.experts.base import Backend
from compllm.experts.documents import DocumentIndex
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.endpoint import EndpointBackend
from compllm.experts.expert import Expert
from compllm.explain import Explanation, explain
from compllm.journal import Journal
from compllm.learned import Learned
from compllm.planner.base import Note, Planner
from compllm.planner.given import GivenPlanner
from compllm.planner.rules import RulePlanner
from compllm.planner.written import ModelPlanner
from compllm.router.base import Encoder
from compllm.router.calibration import Calibration
from compllm.router.endpoint_encoder import EndpointEncoder
from compllm.router.onnx_encoder import OnnxEncoder
from compllm.router.router import Router
from compllm.run import Route, Run, Stages


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question got: the text, the steps that have no answer, and the explanation of how it came about."""

    run: str
    text: str
    gaps: tuple[int, ...]
    explanation: Explanation

    def __str__(self) -> str:
        return self.text


class Team:
    """A set of experts behind one question mark; use as an async context manager.

    Models load when they are first needed and stay while memory allows, so a second question finds them warm.
    """

    def __init__(self, file: TeamFile, settings: Settings | None = None) -> None:
        self.file = file
        self.settings = settings or load_settings()
        self._encoder = _make_encoder(file)
        self._backends = {name: _make_backend(file, name, self.settings) for name in file.config.models}
        self.router = Router(
            self._encoder,
            [_profile(name, expert) for name, expert in file.config.experts.items()],
            mode=file.config.router.mode,
            threshold=file.config.router.threshold,
            fallback=file.config.router.fallback,
            calibration=_calibration(file, self._encoder),
        )
        self._executor = Executor(self._make_scheduler(), self._backends)
        self._journal: Journal
        self._experts = {name: self._make_expert(name, expert) for name, expert in file.config.experts.items()}
        self._exit = AsyncExitStack()
        self._documents = ExitStack()

    @classmethod
    def load(cls, path: str | Path | None = None) -> Team:
        """Return the team of a file: the one named, else `compllm.yaml` in this folder, else the starter team.

        Raises:
            ConfigError: the file is not usable; the message says where and how to mend it.
            ModelTooLargeError: a model fits no device.
        """
        return cls(load_team(Path(path) if path is not None else None))

    async def __aenter__(self) -> Self:
        self._journal = Journal(self.settings.journal_path, secrets=_secrets(self.file))
        self._exit.callback(self._journal.close)
        self._exit.callback(self._documents.close)
        learned = Learned(self._journal, self.file.config.name, self._executor.scheduler, _identities(self._backends))
        learned.recall()
        self._exit.callback(learned.remember)
        await self._exit.enter_async_context(self._executor)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._exit.__aexit__(kind, error, trace)

    async def ask(self, question: str, *, plan: Plan | None = None, user: str = "", priority: int = 0) -> Answer:
        """Answer a question, by a plan of one's own if one is given; see `start`.

        Raises:
            PlanError: the question is empty or too long.
            QueueFullError: as many runs are open as the team allows.
            RunError: no step could be answered.
        """
        return await self.answer(self.start(question, plan=plan, user=user, priority=priority))

    async def answer(self, run: Run) -> Answer:
        """Wait for a run that was started, and return what came of it; cancelling this cancels the run.

        Raises:
            RunError: no step could be answered.
        """
        stamped = [each async for each in self.follow(run)]
        match stamped[-1].event:
            case RunCompleted(_, text, gaps):
                return Answer(run.id, text, gaps, explain(stamped))
            case RunFailed(_, reason):
                raise RunError(f"no answer: {reason}", run=run.id)
        raise RunError("the run was interrupted", run=run.id)

    async def stream(self, question: str, *, plan: Plan | None = None) -> AsyncGenerator[Stamped, None]:
        """Yield what happens to a question as it happens; the last event is `RunCompleted` or `RunFailed`.

        Raises:
            PlanError: the question is empty or too long.
        """
        async with aclosing(self.follow(self.start(question, plan=plan))) as events:
            async for stamped in events:
                yield stamped

    async def follow(self, run: Run) -> AsyncGenerator[Stamped, None]:
        """Yield the events of a run; whoever stops reading cancels it."""
        try:
            async with aclosing(run.follow()) as events:
                async for stamped in events:
                    yield stamped
        finally:
            run.cancel("the caller went away")

    def start(self, question: str, *, plan: Plan | None = None, user: str = "", priority: int = 0) -> Run:
        """Begin a run in the background and return it; read its `events` or call its `cancel`.

        Users get fair shares of the team; a larger `priority` goes before everything of a smaller one.

        Raises:
            PlanError: the question is empty or too long.
            QueueFullError: as many runs are open as the team allows.
        """
        run_id = _new_run_id()
        planner: Planner = GivenPlanner(plan) if plan is not None else self.make_planner(run_id)
        return self._start(run_id, question, planner, self._route, user, priority)

    def _start(
        self, run_id: str, question: str, planner: Planner, route: Route, user: str = "", priority: int = 0
    ) -> Run:
        limits = self.file.config.limits
        stages = Stages(
            self.file.config.name,
            planner,
            route,
            self._experts,
            self._executor,
            self._make_aggregator(run_id),
            limits.deadline_s,
            self._journal,
        )
        run = Run(run_id, _checked(question, limits.question_characters), stages, user, priority)
        run.open()
        self._executor.tasks.start_soon(run.live)
        return run

    async def ask_expert(self, expert: str, question: str) -> SubAnswer:
        """Put a question to one expert, without planning and routing.

        Raises:
            RunError: the expert could not answer.
        """
        profile = self._experts[expert].profile
        only = Assignment(
            (Candidate(expert, profile.model),), "given", 1.0, 1.0, passed=True, reason="asked for by name"
        )
        planner = GivenPlanner(Plan((SubQuery.literal(1, question),)))
        run = self._start(_new_run_id(), question, planner, _always(only))
        async for stamped in self.follow(run):
            if isinstance(stamped.event, NodeCompleted):
                answer = stamped.event.answer
            elif isinstance(stamped.event, RunFailed):
                raise RunError(f"no answer: {stamped.event.reason}", run=run.id)
        return answer

    async def plan(self, question: str) -> tuple[Plan, dict[int, Assignment], list[str]]:
        """Return the plan that a question would get, who would answer its steps, and notes; nothing runs.

        Steps that use other steps' answers are routed provisionally.

        Raises:
            PlanError: the question is empty or too long.
            RoutingError: a step cannot be given to an expert.
        """
        question = _checked(question, self.file.config.limits.question_characters)
        pieces = [piece async for piece in self.make_planner().plan(question)]
        plan = Plan(tuple(piece for piece in pieces if isinstance(piece, SubQuery)))
        route = partial(self.router.route_many, [s.display for s in plan.steps], [s.tag for s in plan.steps])
        assignments = await anyio.to_thread.run_sync(route)
        notes = [piece.text for piece in pieces if isinstance(piece, Note)]
        return plan, dict(zip((s.id for s in plan.steps), assignments, strict=True)), notes

    @property
    def experts(self) -> Mapping[str, Expert]:
        """The experts by name."""
        return self._experts

    def lease(self, model: str, purpose: str, part_of: str = "") -> AbstractAsyncContextManager[Backend]:
        """Lend a model, loaded if need be, that stays in memory until it is given back; on behalf of a run, if any."""
        return self._executor.lease(model, purpose, part_of)

    @property
    def planner_name(self) -> str:
        """The kind of planner that writes this team's plans."""
        return self.make_planner().name

    async def _route(self, question: str, tag: str | None) -> Assignment:
        return await anyio.to_thread.run_sync(self.router.route, question, tag)

    # --- wiring ------------------------------------------------------------------------------------------------------

    def _make_scheduler(self) -> Scheduler:
        config = self.file.config
        devices = [Device(name, each.capacity_bytes, each.core_count) for name, each in config.devices.items()]
        models = [_model(name, self._backends[name], each, devices) for name, each in config.models.items()]
        rules = Rules(skip_descendants=config.on_failure == "skip", max_runs=config.limits.runs)
        return Scheduler(models, devices, rules)

    def _make_expert(self, name: str, config: ExpertConfig) -> Expert:
        profile = _profile(name, config)
        retrieve = self._retrieval(config) if config.documents else None
        return Expert(
            profile,
            config.instructions,
            retrieve,
            config.passages,
            config.max_tokens,
            config.temperature,
            config.adapter,
        )

    def _retrieval(self, config: ExpertConfig) -> Callable[[str, int], tuple[Passage, ...]]:
        """Return a search over the expert's documents; they are indexed when they are first asked for."""
        files = [self.file.resolve(path) for path in config.documents]

        @cache
        def opened() -> DocumentIndex:
            index = DocumentIndex.open(files, self._encoder, self.settings.cache_dir)
            self._documents.callback(index.close)
            return index

        return lambda question, limit: opened().search(question, limit)

    def make_planner(self, run_id: str = "") -> Planner:
        """Return a planner as the team wants its plans written; its model loads when it is asked, for a run if any."""
        config: PlannerConfig = self.file.config.planner
        if config.kind == "rules" or config.model is None:
            return RulePlanner()
        return ModelPlanner(
            config.model,
            partial(self.lease, config.model, "planner", run_id),
            list(self._experts),
            max_steps=config.max_steps,
            adapter=config.adapter,
        )

    def _make_aggregator(self, run_id: str) -> Aggregator:
        config = self.file.config.aggregator
        if config.kind == "joined" or config.model is None:
            return JoinedAggregator()
        lease = partial(self.lease, config.model, "aggregator", run_id)
        return ModelAggregator(config.model, lease, checked=config.checked, adapter=config.adapter)


def _always(assignment: Assignment) -> Route:
    async def route(question: str, tag: str | None) -> Assignment:
        del question, tag
        return assignment

    return route


def _new_run_id() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def _identities(backends: Mapping[str, Backend]) -> dict[str, str]:
    """Return what a measured footprint holds for: the file, its context, slots and adapters."""
    return {name: each.identity for name, each in backends.items() if isinstance(each, EmbeddedBackend)}


def _checked(question: str, limit: int) -> str:
    question = question.strip()
    if not question:
        raise PlanError("the question is empty; ask something")
    if len(question) > limit:
        raise PlanError(f"the question has {len(question):,} characters; this team takes {limit:,} at most")
    if "\0" in question:
        raise PlanError("the question holds binary data; give text")
    return question


def _profile(name: str, config: ExpertConfig) -> ExpertProfile:
    return ExpertProfile(name, config.model, config.description, config.examples, config.fallback)


def _make_encoder(file: TeamFile) -> Encoder:
    config = file.config.router.encoder
    if config is None:
        return OnnxEncoder()
    key = read_secret(config.api_key_env, "router.encoder")
    return EndpointEncoder(config.base_url, config.model, api_key=key)


def _calibration(file: TeamFile, encoder: Encoder) -> Calibration | None:
    path = file.config.router.calibration
    return Calibration.load(file.resolve(path), encoder=encoder.name) if path is not None else None


def _make_backend(file: TeamFile, name: str, settings: Settings) -> Backend:
    config = file.config.models[name]
    if isinstance(config, EndpointModelConfig):
        key = read_secret(config.api_key_env, f"models.{name}")
        return EndpointBackend(
            config.base_url,
            config.model,
            api_key=key,
            key_name=config.api_key_env or "api_key_env",
            timeout_s=config.timeout_s,
            dialect=config.dialect,
        )
    cores = max(device.core_count for device in file.config.devices.values())
    return EmbeddedBackend(
        file.resolve(config.file) if config.file is not None else None,
        context_tokens=config.context_tokens,
        slots=config.slots,
        adapters=file.adapters(config),
        threads=config.threads or cores,
        cache_dir=settings.cache_dir,
    )


def _model(name: str, backend: Backend, config: ModelConfig, devices: list[Device]) -> Model:
    if not isinstance(backend, EmbeddedBackend) or not isinstance(config, EmbeddedModelConfig):
        return Model(name, slots=config.slots)
    homes = config.devices or tuple(device.name for device in devices)
    bare = Model(name, slots=config.slots, threads=backend.compute_share, devices=homes, pinned=config.pinned)
    return replace(bare, footprint_bytes=backend.estimated_footprint_bytes(), curve=backend.curve)


def _secrets(file: TeamFile) -> list[str]:
    endpoints = [m for m in file.config.models.values() if isinstance(m, EndpointModelConfig)]
    encoder = file.config.router.encoder
    variables = [m.api_key_env for m in endpoints] + ([encoder.api_key_env] if encoder else [])
    return [secret for secret in (read_secret(v, "the team") for v in variables) if secret]
