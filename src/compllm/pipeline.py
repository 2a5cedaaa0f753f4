"""Teams: wires planner, router, scheduler, executor and aggregator."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from compllm.aggregator.base import Aggregator
from compllm.aggregator.joined import JoinedAggregator
from compllm.aggregator.written import ModelAggregator
from compllm.assembly import (
    are_alone,
    make_backend,
    make_encoder,
    make_router,
    model_of,
    profile_of,
    secrets_of,
    share_cores,
    tell_alone,
)
from compllm.config import ExpertConfig, ModelConfig, PlannerConfig, TeamConfig, TeamFile, load_team
from compllm.core.answers import Passage, SubAnswer
from compllm.core.events import NodeCompleted, RunCompleted, RunFailed, Stamped
from compllm.core.inspection import Snapshot, take_snapshot
from compllm.core.ledger import Device
from compllm.core.plan import Plan, SubQuery
from compllm.core.routing import Assignment, Candidate
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import ConfigError, JournalError, PlanError, RoutingError, RunError
from compllm.executor import Executor, Observer
from compllm.experts.base import Backend
from compllm.experts.documents import DocumentIndex
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.expert import Expert
from compllm.experts.metered import Metered, Usage
from compllm.explain import Explanation, explain
from compllm.explain.remains import Remains, remains
from compllm.journal import Journal
from compllm.learned import Learned
from compllm.planner.base import Note, Planner
from compllm.planner.given import GivenPlanner
from compllm.planner.rules import RulePlanner
from compllm.planner.written import ModelPlanner
from compllm.router.base import Encoder
from compllm.router.remembering import RememberingEncoder
from compllm.router.router import Router
from compllm.run import Route, Run, Stages
from compllm.settings import Settings, load_settings

_ROUTING_THREADS = 16
# Why an expert got a question that was put to it alone.
_BY_NAME = "asked for by name"

_log = logging.getLogger(__name__)


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
    `backends` and `encoder` stand in for those that the file describes, as for models reached from Python; `observers`
    watch what happens.
    """

    def __init__(
        self,
        file: TeamFile,
        settings: Settings | None = None,
        *,
        backends: Mapping[str, Backend] | None = None,
        encoder: Encoder | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.file = file
        self.settings = settings or load_settings()
        self._encoder = RememberingEncoder(encoder or make_encoder(file, self.settings.cache_dir))
        missing = [name for name in file.config.models if name not in (backends or {})]
        self._backends = {**(backends or {}), **{name: make_backend(file, name, self.settings) for name in missing}}
        self._known_models = dict(file.config.models)
        self._experts = self._make_experts(file)
        self.router = make_router(file, self._encoder, partial(_best_passages, self._experts))
        self._executor = Executor(self._make_scheduler(), self._backends, observers)
        self._journal: Journal
        self._learned: Learned
        self._identities: dict[str, str]
        self._exit = AsyncExitStack()

    @classmethod
    def load(cls, path: str | Path | None = None) -> Team:
        """Return the team of a file: the one named, else `compllm.yaml` in this folder, else the starter team.

        Raises:
            ConfigError: the file is not usable; the message says where and how to mend it.
            ModelTooLargeError: a model fits no device.
        """
        return cls(load_team(Path(path) if path is not None else None))

    async def __aenter__(self) -> Self:
        self._journal = Journal(self.settings.journal_path, secrets=secrets_of(self.file))
        self._exit.callback(self._journal.close)
        self._learned = Learned(self._journal, self.file.config.name, self._executor.scheduler)
        # Of the files as they are now: at the end they may have been replaced, or be gone.
        self._identities = _identities(self._backends)
        self._learned.recall(self._identities)
        self._exit.callback(self._learned.remember, self._identities)
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

    def start(
        self,
        question: str,
        *,
        plan: Plan | None = None,
        expert: str | None = None,
        instructions: str = "",
        user: str = "",
        priority: int = 0,
    ) -> Run:
        """Begin a run in the background and return it; read its `events` or call its `cancel`.

        With an `expert`, it alone gets the question as it is, behind the `instructions`; else these are not used. Users
        get fair shares of the team; a larger `priority` goes before everything of a smaller one.

        Raises:
            PlanError: the question is empty, or too long with the instructions, or a step of the plan is.
            RoutingError: the team has no such expert.
            QueueFullError: as many runs are open as the team allows.
        """
        run_id = _new_run_id()
        question = self.check(question, plan)
        route = _routing(self.router) if expert is None else _always(self._only(expert))
        if expert is not None:
            told = "\n\n".join(filter(None, [instructions.strip(), question]))
            plan = Plan((SubQuery.literal(1, _checked(told, self.file.config.limits.question_characters)),))
        planner = GivenPlanner(plan) if plan is not None else None
        return self._launch(Run(run_id, question, self._stages(run_id, planner, route), user, priority))

    async def resume(self, run_id: str) -> Run:
        """Go on with a run whose process has died, and return it; `run_id` may be the beginning of its id.

        What was answered is not asked again. A plan that was not complete is written again.

        Raises:
            JournalError: there is no such run, or several, or its record cannot be read.
            RunError: it goes on or has ended, or was asked of another team.
            RoutingError: it was asked of an expert that the team no longer has.
            QueueFullError: as many runs are open as the team allows.
        """
        left = await anyio.to_thread.run_sync(self._left, run_id)
        started = left.started
        only = next((each.assignment for each in left.added.values() if each.assignment.reason == _BY_NAME), None)
        route = _routing(self.router) if only is None else _always(self._only(only.expert))
        planner = GivenPlanner(left.plan, started.planner) if left.plan is not None else None
        stages = self._stages(started.run, planner, route)
        return self._launch(Run(started.run, started.question, stages, started.user, started.priority, left))

    def _left(self, run_id: str) -> Remains:
        row = self._journal.run(run_id)
        if row.status != "interrupted":
            raise RunError(f"only a run whose process has died can be resumed; this one is {row.status}", run=row.id)
        if row.team != self.file.config.name:
            raise RunError(f"the run was asked of the team {row.team}; this is {self.file.config.name}", run=row.id)
        left = remains(self._journal.events(row.id))
        if left is None:
            raise JournalError(f"journal {self._journal.path} does not hold how run {row.id} began; ask again")
        return left

    def _stages(self, run_id: str, planner: GivenPlanner | None, route: Route) -> Stages:
        """Return what a run is made with; one whose plan is not given has the team's own planner."""
        usage = Usage()
        return Stages(
            self.file.config.name,
            planner or self.make_planner(run_id, usage),
            route,
            self._experts,
            self._executor,
            self._make_aggregator(run_id, usage),
            self.file.config.limits.deadline_s,
            self._journal,
            self._executor.observers,
            usage,
            looks_ahead=planner is None and self.file.config.planner.kind == "model",
        )

    def _launch(self, run: Run) -> Run:
        run.open()
        self._executor.tasks.start_soon(run.live)
        return run

    def _only(self, expert: str) -> Assignment:
        if expert not in self._experts:
            raise RoutingError(f"the team has no expert {expert!r}; it has {', '.join(self._experts)}")
        candidate = Candidate(expert, self._experts[expert].profile.model)
        return Assignment((candidate,), "given", 1.0, 1.0, passed=True, reason=_BY_NAME)

    async def ask_expert(self, expert: str, question: str) -> SubAnswer:
        """Put a question to one expert, without planning and routing.

        Raises:
            RoutingError: the team has no such expert.
            RunError: the expert could not answer.
        """
        run = self.start(question, expert=expert)
        async for stamped in self.follow(run):
            if isinstance(stamped.event, NodeCompleted):
                answer = stamped.event.answer
            elif isinstance(stamped.event, RunFailed):
                raise RunError(f"no answer: {stamped.event.reason}", run=run.id)
        return answer

    def check(self, question: str, plan: Plan | None = None) -> str:
        """Return a question without the white space around it, if it may be asked, and by the plan if one is given.

        Raises:
            PlanError: the question, or a step of the plan, is empty, too long or no text.
        """
        limit = self.file.config.limits.question_characters
        for step in plan.steps if plan is not None else ():
            _checked(step.display, limit, f"step {step.id} of the plan")
        return _checked(question, limit)

    async def plan(self, question: str) -> tuple[Plan, dict[int, Assignment], list[str]]:
        """Return the plan that a question would get, who would answer its steps, and notes; nothing runs.

        Steps that use other steps' answers are routed provisionally.

        Raises:
            PlanError: the question is empty or too long.
            RoutingError: a step cannot be given to an expert.
        """
        question = self.check(question)
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

    @property
    def journal(self) -> Journal:
        """The record of runs; there while the team is open."""
        return self._journal

    def snapshot(self) -> Snapshot:
        """Return what is queued, running and resident now."""
        scheduler = self._executor.scheduler
        return take_snapshot(scheduler.graph, scheduler.ledger, len(scheduler.admission))

    def reload(self, file: TeamFile) -> None:
        """Go on with another version of the team file; open runs end with the experts that they began with.

        Experts, stages and limits may change, models may be added. What becomes of those who need a failed step
        (`on_failure`) may not: open runs go on by it. A model that is gone from the file stays in memory until its room
        is needed.

        Raises:
            ConfigError: a device, the encoder, `on_failure` or a model that is known was changed, or the file is not
                usable; nothing has changed.
            ModelTooLargeError: a new model fits no device; nothing has changed.
            JournalError: the journal cannot be read; nothing has changed.
        """
        _check_reload(self.file.config, file.config, self._known_models)
        added = {name: each for name, each in file.config.models.items() if name not in self._backends}
        backends = {name: make_backend(file, name, self.settings) for name in added}
        experts = self._make_experts(file)
        router = make_router(file, self._encoder, partial(_best_passages, experts))
        devices = list(self._executor.scheduler.ledger.devices.values())
        alone = are_alone(self._backends | backends, devices)
        identities = _identities(backends)
        measured = self._learned.footprints(identities)
        self._executor.scheduler.add_models([model_of(n, backends[n], each, devices) for n, each in added.items()])
        self._learned.correct(measured)
        self._executor.scheduler.admission.most_runs = file.config.limits.runs
        self._backends.update(backends)
        self._identities.update(identities)
        tell_alone(self._backends, alone=alone)
        self._known_models.update(added)
        self._journal.hide(secrets_of(file))
        self.file, self.router, self._experts = file, router, experts

    @asynccontextmanager
    async def lease(
        self, model: str, purpose: str, part_of: str = "", usage: Usage | None = None
    ) -> AsyncIterator[Backend]:
        """Lend a model, loaded if need be, that stays in memory until it is given back; on behalf of a run, if any.

        Raises:
            ExpertError: the model cannot be brought to answer.
        """
        async with self._executor.lease(model, purpose, part_of) as backend:
            yield backend if usage is None else Metered(backend, usage)

    @property
    def planner_name(self) -> str:
        """The kind of planner that writes this team's plans."""
        return self.make_planner().name

    # --- wiring ------------------------------------------------------------------------------------------------------

    def _make_scheduler(self) -> Scheduler:
        config = self.file.config
        devices = [Device(name, each.capacity_bytes, each.core_count) for name, each in config.devices.items()]
        share_cores(self._backends, devices)
        models = [model_of(name, self._backends[name], each, devices) for name, each in config.models.items()]
        rules = Rules(skip_descendants=config.on_failure == "skip", max_runs=config.limits.runs)
        return Scheduler(models, devices, rules)

    def _make_experts(self, file: TeamFile) -> dict[str, Expert]:
        return {name: self._make_expert(file, name, config) for name, config in file.config.experts.items()}

    def _make_expert(self, file: TeamFile, name: str, config: ExpertConfig) -> Expert:
        profile = profile_of(file, name)
        retrieve = self._retrieval([file.resolve(path) for path in config.documents]) if config.documents else None
        return Expert(
            profile,
            config.instructions,
            retrieve,
            config.passages,
            config.max_tokens,
            config.temperature,
            config.adapter,
        )

    def _retrieval(self, files: Sequence[Path]) -> Callable[[str, int], tuple[Passage, ...]]:
        """Return a search over documents; they are indexed when they are first asked for."""
        opened = cache(partial(DocumentIndex.open, files, self._encoder, self.settings.cache_dir))
        lock = Lock()

        def retrieve(question: str, limit: int) -> tuple[Passage, ...]:
            with lock:  # of those who ask at the same time, each would build it
                index = opened()
            return index.search(question, limit)

        return retrieve

    def make_planner(self, run_id: str = "", usage: Usage | None = None) -> Planner:
        """Return a planner as the team wants its plans written; its model loads when it is asked, for a run if any."""
        config: PlannerConfig = self.file.config.planner
        if config.kind == "rules" or config.model is None:
            return RulePlanner(config.max_steps)
        return ModelPlanner(
            config.model,
            partial(self.lease, config.model, "planner", run_id, usage),
            list(self._experts),
            max_steps=config.max_steps,
            adapter=config.adapter,
        )

    def _make_aggregator(self, run_id: str, usage: Usage) -> Aggregator:
        config = self.file.config.aggregator
        if config.kind == "joined" or config.model is None:
            return JoinedAggregator()
        lease = partial(self.lease, config.model, "aggregator", run_id, usage)
        return ModelAggregator(config.model, lease, checked=config.checked, adapter=config.adapter)


def _best_passages(experts: Mapping[str, Expert], question: str) -> dict[str, float]:
    """Return the score of each reading expert's best passage for a question, 0 if it has none; blocking."""
    readers = [(name, expert.retrieve) for name, expert in experts.items() if expert.retrieve is not None]
    return {name: _best_score(name, partial(retrieve, question, 1)) for name, retrieve in readers}


def _best_score(name: str, retrieve: Callable[[], tuple[Passage, ...]]) -> float:
    try:
        return max((passage.score for passage in retrieve()), default=0.0)
    except ConfigError as error:  # costs this expert its questions, not the others theirs
        _log.warning("the expert %s cannot be chosen by its documents: %s", name, error)
        return 0.0


def _routing(router: Router) -> Route:
    threads = anyio.CapacityLimiter(_ROUTING_THREADS)  # its own: an encoder that hangs must not use up everybody's

    async def route(question: str, tag: str | None) -> Assignment:
        return await anyio.to_thread.run_sync(router.route, question, tag, abandon_on_cancel=True, limiter=threads)

    return route


def _always(assignment: Assignment) -> Route:
    async def route(question: str, tag: str | None) -> Assignment:
        del question, tag
        return assignment

    return route


def _new_run_id() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(6)}"


def _checked(question: str, limit: int, name: str = "the question") -> str:
    question = question.strip()
    if not question:
        raise PlanError(f"{name} is empty; ask something")
    if len(question) > limit:
        raise PlanError(f"{name} has {len(question):,} characters; this team takes {limit:,} at most")
    if "\0" in question:
        raise PlanError(f"{name} holds binary data; give text")
    return question


def _check_reload(old: TeamConfig, new: TeamConfig, models: Mapping[str, ModelConfig]) -> None:
    changed = [f"models.{name}" for name, each in models.items() if new.models.get(name, each) != each]
    changed += [] if old.devices == new.devices else ["devices"]
    changed += [] if old.router.encoder == new.router.encoder else ["router.encoder"]
    changed += [] if old.on_failure == new.on_failure else ["on_failure"]
    if changed:
        raise ConfigError(f"{', '.join(changed)} cannot change while the team is open; restart to apply it")


def _identities(backends: Mapping[str, Backend]) -> dict[str, str]:
    """Return what a measured footprint holds for: the file, its context, slots and adapters."""
    return {name: each.identity for name, each in backends.items() if isinstance(each, EmbeddedBackend)}
