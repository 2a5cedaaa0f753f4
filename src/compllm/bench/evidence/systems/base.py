"""The port of the harness: a system answers the questions of a set, by whatever means."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from compllm.bench.evidence.metering import Meter
from compllm.bench.evidence.reply import Reply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.config import EmbeddedModelConfig, TeamFile
from compllm.settings import Settings


class System(Protocol):
    """Answers questions, one at a time."""

    @property
    def meter(self) -> Meter:
        """What its models have done since the last reset."""
        ...

    async def answer(self, row: EvidenceRow) -> Reply:
        """Answer the question of a row; only oracles look at the rest of it.

        Raises:
            CompLLMError: there is no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server, a model there and its key."""

    base_url: str
    model: str
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What every system is made from: a team, where things are kept, and an endpoint for those that need one."""

    file: TeamFile
    settings: Settings
    endpoint: Endpoint | None = None


def fingerprint(file: TeamFile, judge: Endpoint | None = None, endpoint: Endpoint | None = None) -> str:
    """Return 16 hexadecimal digits for what results depend on besides question and system.

    These are the team, the contents of its documents, adapters and calibration, the names and sizes of its models, who
    judges, and the endpoint of a system that needs one.

    Raises:
        OSError: a file cannot be read.
    """
    config, digest = file.config, hashlib.sha256()
    models = [model for model in config.models.values() if isinstance(model, EmbeddedModelConfig)]
    read = [file.resolve(path) for expert in config.experts.values() for path in expert.documents]
    read += [path for model in models for path in file.adapters(model).values()]
    read += [file.resolve(config.router.calibration)] if config.router.calibration else []
    weights = [file.resolve(model.file) for model in models if model.file]
    parts = [config.model_dump_json(exclude={"server"}), str((judge.base_url, judge.model) if judge else None)]
    parts += [str((endpoint.base_url, endpoint.model))] if endpoint else []
    parts += [f"{path.name} {path.stat().st_size}" for path in weights]
    for part in [*map(str.encode, parts), *(path.read_bytes() for path in dict.fromkeys(read))]:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


Opened: TypeAlias = AbstractAsyncContextManager[System]
Factory: TypeAlias = Callable[[Setting], Opened]
