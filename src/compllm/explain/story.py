"""The story of a run: what `explain` returns. Times are seconds since the run started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from compllm.core.answers import SubAnswer
from compllm.core.routing import Assignment

NodeState = Literal["completed", "failed", "skipped", "cancelled", "waiting", "running"]
Status = Literal["running", "answered", "gaps", "failed", "cancelled", "interrupted"]
Because = Literal["start", "parents", "slot"]
Span: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a node was sent to an expert; `ended_s` is None while it runs, `failure` None unless it failed."""

    number: int
    expert: str
    model: str
    device: str
    started_s: float
    ended_s: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """What kept a node from running.

    Its parents, room for the load of its model, that load, a free slot or cores, or the pause before another attempt.
    `what` names the parents ("#1, #2") or the model.
    """

    kind: Literal["parents", "room", "load", "slot", "retry"]
    what: str
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class NodeStory:
    """What happened to one node; times are seconds since the run started, None when it did not come to that.

    `question` is `text` with the answers of the parents substituted. `expert`, `model` and `device` are those of the
    last attempt, before the first one those that are planned. `reason` says why it failed, `because` names the failed
    node it was skipped for, `alongside` the nodes that ran at the same time, `caveat` says what the answer's reader
    must know, or nothing.
    """

    node: int
    text: str
    question: str
    tag: str | None
    parents: tuple[int, ...]
    assignment: Assignment
    expert: str
    model: str
    device: str | None
    state: NodeState
    added_s: float
    ready_s: float | None
    started_s: float | None
    ended_s: float | None
    attempts: tuple[Attempt, ...] = ()
    waits: tuple[Wait, ...] = ()
    answer: SubAnswer | None = None
    reason: str | None = None
    because: int | None = None
    alongside: tuple[int, ...] = ()
    caveat: str = ""

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens of the answer per second of the request."""
        answer = self.answer
        return answer.completion_tokens / answer.elapsed_s if answer and answer.elapsed_s > 0 else None


@dataclass(frozen=True, slots=True)
class LoadStory:
    """One load; `ended_s` is None while it goes on, `evicted` names the models that left the device just before."""

    model: str
    device: str
    started_s: float
    ended_s: float | None = None
    footprint_bytes: int | None = None
    failure: str | None = None
    evicted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Departure:
    """A model left memory; `crash` says why when it was not evicted but died."""

    model: str
    device: str
    at_s: float
    crash: str | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """Nodes that ran at the same time, and when."""

    nodes: tuple[int, ...]
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class CriticalStep:
    """A link of the critical path: it ran from `started_s` to `ended_s`, and started when it did because of `after`.

    `because` says how: the answer of `after` was needed, or `after` held the slot or cores; "start" has no `after`.
    """

    node: int
    because: Because
    after: int | None
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of each phase. They overlap: a step runs while the plan is still written and while models load.

    Planning lasts from the start to the closing of the plan, loading is the union of all loads, executing lasts from
    the first start of a node to the last end, aggregating from its start to the end of the run.
    """

    planning_s: float = 0.0
    loading_s: float = 0.0
    executing_s: float = 0.0
    aggregating_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The story of one run.

    `elapsed_s` counts to its end or, while it runs, to the last event. `speed_up` is the sum of the nodes' running
    times over the time of execution: above 1, running side by side won time; None when nothing ran.
    """

    run: str
    question: str
    team: str
    planner: str
    status: Status
    elapsed_s: float
    phases: Phases
    notes: tuple[str, ...] = ()
    reason: str | None = None
    aggregator: str | None = None
    aggregation_started_s: float | None = None
    plan_closed_s: float | None = None
    answer: str | None = None
    gaps: tuple[int, ...] = ()
    nodes: tuple[NodeStory, ...] = ()
    loads: tuple[LoadStory, ...] = ()
    departures: tuple[Departure, ...] = ()
    critical_path: tuple[CriticalStep, ...] = ()
    together: tuple[Together, ...] = ()
    speed_up: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
