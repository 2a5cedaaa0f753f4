"""From the events of one run to its story. Pure: what is not in the events is not in the story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from compllm.core.answers import SubAnswer
from compllm.core.events import (
    AggregationStarted,
    Event,
    ModelCrashed,
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    ModelLoading,
    NodeAdded,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeGivenUp,
    NodeRouted,
    NodeSkipped,
    NodeStarted,
    PlanClosed,
    PlanNoted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    Stamped,
)
from compllm.explain.remains import counted
from compllm.explain.story import (
    Attempt,
    Because,
    CriticalStep,
    Departure,
    Explanation,
    LoadStory,
    NodeState,
    NodeStory,
    Phases,
    Span,
    Status,
    Together,
    Wait,
)

# Shorter waits and overlaps are the system's own doing and explain nothing.
_NOTICEABLE_S = 0.001

_E = TypeVar("_E")


def explain(events: Iterable[Stamped], *, interrupted: bool = False) -> Explanation:
    """Fold the events of one run into its story, however little of the run there is so far.

    Of a run that was begun again without a plan, only what came then is told.
    `interrupted` says that nobody works on it any more, should it have no end. Events of other runs are left out;
    events of models count for the run whose stream they are in. O(nodes * events).
    """
    stream = counted(_own(list(events)))
    status, reason, end_s = _ending(stream)
    if interrupted and status == "running":
        status = "interrupted"
    loads, departures = _loads(stream), _departures(stream)
    nodes = _nodes(stream, loads, end_s, over=status != "running")
    together = _together(nodes, end_s)
    start, done = _last(stream, RunStarted), _last(stream, RunCompleted)
    aggregation = _last(stream, AggregationStarted)
    joining_s = _time_of(stream, AggregationStarted)
    closed_s = _time_of(stream, PlanClosed)
    executing_s = _executing_s(nodes, end_s)
    return Explanation(
        run=next((run for stamped in stream if (run := _run_of(stamped.event))), ""),
        question=start.question if start else "",
        team=start.team if start else "",
        planner=start.planner if start else "",
        status=status,
        elapsed_s=end_s,
        phases=Phases(
            planning_s=end_s if closed_s is None else closed_s,
            loading_s=_covered_s([(load.started_s, _or(load.ended_s, end_s)) for load in loads]),
            executing_s=executing_s,
            aggregating_s=0.0 if joining_s is None else max(0.0, end_s - joining_s),
        ),
        notes=tuple(stamped.event.note for stamped in stream if isinstance(stamped.event, PlanNoted)),
        reason=reason,
        aggregator=aggregation.aggregator if aggregation else None,
        aggregation_started_s=joining_s,
        plan_closed_s=closed_s,
        answer=done.answer if done else None,
        gaps=done.gaps if done else (),
        nodes=tuple(replace(node, alongside=_companions(node.node, together)) for node in nodes),
        loads=loads,
        departures=departures,
        critical_path=_critical_path(nodes, end_s),
        together=together,
        speed_up=_running_s(nodes, end_s) / executing_s if executing_s > 0 else None,
        prompt_tokens=done.prompt_tokens if done else 0,
        completion_tokens=done.completion_tokens if done else 0,
    )


# --- the run ---------------------------------------------------------------------------------------------------------


def _run_of(event: Event) -> str | None:
    return getattr(event, "run", None)


def _own(stream: Sequence[Stamped]) -> list[Stamped]:
    run = next((run for stamped in stream if (run := _run_of(stamped.event)) is not None), None)
    return [stamped for stamped in stream if _run_of(stamped.event) in (None, run)]


def _last(stream: Sequence[Stamped], kind: type[_E]) -> _E | None:
    return next((stamped.event for stamped in reversed(stream) if isinstance(stamped.event, kind)), None)


def _time_of(stream: Sequence[Stamped], kind: type[Event]) -> float | None:
    return next((stamped.at_s for stamped in reversed(stream) if isinstance(stamped.event, kind)), None)


def _ending(stream: Sequence[Stamped]) -> tuple[Status, str | None, float]:
    """Return how the run ended, why, and when: the time of the last event while it has not."""
    status: Status = "running"
    reason: str | None = None
    end_s = max((stamped.at_s for stamped in stream), default=0.0)
    for stamped in stream:
        match stamped.event:
            case RunStarted():
                status, reason = "running", None
            case RunCompleted(gaps=gaps):
                # What is cancelled and answered all the same was cut short, as by its deadline.
                status, reason, end_s = "gaps" if gaps else "answered", reason if gaps else None, stamped.at_s
            case RunCancelled(reason=why):
                status, reason = "cancelled", why
            case RunFailed(reason=why) if status != "cancelled":
                status, reason, end_s = "failed", why, stamped.at_s
    return status, reason, end_s


# --- models ----------------------------------------------------------------------------------------------------------


def _loads(stream: Sequence[Stamped]) -> tuple[LoadStory, ...]:
    loads: list[LoadStory] = []
    left: dict[str, list[str]] = {}
    for stamped in stream:
        match stamped.event:
            case ModelLoading(model=model, device=device):
                loads.append(LoadStory(model, device, stamped.at_s, evicted=tuple(left.pop(device, ()))))
            case ModelEvicted(model=model, device=device):
                left.setdefault(device, []).append(model)
            case ModelLoaded() | ModelLoadFailed() as end:
                _end_load(loads, end, stamped.at_s)
    return tuple(loads)


def _end_load(loads: list[LoadStory], end: ModelLoaded | ModelLoadFailed, at_s: float) -> None:
    load_s = end.load_s if isinstance(end, ModelLoaded) else 0.0
    begun = (end.model, end.device, None)
    index = next((at for at, load in enumerate(loads) if (load.model, load.device, load.ended_s) == begun), len(loads))
    if index == len(loads):  # its beginning was not seen
        loads.append(LoadStory(end.model, end.device, max(0.0, at_s - load_s)))
    loads[index] = replace(
        loads[index],
        ended_s=max(at_s, loads[index].started_s),
        footprint_bytes=end.footprint_bytes if isinstance(end, ModelLoaded) else None,
        failure=end.reason if isinstance(end, ModelLoadFailed) else None,
    )


def _departures(stream: Sequence[Stamped]) -> tuple[Departure, ...]:
    return tuple(
        Departure(event.model, event.device, at_s, event.reason if isinstance(event, ModelCrashed) else None)
        for at_s, event in ((stamped.at_s, stamped.event) for stamped in stream)
        if isinstance(event, ModelEvicted | ModelCrashed)
    )


# --- nodes -----------------------------------------------------------------------------------------------------------


def _nodes(stream: Sequence[Stamped], loads: Sequence[LoadStory], end_s: float, *, over: bool) -> tuple[NodeStory, ...]:
    nodes: dict[int, NodeStory] = {}
    for stamped in stream:
        if isinstance(stamped.event, NodeAdded) and stamped.event.node not in nodes:
            number = stamped.event.node
            mine = [each for each in stream if getattr(each.event, "node", number) == number]
            nodes[number] = _node(stamped.event, stamped.at_s, mine, end_s, over=over)
    return tuple(_with_waits(node, nodes, loads, end_s) for node in nodes.values())


def _node(added: NodeAdded, added_s: float, mine: Sequence[Stamped], end_s: float, *, over: bool) -> NodeStory:
    routed = _last(mine, NodeRouted)
    assignment = routed.assignment if routed else added.assignment
    attempts = _attempts(mine, end_s, over=over)
    state, ended_s, answer, reason, because = _outcome(mine, attempts, over=over)
    planned = assignment.candidates[0] if assignment.candidates else None
    last = attempts[-1] if attempts else None
    return NodeStory(
        node=added.node,
        text=added.text,
        question=routed.question if routed else added.text,
        tag=added.tag,
        parents=added.parents,
        assignment=assignment,
        expert=last.expert if last else planned.expert if planned else "",
        model=last.model if last else planned.model if planned else "",
        device=last.device if last else None,
        state=state,
        added_s=added_s,
        ready_s=None,
        started_s=attempts[0].started_s if attempts else None,
        ended_s=ended_s,
        attempts=attempts,
        answer=answer,
        reason=reason,
        because=because,
        caveat=answer.caveat if answer else "",
    )


def _attempts(mine: Sequence[Stamped], end_s: float, *, over: bool) -> tuple[Attempt, ...]:
    attempts: list[Attempt] = []
    for stamped in mine:
        running = attempts[-1] if attempts and attempts[-1].ended_s is None else None
        event, at_s = stamped.event, stamped.at_s
        if isinstance(event, NodeStarted):
            if running:  # a run that was resumed: nothing tells when its first process died
                attempts[-1] = _ended(running, at_s, "interrupted")
            attempts.append(Attempt(event.attempt, event.expert, event.model, event.device, at_s))
        elif running:
            attempts[-1] = _after(running, event, at_s)
    if over and attempts and attempts[-1].ended_s is None:
        attempts[-1] = _ended(attempts[-1], end_s, None)
    return tuple(attempts)


def _after(running: Attempt, event: Event, at_s: float) -> Attempt:
    match event:
        case NodeCompleted() | NodeCancelled():
            return _ended(running, at_s, None)
        case NodeFailed(attempt=number, reason=reason) if number == running.number:
            return _ended(running, at_s, reason)
        case ModelCrashed(model=model, device=device, reason=reason) if (model, device) == (
            running.model,
            running.device,
        ):
            return _ended(running, at_s, reason)
    return running


def _ended(attempt: Attempt, at_s: float, failure: str | None) -> Attempt:
    return replace(attempt, ended_s=max(at_s, attempt.started_s), failure=failure)


def _outcome(
    mine: Sequence[Stamped], attempts: Sequence[Attempt], *, over: bool
) -> tuple[NodeState, float | None, SubAnswer | None, str | None, int | None]:
    """Return state, end, answer, reason of failure, and the node that it was skipped for."""
    for stamped in reversed(mine):
        match stamped.event:
            case NodeCompleted(answer=answer):
                return "completed", stamped.at_s, answer, None, None
            case NodeGivenUp(reason=reason):
                return "failed", stamped.at_s, None, reason, None
            case NodeSkipped(because=because):
                return "skipped", stamped.at_s, None, None, because
            case NodeCancelled():
                return "cancelled", stamped.at_s, None, None, None
    last = attempts[-1] if attempts else None
    if over:
        failure = last.failure if last else None
        return "failed" if failure else "cancelled", last.ended_s if last else None, None, failure, None
    return "running" if last and last.ended_s is None else "waiting", None, None, None, None


# --- waiting ---------------------------------------------------------------------------------------------------------


def _with_waits(node: NodeStory, nodes: Mapping[int, NodeStory], loads: Sequence[LoadStory], end_s: float) -> NodeStory:
    ready_s = _ready_s(node, nodes)
    until_s = next(each for each in (ready_s, node.started_s, node.ended_s, end_s) if each is not None)
    needed = [nodes[parent] for parent in node.parents if parent in nodes]
    late = ", ".join(f"#{parent.node}" for parent in needed if _or(parent.ended_s, end_s) > node.added_s)
    waits = [Wait("parents", late, node.added_s, until_s)] if late else []
    if ready_s is not None:
        waits += _waits_when_ready(node, ready_s, loads, end_s)
    noticeable = tuple(wait for wait in waits if wait.ended_s - wait.started_s >= _NOTICEABLE_S)
    return replace(node, ready_s=ready_s, waits=noticeable)


def _ready_s(node: NodeStory, nodes: Mapping[int, NodeStory]) -> float | None:
    ends = [nodes[parent].ended_s for parent in node.parents if parent in nodes]
    known = [end for end in ends if end is not None]
    if node.started_s is not None:
        return min(max([node.added_s, *known]), node.started_s)
    if node.state == "skipped" or len(known) < len(ends):
        return None
    return max([node.added_s, *known])


def _waits_when_ready(node: NodeStory, ready_s: float, loads: Sequence[LoadStory], end_s: float) -> Iterator[Wait]:
    waiting_s = ready_s
    for attempt in node.attempts:
        yield from _gap((waiting_s, attempt.started_s), attempt.model, loads, end_s, retry=attempt.number > 1)
        waiting_s = _or(attempt.ended_s, end_s)
    if node.state == "waiting" or (node.state == "cancelled" and not node.attempts):
        yield from _gap((waiting_s, end_s), node.model, loads, end_s, retry=bool(node.attempts))


def _gap(gap: Span, model: str, loads: Sequence[LoadStory], end_s: float, *, retry: bool) -> Iterator[Wait]:
    """Say what a ready node waited for: until its model loads for room, then for the load, after that for a slot."""
    waiting_s, until_s = gap
    before, what = ("retry", "") if retry else ("room", model)
    loaded = False
    for load in loads:
        ended_s = _or(load.ended_s, end_s)
        if load.model != model or ended_s <= waiting_s or load.started_s >= until_s:
            continue
        if load.started_s > waiting_s:
            yield Wait("retry" if before == "retry" else "room", what, waiting_s, load.started_s)
        yield Wait("load", model, max(waiting_s, load.started_s), min(ended_s, until_s))
        waiting_s, loaded, before, what = min(ended_s, until_s), True, "room", model
    yield Wait("retry" if retry and not loaded else "slot", "", waiting_s, until_s)


# --- running side by side --------------------------------------------------------------------------------------------


def _or(at_s: float | None, end_s: float) -> float:
    return end_s if at_s is None else at_s


def _spans(node: NodeStory, end_s: float) -> list[Span]:
    return [(each.started_s, max(each.started_s, _or(each.ended_s, end_s))) for each in node.attempts]


def _covered_s(spans: Iterable[Span]) -> float:
    """Return the length of the union of the spans."""
    covered_s, reached_s = 0.0, float("-inf")
    for started_s, ended_s in sorted(spans):
        covered_s += max(0.0, ended_s - max(started_s, reached_s))
        reached_s = max(reached_s, ended_s)
    return covered_s


def _running_s(nodes: Sequence[NodeStory], end_s: float) -> float:
    return sum(ended_s - started_s for node in nodes for started_s, ended_s in _spans(node, end_s))


def _executing_s(nodes: Sequence[NodeStory], end_s: float) -> float:
    spans = [span for node in nodes for span in _spans(node, end_s)]
    return max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0


def _together(nodes: Sequence[NodeStory], end_s: float) -> tuple[Together, ...]:
    """Return the largest groups that ran at the same time.

    A group is complete when its last member starts, so those are the only instants to look at.
    """
    spans = [(node.node, *span) for node in nodes for span in _spans(node, end_s)]
    groups: list[Together] = []
    for instant_s in sorted({started_s for _, started_s, _ in spans}):
        running = [(node, end) for node, start, end in spans if start <= instant_s and end - instant_s >= _NOTICEABLE_S]
        members = tuple(sorted({node for node, _ in running}))
        if len(members) > 1:
            groups.append(Together(members, instant_s, min(end for _, end in running)))
    return tuple(group for index, group in enumerate(groups) if not _contained(index, groups))


def _contained(index: int, groups: Sequence[Together]) -> bool:
    mine = set(groups[index].nodes)
    return any(mine < set(other.nodes) or (mine == set(other.nodes) and at < index) for at, other in enumerate(groups))


def _companions(number: int, together: Sequence[Together]) -> tuple[int, ...]:
    return tuple(sorted({node for group in together if number in group.nodes for node in group.nodes} - {number}))


# --- what decided the end --------------------------------------------------------------------------------------------


def _critical_path(nodes: Sequence[NodeStory], end_s: float) -> tuple[CriticalStep, ...]:
    """Walk back from the node that ended last to what each node had waited for: a parent, or the holder of its slot."""
    ran = {node.node: node for node in nodes if node.attempts}
    path: list[CriticalStep] = []
    number = max(ran, key=lambda each: (_ran_until_s(ran[each], end_s), each), default=None)
    while number is not None:
        node = ran.pop(number)
        because, after = _cause(node, ran, end_s)
        path.append(CriticalStep(number, because, after, node.attempts[0].started_s, _ran_until_s(node, end_s)))
        number = after
    return tuple(reversed(path))


def _ran_until_s(node: NodeStory, end_s: float) -> float:
    return _spans(node, end_s)[-1][1]


def _cause(node: NodeStory, ran: Mapping[int, NodeStory], end_s: float) -> tuple[Because, int | None]:
    started_s = node.attempts[0].started_s
    for wait in node.waits:
        if wait.kind == "slot" and wait.ended_s == started_s:
            holders = [
                (_ran_until_s(other, end_s), other.node)
                for other in ran.values()
                if other.attempts[-1].device == node.attempts[0].device
                and wait.started_s < _ran_until_s(other, end_s) <= started_s
            ]
            if holders:
                return "slot", max(holders)[1]
    parents = [(_ran_until_s(ran[parent], end_s), parent) for parent in node.parents if parent in ran]
    return ("parents", max(parents)[1]) if parents else ("start", None)
