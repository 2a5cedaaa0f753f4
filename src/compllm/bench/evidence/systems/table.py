"""The systems by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compllm.bench.evidence.systems.autogen import AUTOGEN
from compllm.bench.evidence.systems.base import Factory
from compllm.bench.evidence.systems.composed import COMPOSED
from compllm.bench.evidence.systems.ensemble import ENSEMBLE
from compllm.bench.evidence.systems.oracle import ORACLES
from compllm.bench.evidence.systems.react import REACT
from compllm.errors import ConfigError

SYSTEMS: Mapping[str, Factory] = {**COMPOSED, **ORACLES, **ENSEMBLE, **REACT, **AUTOGEN}


def named(names: Sequence[str]) -> dict[str, Factory]:
    """Return the systems of these names, in their order.

    Raises:
        ConfigError: there is none of a name.
    """
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise ConfigError(f"there is no system {unknown[0]!r}; use some of {', '.join(SYSTEMS)}")
    return {name: SYSTEMS[name] for name in names}
