"""Comp-LLM: a team of small language models that answers like a big one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compllm._version import __version__

if TYPE_CHECKING:
    from compllm.api import ask
    from compllm.core.plan import Plan, SubQuery
    from compllm.errors import CompLLMError
    from compllm.pipeline import Answer, Team
    from compllm.planner.language import parse_plan

__all__ = ["Answer", "CompLLMError", "Plan", "SubQuery", "Team", "__version__", "ask", "parse_plan"]

_HOMES = {
    "Answer": "compllm.pipeline",
    "CompLLMError": "compllm.errors",
    "Plan": "compllm.core.plan",
    "SubQuery": "compllm.core.plan",
    "Team": "compllm.pipeline",
    "ask": "compllm.api",
    "parse_plan": "compllm.planner.language",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import compllm` stays fast (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'compllm' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
