"""A run's way to its answer in words, as chat clients show the thinking of a model."""

from __future__ import annotations

from compllm.core import events as ev
from compllm.core.routing import Assignment


def reasoning(event: ev.Event) -> str:
    """Return the line that tells of an event, line end included, or nothing: the plan, sub-answers, loads, trouble."""
    line = _of_plan(event) or _of_node(event) or _of_model(event)
    return f"{line}\n" if line else ""


def step_line(step: int, text: str, tag: str | None, assignment: Assignment) -> str:
    """Return a step of a plan and who answers it, in one line."""
    return f"{step}. {f'[{tag}] ' if tag else ''}{text} → {_who(assignment)}"


def _of_plan(event: ev.Event) -> str:
    match event:
        case ev.PlanNoted(note=note):
            return f"Note: {note}"
        case ev.NodeAdded():
            return step_line(event.node, event.text, event.tag, event.assignment)
        case ev.NodeRouted(node=node, question=question, assignment=assignment):
            return f"#{node} is now: {question} → {_who(assignment)}"
        case ev.AggregationStarted(aggregator=aggregator):
            return f"Joining the answers ({aggregator})"
    return ""


def _of_node(event: ev.Event) -> str:
    match event:
        case ev.NodeCompleted(node=node, answer=answer):
            return f"#{node} {answer.expert}: {answer.text}{answer.caveat and f' ({answer.caveat})'}"
        case ev.NodeFailed(node=node, reason=reason):
            return f"#{node} failed: {reason}"
        case ev.NodeGivenUp(node=node, reason=reason):
            return f"#{node} has no answer: {reason}"
        case ev.NodeSkipped(node=node, because=because):
            return f"#{node} is skipped: it needs #{because}"
    return ""


def _of_model(event: ev.Event) -> str:
    match event:
        case ev.ModelLoading(model=model, device=device):
            return f"Loading {model} on {device}"
        case ev.ModelLoaded(model=model, load_s=load_s):
            return f"Loaded {model} in {load_s:.1f} s"
        case ev.ModelLoadFailed(model=model, reason=reason) | ev.ModelCrashed(model=model, reason=reason):
            return f"{model}: {reason}"
    return ""


def _who(assignment: Assignment) -> str:
    if not assignment.candidates:
        return "nobody"
    if assignment.mode == "given":
        return assignment.expert
    found = f"{assignment.mode} {assignment.score:.2f}" if assignment.passed else "fallback"
    return f"{assignment.expert} ({found})"
