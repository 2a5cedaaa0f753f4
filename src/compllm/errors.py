"""Every error that Comp-LLM raises on purpose.

    CompLLMError
    ├ ConfigError
    ├ PlanError
    │ ├ PlanParseError(line, text)
    │ └ PlanCycleError(cycle)
    ├ RoutingError
    │ └ NoEligibleExpertError
    ├ SchedulingError
    │ ├ ModelTooLargeError(need_bytes, capacity_bytes)
    │ ├ QueueFullError
    │ └ SchedulerStalledError(snapshot)
    ├ ExpertError(expert, node, retryable)
    │ ├ ExpertLoadError
    │ ├ ExpertOutOfMemoryError
    │ ├ ExpertTimeoutError
    │ └ ExpertResponseError
    ├ AggregationError
    ├ RunError(run)
    ├ JournalError
    └ AccessError
      ├ AccessDeniedError
      └ TooManyRequestsError(retry_after_s)

`InvalidTransition` stands outside the tree: it is a bug of ours, not something a caller can mend.
Cancellation is never wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence


class CompLLMError(Exception):
    """Base of every error that a caller may want to catch."""


class ConfigError(CompLLMError):
    """A team file, a setting or an installation is not usable; the message says where and how to mend it."""


class PlanError(CompLLMError):
    """A plan is not usable."""


class PlanParseError(PlanError):
    """A line of a written plan breaks the plan language."""

    def __init__(self, message: str, *, line: int, text: str) -> None:
        super().__init__(f"plan line {line}: {message}: {text!r}" if text else f"plan line {line}: {message}")
        self.line = line
        self.text = text


class PlanCycleError(PlanError):
    """The steps of a plan depend on each other in a circle."""

    def __init__(self, cycle: Sequence[int]) -> None:
        super().__init__("the plan has a cycle: " + " -> ".join(f"#{step}" for step in cycle))
        self.cycle = tuple(cycle)


class RoutingError(CompLLMError):
    """A sub-query cannot be given to an expert."""


class NoEligibleExpertError(RoutingError):
    """No expert passes the threshold and the team names no fallback."""


class SchedulingError(CompLLMError):
    """Work cannot be placed on the devices of the team."""


class ModelTooLargeError(SchedulingError):
    """A model fits no device, or pins leave no room for it."""

    def __init__(self, message: str, *, need_bytes: int, capacity_bytes: int) -> None:
        super().__init__(message)
        self.need_bytes = need_bytes
        self.capacity_bytes = capacity_bytes


class QueueFullError(SchedulingError):
    """More runs wait than the team allows."""


class SchedulerStalledError(SchedulingError):
    """Unfinished work exists and nothing is under way that could finish it."""

    def __init__(self, snapshot: str) -> None:
        super().__init__(f"the scheduler has stalled:\n{snapshot}")
        self.snapshot = snapshot


class ExpertError(CompLLMError):
    """A model behind an expert failed; `retryable` says whether asking again may help."""

    def __init__(self, message: str, *, expert: str = "", node: int | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.expert = expert
        self.node = node
        self.retryable = retryable


class ExpertLoadError(ExpertError):
    """A model could not be loaded or its worker died."""


class ExpertOutOfMemoryError(ExpertError):
    """A model needed more memory than its footprint said."""


class ExpertTimeoutError(ExpertError):
    """A model did not answer in time."""


class ExpertResponseError(ExpertError):
    """A model answered with something that is not an answer."""


class AggregationError(CompLLMError):
    """The sub-answers could not be joined into one answer."""


class RunError(CompLLMError):
    """A run ended without an answer; `run` is its id in the journal."""

    def __init__(self, message: str, *, run: str) -> None:
        super().__init__(message)
        self.run = run


class JournalError(CompLLMError):
    """The record of runs cannot be read or written."""


class AccessError(CompLLMError):
    """A request may not come in."""


class AccessDeniedError(AccessError):
    """A request came without a key that the server knows."""


class TooManyRequestsError(AccessError):
    """A request too many; `retry_after_s` is when the next one has a chance."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InvalidTransition(RuntimeError):
    """A bug of ours: the scheduler was told something that cannot follow what it knows."""

    def __init__(self, message: str, story: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *story]))
        self.story = tuple(story)
