"""Two runs side by side: what became of them, who answered what, and on one scale when."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from compllm.errors import JournalError
from compllm.explain import Explanation, NodeStory
from compllm.serve.page import words
from compllm.serve.page.door import Visit
from compllm.serve.page.run import view_of
from compllm.serve.page.timeline import timeline


@dataclass(frozen=True, slots=True)
class Line:
    """A fact of both runs."""

    label: str
    left: str
    right: str

    @property
    def differs(self) -> bool:
        """Whether the runs differ in it."""
        return self.left != self.right


def compare(left: Explanation, right: Explanation) -> list[Line]:
    """Return the facts of both runs, then those of their nodes by number."""
    lines = [Line(label, a, b) for (label, a), (_, b) in zip(_facts(left), _facts(right), strict=True)]
    nodes = [{node.node: node for node in run.nodes} for run in (left, right)]
    numbers = sorted(nodes[0].keys() | nodes[1].keys())
    return lines + [Line(f"#{number}", *(_node(each.get(number)) for each in nodes)) for number in numbers]


async def show_compare(visit: Visit) -> Response:
    """Show the two runs that are named."""
    chosen = visit.request.query_params.getlist("run")
    if len(chosen) != 2:
        return visit.problem(400, "Choose two runs in the history to compare them.")
    try:
        views = [await view_of(visit, run_id) for run_id in chosen]
    except JournalError:
        return visit.problem(404, "One of these runs does not exist.")
    left, right = (view.run for view in views)
    until_s = max(left.elapsed_s, right.elapsed_s)
    timelines = [timeline(run, until_s=until_s) for run in (left, right)]
    return visit.page("compare", views=views, lines=compare(left, right), timelines=timelines)


def _facts(run: Explanation) -> list[tuple[str, str]]:
    phases = run.phases
    return [
        ("Result", words.status(run.status)),
        ("Time", words.seconds(run.elapsed_s)),
        ("Planner", run.planner),
        ("Aggregator", run.aggregator or ""),
        ("Planning", words.seconds(phases.planning_s)),
        ("Loading", words.seconds(phases.loading_s)),
        ("Executing", words.seconds(phases.executing_s)),
        ("Aggregating", words.seconds(phases.aggregating_s)),
        ("At a time", f"{run.speed_up:.2f} on average" if run.speed_up is not None else ""),
        ("Tokens", f"{run.prompt_tokens} read, {run.completion_tokens} written"),
        ("Gaps", words.nodes(run.gaps)),
    ]


def _node(node: NodeStory | None) -> str:
    if node is None:
        return ""
    took = ""
    if node.started_s is not None and node.ended_s is not None:
        took = f" in {words.seconds(node.ended_s - node.started_s)}"
    return f"{node.expert or 'nobody'}, {node.state}{took}: {node.question}"
