"""Builds the parts that a team file names: encoder, router, backends, and what the scheduler knows of the models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from compllm.config import EmbeddedModelConfig, EndpointModelConfig, FunctionModelConfig, ModelConfig, TeamFile
from compllm.core.ledger import Device, Model
from compllm.core.routing import ExpertProfile
from compllm.experts.base import Backend
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.endpoint import EndpointBackend, checked_url
from compllm.experts.function import FunctionBackend, find_function
from compllm.router.base import Encoder
from compllm.router.calibration import Calibration
from compllm.router.endpoint_encoder import EndpointEncoder
from compllm.router.onnx_encoder import OnnxEncoder
from compllm.router.router import Router
from compllm.settings import Settings, read_secret


def make_encoder(file: TeamFile, cache_dir: Path) -> Encoder:
    """Return the team's encoder, the bundled one, which keeps files in `cache_dir`, unless the team names an endpoint.

    Raises:
        ConfigError: its API key is not set, or its URL cannot be used.
    """
    config = file.config.router.encoder
    if config is None:
        return OnnxEncoder(cache_dir=cache_dir)
    key = read_secret(config.api_key_env, "router.encoder")
    return EndpointEncoder(checked_url(config.base_url), config.model, api_key=key)


def make_router(file: TeamFile, encoder: Encoder, read: Callable[[str], Mapping[str, float]] | None = None) -> Router:
    """Return the router of the team's experts; `read` returns the score of each one's best passage for a question.

    Raises:
        ConfigError: the calibration cannot be used.
    """
    config = file.config.router
    return Router(
        encoder,
        [profile_of(file, name) for name in file.config.experts],
        mode=config.mode,
        threshold=config.threshold,
        fallback=config.fallback,
        calibration=_calibration(file, encoder),
        read=read,
    )


def profile_of(file: TeamFile, name: str) -> ExpertProfile:
    """Return what the router knows of an expert."""
    config = file.config.experts[name]
    model = file.config.models[config.model]
    exact_for = model.first_for if isinstance(model, FunctionModelConfig) else None
    return ExpertProfile(name, config.model, config.description, config.examples, config.fallback, exact_for)


def _calibration(file: TeamFile, encoder: Encoder) -> Calibration | None:
    path = file.config.router.calibration
    return Calibration.load(file.resolve(path), encoder=encoder.name) if path is not None else None


def make_backend(file: TeamFile, name: str, settings: Settings) -> Backend:
    """Return the backend that reaches a model of the file.

    Raises:
        ConfigError: its API key is not set, or its function is not there.
    """
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
            extra_body=config.extra_body,
        )
    if isinstance(config, FunctionModelConfig):
        function = find_function(config.function, f"models.{name}")
        return FunctionBackend(function, config.function, config.slots)
    return make_embedded(file, config, settings)


def make_embedded(file: TeamFile, config: EmbeddedModelConfig, settings: Settings) -> EmbeddedBackend:
    """Return the backend of a model that gets a worker of its own."""
    cores = max(device.core_count for device in file.config.devices.values())
    return EmbeddedBackend(
        file.resolve(config.file) if config.file is not None else None,
        context_tokens=config.context_tokens,
        slots=config.slots,
        adapters=file.adapters(config),
        threads=config.threads or cores,
        cache_dir=settings.cache_dir,
    )


def share_cores(backends: Mapping[str, Backend], devices: Iterable[Device]) -> None:
    """Tell the embedded models whether another one may be in memory, and at work, at the same time."""
    tell_alone(backends, alone=are_alone(backends, devices))


def are_alone(backends: Mapping[str, Backend], devices: Iterable[Device]) -> bool:
    """Return whether no two embedded models fit a device together.

    Raises:
        ConfigError: the file of a model or of an adapter cannot be read.
    """
    smallest = sorted(each.estimated_footprint_bytes() for each in _embedded(backends))[:2]
    return len(smallest) < 2 or all(sum(smallest) > device.capacity_bytes for device in devices)


def tell_alone(backends: Mapping[str, Backend], *, alone: bool) -> None:
    """Tell the embedded models whether each has the cores for itself; what is loaded heeds it at its next load."""
    for each in _embedded(backends):
        each.alone = alone


def _embedded(backends: Mapping[str, Backend]) -> list[EmbeddedBackend]:
    return [each for each in backends.values() if isinstance(each, EmbeddedBackend)]


def model_of(name: str, backend: Backend | None, config: ModelConfig, devices: Sequence[Device]) -> Model:
    """Return what the scheduler should know of a model: nothing but its slots where it is not on our devices."""
    if not isinstance(backend, EmbeddedBackend) or not isinstance(config, EmbeddedModelConfig):
        return Model(name, slots=config.slots)
    homes = config.devices or tuple(device.name for device in devices)
    bare = Model(name, slots=config.slots, threads=backend.compute_share, devices=homes, pinned=config.pinned)
    return replace(bare, footprint_bytes=backend.estimated_footprint_bytes(), curve=backend.curve)


def secrets_of(file: TeamFile) -> list[str]:
    """Return every secret that the team uses, so that none is written down."""
    endpoints = [m for m in file.config.models.values() if isinstance(m, EndpointModelConfig)]
    encoder = file.config.router.encoder
    variables = [m.api_key_env for m in endpoints] + ([encoder.api_key_env] if encoder else [])
    return [secret for secret in (read_secret(v, "the team") for v in variables) if secret]
