"""The page of the team: its experts, and what is resident on its devices now."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

import anyio
from markupsafe import Markup
from starlette.responses import Response

from compllm.config import TeamConfig
from compllm.core.inspection import ReplicaSnapshot, Snapshot
from compllm.core.ledger import REMOTE
from compllm.serve.page import live
from compllm.serve.page.door import Visit

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class ExpertView:
    """An expert as the page shows it; `state` is that of its model."""

    name: str
    description: str
    model: str
    adapter: str
    documents: int
    fallback: str
    state: str


def expert_views(config: TeamConfig, replicas: Sequence[ReplicaSnapshot]) -> list[ExpertView]:
    """Return the experts of a team and whether they could answer at once."""
    states = {each.model: "remote" if each.device == REMOTE else each.state for each in replicas}
    return [
        ExpertView(
            name=name,
            description=expert.description,
            model=expert.model,
            adapter=expert.adapter or "",
            documents=len(expert.documents),
            fallback=expert.fallback or "",
            state=states.get(expert.model, "not loaded"),
        )
        for name, expert in config.experts.items()
    ]


async def show_experts(visit: Visit) -> Response:
    """Show the team as it is; the page follows what is loaded and what runs."""
    return visit.page("experts", parts=_parts(visit, visit.service.team.snapshot()))


async def follow_experts(visit: Visit) -> Response:
    """Stream the parts of the team's page as they change."""
    return live.follow(visit, _versions(visit), has_end=False)


async def _versions(visit: Visit) -> AsyncGenerator[Mapping[str, Markup], None]:
    while not visit.service.runs.is_draining:
        yield _parts(visit, visit.service.team.snapshot())
        await anyio.sleep(_LOOK_EVERY_S)


def _parts(visit: Visit, snapshot: Snapshot) -> Mapping[str, Markup]:
    config = visit.service.team.file.config
    experts = expert_views(config, snapshot.replicas)
    return {
        "resident": visit.templates.part("resident", snapshot=snapshot),
        "experts": visit.templates.part("experts", experts=experts),
    }
