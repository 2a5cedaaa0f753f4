"""The story of a run in plain text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compllm.core.answers import Passage
from compllm.explain.lines import cells, clip, pad, wrap
from compllm.explain.story import Attempt, CriticalStep, Explanation, LoadStory, NodeStory, Phases, Wait

_LABEL = 11
_EXCERPT_LINES = 8
_BEGINNING = 50
_MIN_WIDTH = 50
_MIN_BAR = 8
_LEGEND = "░ waiting  ▓ running  ▒ failed attempt  ▄ loading  ═ planning, joining"
_Paint = tuple[float, float, str]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the timeline; later paints cover earlier ones."""

    label: str
    begun_s: float
    paints: Sequence[_Paint]
    state: str = "completed"

    @property
    def when(self) -> str:
        worked = [paint for paint in self.paints if paint[2] != "░"]
        if not worked:
            return self.state
        return _span(worked[0][0], worked[-1][1]) + ("" if self.state == "completed" else f" {self.state}")


def render_text(explanation: Explanation, width: int = 100) -> str:
    """Return the whole story in lines of at most `width` (at least 50) terminal cells, free of control characters."""
    width = max(_MIN_WIDTH, width)
    sections = [
        ("Question", wrap(explanation.question, width, "  ")),
        ("Run", _run(explanation, width)),
        ("Plan", _plan(explanation.nodes, width)),
        ("Steps", [line for node in explanation.nodes for line in _step(node, width)]),
        ("Loads", [line for load in explanation.loads for line in _load(load, width)]),
        ("Critical path", _critical_path(explanation, width)),
        ("Timeline", _timeline(explanation, width)),
        ("Phases", wrap(_phases(explanation.phases), width, "  ")),
        ("Gaps", wrap(_gaps(explanation), width, "  ") if explanation.gaps else []),
        ("Answer", wrap(explanation.answer, width, "  ") if explanation.answer is not None else []),
    ]
    return "\n\n".join("\n".join([title, *lines]) for title, lines in sections if any(lines)) + "\n"


def render_summary(explanation: Explanation, width: int = 100) -> str:
    """Return where the time of the run went, in three to eight lines of at most `width` (at least 50) cells."""
    width = max(_MIN_WIDTH, width)
    took = [f"#{node.node} {node.expert} {_took(node)}" for node in explanation.nodes]
    groups = [f"{_names(group.nodes)} ({_span(group.started_s, group.ended_s)})" for group in explanation.together]
    lines = [clip(_headline(explanation), width), *wrap(_phases(explanation.phases), width)]
    lines += _packed("", took, width) if took else ["no steps"]
    if groups:
        lines += _packed("at the same time: ", groups, width)
    elif len(took) > 1:
        lines.append("no two steps ran at the same time")
    if len(explanation.critical_path) > 1:
        path = " ─▶ ".join(f"#{step.node}" for step in explanation.critical_path)
        lines.append(clip(f"critical path: {path}", width))
    if explanation.gaps:
        lines.append(clip(_gaps(explanation), width))
    return "\n".join(lines) + "\n"


# --- sections --------------------------------------------------------------------------------------------------------


def _run(explanation: Explanation, width: int) -> list[str]:
    head = [f"{explanation.run}: {_headline(explanation)}"]
    head += [f"team {explanation.team}"] if explanation.team else []
    head += [f"planner {explanation.planner}"] if explanation.planner else []
    if explanation.aggregator:
        head.append(f"aggregator {explanation.aggregator}")
    if explanation.prompt_tokens or explanation.completion_tokens:
        head.append(f"{explanation.prompt_tokens} tokens read, {explanation.completion_tokens} written")
    lines = wrap(", ".join(head), width, "  ")
    for note in explanation.notes:
        lines += wrap(note, width, "  note: ")
    return lines


def _plan(nodes: Sequence[NodeStory], width: int) -> list[str]:
    lines = []
    for node in nodes:
        children = [other.node for other in nodes if node.node in other.parents]
        tag = f"[{node.tag}] " if node.tag else ""
        arrow = f" ─▶ {_names(children)}" if children else ""
        lines += wrap(f"{tag}{node.text}{arrow}", width, f"  #{node.node} ")
    return lines


def _step(node: NodeStory, width: int) -> Iterator[str]:
    place = f" on {node.model}" + (f" ({node.device})" if node.device else "")
    yield from wrap(f"{node.expert}{place}: {_state(node)}", width, f"  #{node.node} ", " " * 5)
    for label, value in _fields(node):
        yield from _field(label, value, width)
    if node.answer:
        lines = list(_field("answer", node.answer.text, width))
        yield from lines[:_EXCERPT_LINES]
        if len(lines) > _EXCERPT_LINES:
            yield from _field("", f"... ({len(lines) - _EXCERPT_LINES} more lines)", width)
    if node.caveat:
        yield from _field("note", node.caveat, width)


def _fields(node: NodeStory) -> Iterator[tuple[str, str]]:
    if node.question != node.text:
        yield "question", node.question
    yield "why", _why(node)
    for attempt in node.attempts if len(node.attempts) > 1 or any(each.failure for each in node.attempts) else ():
        yield f"attempt {attempt.number}", _attempt(attempt)
    if node.reason:
        yield "failed", node.reason
    if node.waits:
        yield "waited", "; ".join(map(_wait, node.waits))
    if node.alongside:
        yield "alongside", _names(node.alongside)
    for place in _places(node.answer.passages if node.answer else ()):
        yield "read", place
    if node.answer and node.answer.completion_tokens:
        yield "tokens", _tokens(node)


def _load(load: LoadStory, width: int) -> list[str]:
    size = f", {load.footprint_bytes / 1e6:.0f} MB" if load.footprint_bytes else ""
    evicted = f", after {', '.join(load.evicted)} left" if load.evicted else ""
    end = "is loading" if load.ended_s is None else "failed to load" if load.failure is not None else "loaded"
    failure = f": {load.failure}" if load.failure else ""
    when = _span(load.started_s, load.ended_s)
    return wrap(f"{load.model} on {load.device}: {end}, {when}{size}{evicted}{failure}", width, "  ", " " * 5)


def _critical_path(explanation: Explanation, width: int) -> list[str]:
    return [line for step in explanation.critical_path for line in _link(step, explanation.nodes, width)]


def _link(step: CriticalStep, nodes: Sequence[NodeStory], width: int) -> list[str]:
    because = {"start": "first", "parents": f"needed #{step.after}", "slot": f"took the place of #{step.after}"}
    facts = [because[step.because]]
    for node in nodes:
        if node.node == step.node:
            facts += [f"waited {_wait(wait)}" for wait in node.waits if wait.kind != "parents"]
    arrow = "   " if step.after is None else "─▶ "
    when = _span(step.started_s, step.ended_s)
    return wrap("; ".join([when, *facts]), width, f"  {arrow}#{step.node} ")


def _timeline(explanation: Explanation, width: int) -> list[str]:
    end_s = explanation.elapsed_s
    begun = [_load_row(load, end_s) for load in explanation.loads]
    begun += [_node_row(node, end_s) for node in explanation.nodes]
    planning = _Row("plan", 0.0, [(0.0, explanation.phases.planning_s, "═")])
    rows = [planning, *sorted(begun, key=lambda row: row.begun_s)]
    if (joining_s := explanation.aggregation_started_s) is not None:
        rows.append(_Row("join", joining_s, [(joining_s, end_s, "═")]))
    room = width - 6 - max(len(row.when) for row in rows)
    label = min(max(cells(clip(row.label, width)) for row in rows), width // 3, room - _MIN_BAR)
    lines = [f"  {pad(row.label, label)}  {_bar(row.paints, room - label, end_s)}  {row.when}" for row in rows]
    return [*lines, *wrap(_LEGEND, width, "  ")]


def _load_row(load: LoadStory, end_s: float) -> _Row:
    return _Row(f"load {load.model}", load.started_s, [(load.started_s, _or(load.ended_s, end_s), "▄")])


def _node_row(node: NodeStory, end_s: float) -> _Row:
    paints: list[_Paint] = [(node.added_s, _or(node.ended_s, end_s), "░")]
    for attempt in node.attempts:
        mark = "▓" if attempt.failure is None else "▒"
        paints.append((attempt.started_s, _or(attempt.ended_s, end_s), mark))
    return _Row(f"#{node.node} {node.expert}", node.added_s, paints, node.state)


def _bar(paints: Sequence[_Paint], size: int, end_s: float) -> str:
    row = [" "] * size
    scale = size / end_s if end_s > 0 else 0.0
    for started_s, ended_s, mark in paints:
        first = min(size - 1, max(0, int(started_s * scale)))
        last = min(size, max(first + 1, math.ceil(ended_s * scale)))
        row[first:last] = mark * (last - first)
    return "".join(row)


# --- phrases ---------------------------------------------------------------------------------------------------------


def _headline(explanation: Explanation) -> str:
    ending = {
        "running": f"running for {_s(explanation.elapsed_s)}",
        "answered": f"answered in {_s(explanation.elapsed_s)}",
        "gaps": f"answered with gaps in {_s(explanation.elapsed_s)}",
        "failed": f"failed after {_s(explanation.elapsed_s)}",
        "cancelled": f"cancelled after {_s(explanation.elapsed_s)}",
        "interrupted": f"interrupted after {_s(explanation.elapsed_s)}",
    }[explanation.status]
    why = f" ({explanation.reason})" if explanation.reason else ""
    steps = f"{len(explanation.nodes)} step" + ("" if len(explanation.nodes) == 1 else "s")
    at_once = ""
    if explanation.speed_up is not None and len(explanation.nodes) > 1:
        at_once = f", {explanation.speed_up:.2f} at a time on average"
    return f"{ending}{why}, {steps}{at_once}"


def _phases(phases: Phases) -> str:
    return (
        f"planning {_s(phases.planning_s)}, loading {_s(phases.loading_s)}, executing {_s(phases.executing_s)}, "
        f"aggregating {_s(phases.aggregating_s)}"
    )


def _gaps(explanation: Explanation) -> str:
    return f"no answer to {_names(explanation.gaps)}"


def _state(node: NodeStory) -> str:
    if node.state == "skipped":
        return f"skipped, because #{node.because} has no answer"
    if node.started_s is None:
        return node.state
    return f"{node.state}, {_span(node.started_s, node.ended_s)}"


def _took(node: NodeStory) -> str:
    if node.state != "completed" or node.started_s is None or node.ended_s is None:
        return node.state
    return _s(node.ended_s - node.started_s) + (" (cut off)" if node.caveat else "")


def _why(node: NodeStory) -> str:
    assignment = node.assignment
    if assignment.mode == "given":
        return assignment.reason
    chosen = assignment.expert if assignment.candidates else ""
    runner_up = next((f"runner-up {name} {score:.2f}" for name, score in assignment.scores if name != chosen), "")
    facts = [
        f"{chosen} {assignment.score:.2f} by {assignment.mode}",
        runner_up,
        f"margin {assignment.margin:.2f}" if runner_up else "",
        "" if assignment.passed else "not trusted",
    ]
    known = ", ".join(fact for fact in facts if fact)
    return f"{assignment.reason} ({known})" if assignment.reason else known


def _attempt(attempt: Attempt) -> str:
    failure = f", failed: {attempt.failure}" if attempt.failure is not None else ""
    when = _span(attempt.started_s, attempt.ended_s)
    return f"{attempt.expert} on {attempt.model} ({attempt.device}), {when}{failure}"


def _wait(wait: Wait) -> str:
    what = {
        "parents": f"for {wait.what}",
        "room": f"until {wait.what} could be loaded",
        "load": f"for the load of {wait.what}",
        "slot": "for a free slot or cores",
        "retry": "before another attempt",
    }[wait.kind]
    return f"{_s(wait.ended_s - wait.started_s)} {what}"


def _places(passages: Sequence[Passage]) -> Iterator[str]:
    """Name what was read by title and document; pieces of one section also by how they begin."""
    names = [f"{each.title} ({each.source})" if each.title else each.source for each in passages]
    for name, passage in zip(names, passages, strict=True):
        yield name if names.count(name) == 1 else f'{name}: "{clip(passage.text, _BEGINNING)}"'


def _tokens(node: NodeStory) -> str:
    if node.answer is None:
        return ""
    facts = [f"{node.answer.prompt_tokens} read", f"{node.answer.completion_tokens} written"]
    if node.tokens_per_s is not None:
        facts.append(f"{node.tokens_per_s:.1f} tokens/s")
    return ", ".join([*facts, f"the first after {_s(node.answer.ttft_s)}"])


def _field(label: str, text: str, width: int) -> list[str]:
    return wrap(text, width, f"     {label:<{_LABEL}}", " " * (5 + _LABEL))


def _packed(title: str, items: Sequence[str], width: int) -> list[str]:
    """Return as many of the items as two lines hold, and how many there are more."""
    for count in range(len(items), 0, -1):
        more = [f"and {len(items) - count} more"] if count < len(items) else []
        lines = wrap("; ".join([*(clip(item, width // 2) for item in items[:count]), *more]), width, title)
        if len(lines) <= 2:
            break
    return lines[:2]


def _names(nodes: Sequence[int]) -> str:
    return ", ".join(f"#{node}" for node in nodes)


def _span(started_s: float, ended_s: float | None) -> str:
    if ended_s is None:
        return f"since {_s(started_s)}"
    return f"{_number(started_s)}-{_s(ended_s)}"


def _s(seconds: float) -> str:
    return f"{_number(seconds)} s"


def _number(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"


def _or(at_s: float | None, end_s: float) -> float:
    return end_s if at_s is None else at_s
