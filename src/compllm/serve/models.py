"""`/v1/models`: the team and its experts, as clients list models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from compllm.serve.entry import ERRORS, ServiceOf, admitted
from compllm.serve.errors import unknown_model
from compllm.serve.service import Service

router = APIRouter(prefix="/v1", tags=["OpenAI"], responses=ERRORS, dependencies=[Depends(admitted)])


class ModelCard(BaseModel):
    """What can be asked: the team, or one of its experts alone; `created` is when the team file was last changed."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["compllm"] = "compllm"
    kind: Literal["team", "expert"]
    description: str


class ModelList(BaseModel):
    """Everything that can be asked."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


@router.get("/models")
def list_models(service: ServiceOf) -> ModelList:
    """List the team and its experts."""
    return ModelList(data=list(_cards(service)))


@router.get("/models/{model}")
def show_model(model: str, service: ServiceOf) -> ModelCard:
    """Describe the team or an expert."""
    cards = {card.id: card for card in _cards(service)}
    if model not in cards:
        raise unknown_model(model, list(cards))
    return cards[model]


def _cards(service: Service) -> Iterator[ModelCard]:
    """Yield the team first; it goes before an expert of the same name."""
    team = service.team
    created = int(team.file.path.stat().st_mtime) if team.file.path.exists() else 0
    about = f"A team of {len(team.experts)} experts: {', '.join(team.experts)}."
    yield ModelCard(id=team.file.config.name, created=created, kind="team", description=about)
    for name, expert in team.experts.items():
        if name != team.file.config.name:
            yield ModelCard(id=name, created=created, kind="expert", description=expert.profile.description)
