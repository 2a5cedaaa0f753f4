"""The team that every system is made of: runs take a planner and a route from outside, models are metered."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing

import anyio.to_thread

from compllm.aggregator.base import Part
from compllm.bench.evidence.metering import Meter
from compllm.bench.evidence.reply import EVERYTHING, Reply, StepReply
from compllm.config import DeviceConfig, EmbeddedModelConfig, ExpertConfig, TeamConfig, TeamFile
from compllm.core.events import AnswerDelta, Stamped
from compllm.core.routing import Assignment
from compllm.experts.base import Backend
from compllm.explain import explain
from compllm.explain.story import NodeStory
from compllm.pipeline import Team
from compllm.planner.base import Planner
from compllm.router.base import Encoder
from compllm.run import Route, Run, Stages
from compllm.settings import Settings

# The passages that one call with all documents reads.
_PASSAGES = 5
_MONOLITH_TOKENS = 192
_INSTRUCTIONS = "Answer every part of the question in one or two short sentences, from the passages."
_ANY_QUESTION = "What is known?"
# Longest run: what is late is to be measured, not cut off.
_PATIENCE_S = 1_800.0
_UNLIMITED_BYTES, _UNLIMITED_CORES = 2**50, 4_096


class BenchTeam(Team):
    """A team for measuring: the same parts, with seams where the ablations cut."""

    def __init__(
        self,
        file: TeamFile,
        settings: Settings,
        *,
        backends: Mapping[str, Backend] | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.meter = Meter()
        super().__init__(patient(file), settings, backends=backends, encoder=encoder, observers=(self.meter,))

    async def prepare(self) -> None:
        """Index all documents, so that no question pays for it."""
        for expert in self.experts.values():
            if expert.retrieve is not None:
                await anyio.to_thread.run_sync(expert.retrieve, _ANY_QUESTION, 1)

    async def routed(self, question: str, tag: str | None) -> Assignment:
        """Return whom the team's router gives a question to."""
        return await anyio.to_thread.run_sync(self.router.route, question, tag)

    async def run(
        self,
        question: str,
        planner: Planner | None = None,
        route: Route | None = None,
        watch: Callable[[Stamped], None] = lambda _: None,
    ) -> Reply:
        """Answer a question by a planner and a route of one's own, else by the team's; `watch` sees every event."""
        run = self._begin(question, planner, route)
        events: list[Stamped] = []
        async with aclosing(self.follow(run)) as stream:
            async for stamped in stream:
                watch(stamped)
                events.append(stamped)
        return _reply(events)

    def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Have the team's aggregator join sub-answers.

        Raises:
            AggregationError: nothing usable came of it.
            ExpertError: the model behind it failed.
        """
        return self._make_aggregator("", self.meter).join(question, parts)

    def _begin(self, question: str, planner: Planner | None, route: Route | None) -> Run:
        run_id = f"bench-{secrets.token_hex(6)}"
        stages = Stages(
            self.file.config.name,
            planner or self.make_planner(run_id, self.meter),
            route or self.routed,
            self._experts,
            self._executor,
            self._make_aggregator(run_id, self.meter),
            self.file.config.limits.deadline_s,
            self._journal,
            self._executor.observers,
            self.meter,
        )
        return self._launch(Run(run_id, question, stages))


def _reply(events: list[Stamped]) -> Reply:
    story = explain(events)
    needed = {parent for node in story.nodes for parent in node.parents}
    first_s = next((each.at_s for each in events if isinstance(each.event, AnswerDelta)), None)
    reasons = [f"#{node.node}: {node.reason}" for node in story.nodes if node.reason]
    failure = [story.reason] if story.reason else []
    steps = tuple(_step(node, is_last=node.node not in needed) for node in story.nodes)
    return Reply(story.answer or "", steps, (*story.notes, *reasons, *failure), first_s)


def _step(node: NodeStory, *, is_last: bool) -> StepReply:
    asked = tuple(dict.fromkeys(attempt.expert for attempt in node.attempts))
    if node.answer is None:
        return StepReply(node.question, node.expert, "", is_last, asked=asked)
    return StepReply.of(node.question, node.answer, is_last=is_last, asked=asked)


# --- other teams of the same parts -----------------------------------------------------------------------------------


def patient(file: TeamFile) -> TeamFile:
    """Return the team with a deadline that no question on a slow machine meets."""
    limits = file.config.limits.model_copy(update={"deadline_s": max(_PATIENCE_S, file.config.limits.deadline_s)})
    return _with(file, limits=limits)


def unlimited(file: TeamFile) -> TeamFile:
    """Return the team with room for every model, where everything that is ready is dispatched at once."""
    cores = max(device.core_count for device in file.config.devices.values())
    devices = {
        name: DeviceConfig.model_validate({"capacity": _UNLIMITED_BYTES, "cores": _UNLIMITED_CORES})
        for name in file.config.devices
    }
    models = {
        name: model.model_copy(update={"threads": model.threads or cores})
        if isinstance(model, EmbeddedModelConfig)
        else model
        for name, model in file.config.models.items()
    }
    return _with(file, devices=devices, models=models)


def undeterred(file: TeamFile) -> TeamFile:
    """Return the team where a step goes on though one before it found nothing."""
    return _with(file, on_failure="continue")


def monolithic(file: TeamFile, *, adapted: bool) -> TeamFile:
    """Return a team of one expert with all documents; `adapted`: it answers with the adapter that most experts use."""
    experts = list(file.config.experts.values())
    readers = [expert for expert in experts if expert.documents] or experts
    documents = tuple(dict.fromkeys(path for expert in experts for path in expert.documents))
    adapter = _most_common(expert.adapter for expert in readers)
    one = ExpertConfig(
        model=_most_common(expert.model for expert in readers) or experts[0].model,
        adapter=adapter if adapted else None,
        instructions=_INSTRUCTIONS,
        documents=documents,
        passages=_PASSAGES,
        max_tokens=max(_MONOLITH_TOKENS, *(expert.max_tokens for expert in experts)),
    )
    router = file.config.router.model_copy(update={"fallback": EVERYTHING})
    return _with(file, experts={EVERYTHING: one}, router=router)


def _with(file: TeamFile, **sections: object) -> TeamFile:
    config: TeamConfig = file.config.model_copy(update=sections)
    return TeamFile(file.path, config)


def _most_common(names: Iterable[str | None]) -> str | None:
    found = list(names)
    return max(dict.fromkeys(found), key=found.count)
