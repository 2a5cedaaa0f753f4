"""From the events of a run whose process has died to what it has left. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from compllm.core.answers import SubAnswer
from compllm.core.events import NodeAdded, NodeCompleted, NodeRouted, PlanClosed, RunStarted, Stamped
from compllm.core.plan import Plan, SubQuery


@dataclass(frozen=True, slots=True)
class Remains:
    """How far a run had come: all its `events`, how it `started`, and what need not be done again.

    Without a `plan` it was still being planned, and nothing of it counts. `questions` and `answers` are those of the
    steps that have been answered.
    """

    events: tuple[Stamped, ...]
    started: RunStarted
    plan: Plan | None
    questions: Mapping[int, str]
    answers: Mapping[int, SubAnswer]
    added: Mapping[int, NodeAdded]


def counted(stream: Sequence[Stamped]) -> list[Stamped]:
    """Return what counts of a run that was begun more than once: all since the start that led to a complete plan.

    Without a complete plan, all since the last start; of a run that was begun once, all.
    """
    closed = next((at for at, each in enumerate(stream) if isinstance(each.event, PlanClosed)), len(stream))
    starts = [at for at, each in enumerate(stream[:closed]) if isinstance(each.event, RunStarted)]
    return list(stream[starts[-1] :] if len(starts) > 1 else stream)


def remains(events: Iterable[Stamped]) -> Remains | None:
    """Return what is left of a run, or None if its start was not recorded."""
    recorded = tuple(events)
    stream = [stamped.event for stamped in counted(recorded)]
    started = next((event for event in reversed(stream) if isinstance(event, RunStarted)), None)
    if started is None:
        return None
    if not any(isinstance(event, PlanClosed) for event in stream):
        return Remains(recorded, started, None, {}, {}, {})
    added = {event.node: event for event in reversed(stream) if isinstance(event, NodeAdded)}
    added = dict(sorted(added.items()))
    answers = {event.node: event.answer for event in stream if isinstance(event, NodeCompleted)}
    asked = {event.node: event.question for event in stream if isinstance(event, NodeRouted)}
    steps = tuple(SubQuery.shown(each.node, each.text, each.tag, each.parents) for each in added.values())
    questions = {node: asked.get(node, added[node].text) for node in answers}
    return Remains(recorded, started, Plan(steps), questions, answers, added)
