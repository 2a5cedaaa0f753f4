"""Everything that happens (events, past tense) and everything the scheduler asks for (commands, imperative).

One stream of events feeds progress displays, the journal, metrics and replay. `SchedulerEvent` names those that the
scheduler itself is driven by; the others are for observers alone. `kind` discriminates. `attempt` counts how often a
node was sent to an expert, so that news of an attempt that is over can be told from news of the present one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from compllm.core.answers import SubAnswer
from compllm.core.routing import Assignment

# --- events that drive the scheduler ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunOpened:
    """A run is about to be planned; it may be left out where the defaults will do.

    `user` is who is charged for it, `priority` goes before everything else (larger first), and after `deadline_s` (on
    the scheduler's clock) nobody wants its nodes. Work on behalf of an open run is `part_of` it, and not refused
    when many are open. A run that `goes_on` when its nodes have ended, for its answer is still to be written, counts as
    open until the scheduler's `admission` is told of its end.
    """

    run: str
    user: str = ""
    priority: int = 0
    deadline_s: float | None = None
    part_of: str | None = None
    goes_on: bool = False
    kind: Literal["run_opened"] = "run_opened"


@dataclass(frozen=True, slots=True)
class ModelsExpected:
    """The run will probably need these models; its plan is still being written."""

    run: str
    models: tuple[str, ...]
    kind: Literal["models_expected"] = "models_expected"


@dataclass(frozen=True, slots=True)
class NodeAdded:
    """A sub-query joined the plan of a run.

    `duration_s` is an estimate; without one it is what the expert took lately. `final` says that `assignment` cannot
    change any more; else it is provisional and the scheduler asks for the final one (`ResolveNode`) when the parents
    have ended.
    """

    run: str
    node: int
    text: str
    parents: tuple[int, ...]
    assignment: Assignment
    final: bool = True
    tag: str | None = None
    duration_s: float | None = None
    kind: Literal["node_added"] = "node_added"


@dataclass(frozen=True, slots=True)
class NodeRouted:
    """A dependent node got its final question (answers substituted) and its final assignment."""

    run: str
    node: int
    question: str
    assignment: Assignment
    duration_s: float | None = None
    kind: Literal["node_routed"] = "node_routed"


@dataclass(frozen=True, slots=True)
class PlanClosed:
    """No more nodes will be added to the run."""

    run: str
    kind: Literal["plan_closed"] = "plan_closed"


@dataclass(frozen=True, slots=True)
class NodeCompleted:
    """A running node has its answer."""

    run: str
    node: int
    answer: SubAnswer
    attempt: int = 1
    kind: Literal["node_completed"] = "node_completed"


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """One attempt at a running node failed; whether it is tried again is the scheduler's decision."""

    run: str
    node: int
    reason: str
    retryable: bool = False
    attempt: int = 1
    kind: Literal["node_failed"] = "node_failed"


@dataclass(frozen=True, slots=True)
class NodeCancelled:
    """A running node has stopped because its run was cancelled; its slot is free again."""

    run: str
    node: int
    attempt: int = 1
    kind: Literal["node_cancelled"] = "node_cancelled"


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """The caller went away, pressed Ctrl-C, or the deadline passed."""

    run: str
    reason: str
    kind: Literal["run_cancelled"] = "run_cancelled"


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A replica is resident and holds `footprint_bytes`."""

    model: str
    device: str
    footprint_bytes: int
    load_s: float
    kind: Literal["model_loaded"] = "model_loaded"


@dataclass(frozen=True, slots=True)
class ModelLoadFailed:
    """A load failed and holds nothing any more; `needed_bytes` corrects the footprint after running out of memory."""

    model: str
    device: str
    reason: str
    retryable: bool = False
    needed_bytes: int | None = None
    kind: Literal["model_load_failed"] = "model_load_failed"


@dataclass(frozen=True, slots=True)
class ModelEvicted:
    """A replica has left memory."""

    model: str
    device: str
    kind: Literal["model_evicted"] = "model_evicted"


@dataclass(frozen=True, slots=True)
class ModelCrashed:
    """A resident replica died by itself; its running nodes are lost, its memory is free."""

    model: str
    device: str
    reason: str
    kind: Literal["model_crashed"] = "model_crashed"


@dataclass(frozen=True, slots=True)
class Woken:
    """A time that the scheduler asked for with `WakeAt` has come."""

    kind: Literal["woken"] = "woken"


SchedulerEvent: TypeAlias = (
    RunOpened
    | ModelsExpected
    | NodeAdded
    | NodeRouted
    | PlanClosed
    | NodeCompleted
    | NodeFailed
    | NodeCancelled
    | RunCancelled
    | ModelLoaded
    | ModelLoadFailed
    | ModelEvicted
    | ModelCrashed
    | Woken
)

# --- events for observers --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A question was accepted from `user` with a priority; `planner` names the kind of planner that writes its plan."""

    run: str
    question: str
    team: str
    planner: str
    user: str = ""
    priority: int = 0
    kind: Literal["run_started"] = "run_started"


@dataclass(frozen=True, slots=True)
class PlanNoted:
    """Something about the plan that a reader should know, such as a repair or the one-step plan of last resort."""

    run: str
    note: str
    kind: Literal["plan_noted"] = "plan_noted"


@dataclass(frozen=True, slots=True)
class ModelLoading:
    """A load has begun."""

    model: str
    device: str
    kind: Literal["model_loading"] = "model_loading"


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A node was sent to an expert."""

    run: str
    node: int
    expert: str
    model: str
    device: str
    attempt: int
    kind: Literal["node_started"] = "node_started"


@dataclass(frozen=True, slots=True)
class NodeDelta:
    """A running node wrote a piece of its answer."""

    run: str
    node: int
    text: str
    kind: Literal["node_delta"] = "node_delta"


@dataclass(frozen=True, slots=True)
class NodeGivenUp:
    """A node has failed for good: no attempt and no other expert is left."""

    run: str
    node: int
    reason: str
    kind: Literal["node_given_up"] = "node_given_up"


@dataclass(frozen=True, slots=True)
class NodeSkipped:
    """A node will not run because a node it needs has failed."""

    run: str
    node: int
    because: int
    kind: Literal["node_skipped"] = "node_skipped"


@dataclass(frozen=True, slots=True)
class AggregationStarted:
    """The sub-answers are being joined; `aggregator` names how."""

    run: str
    aggregator: str
    kind: Literal["aggregation_started"] = "aggregation_started"


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """A piece of the final answer."""

    run: str
    text: str
    kind: Literal["answer_delta"] = "answer_delta"


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """The run has its answer; `gaps` are the nodes that have none, the tokens are those of every call to a model."""

    run: str
    answer: str
    gaps: tuple[int, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    kind: Literal["run_completed"] = "run_completed"


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run ended without an answer."""

    run: str
    reason: str
    kind: Literal["run_failed"] = "run_failed"


ObserverEvent: TypeAlias = (
    RunStarted
    | PlanNoted
    | ModelLoading
    | NodeStarted
    | NodeDelta
    | NodeGivenUp
    | NodeSkipped
    | AggregationStarted
    | AnswerDelta
    | RunCompleted
    | RunFailed
)
Event: TypeAlias = SchedulerEvent | ObserverEvent


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event with its time: seconds since the run started."""

    at_s: float
    event: Event


# --- commands --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResolveNode:
    """Substitute the parents' answers into the node's text and route it; answer with `NodeRouted`."""

    run: str
    node: int


@dataclass(frozen=True, slots=True)
class RunNode:
    """Send the node to the expert now; a slot of the replica is leased to it."""

    run: str
    node: int
    expert: str
    model: str
    device: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelNode:
    """Stop a running node; answer with `NodeCancelled` (or its end, if that came first)."""

    run: str
    node: int


@dataclass(frozen=True, slots=True)
class GiveUpNode:
    """The node has failed for good."""

    run: str
    node: int
    reason: str


@dataclass(frozen=True, slots=True)
class SkipNode:
    """The node will not run because `because` has failed."""

    run: str
    node: int
    because: int


@dataclass(frozen=True, slots=True)
class FinishRun:
    """Every node of the closed plan has ended."""

    run: str


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Load the model on the device; its `reserved_bytes` are, and do not matter to which command it is."""

    model: str
    device: str
    reserved_bytes: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class EvictModel:
    """Free the replica's memory; answer with `ModelEvicted`."""

    model: str
    device: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send `Woken` at this time, in seconds on the clock that `handle` is given."""

    at_s: float


Command: TypeAlias = (
    ResolveNode | RunNode | CancelNode | GiveUpNode | SkipNode | FinishRun | LoadModel | EvictModel | WakeAt
)
