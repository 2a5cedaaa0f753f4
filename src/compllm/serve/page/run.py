"""A run's page: the plan as it grows, its nodes as they change state, and the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from functools import partial

import anyio.to_thread
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from compllm.errors import JournalError
from compllm.serve.live import LiveRun
from compllm.serve.page import live
from compllm.serve.page.door import Visit
from compllm.serve.page.graph import draw
from compllm.serve.page.render import Canvas, protected
from compllm.serve.page.story import RunView, Story, facts, interrupted
from compllm.serve.page.timeline import timeline

Parts = Mapping[str, Markup]


async def show_run(visit: Visit) -> Response:
    """Show a run as it stands; while it goes on, the page follows it."""
    run_id = visit.request.path_params["run"]
    try:
        view = await view_of(visit, run_id)
    except JournalError:
        return visit.problem(404, "There is no such run.")
    parts = _parts(Canvas(visit.templates), view, _footprints_bytes(visit))
    is_live = _live(visit) is not None and not view.is_over
    return visit.page("run", view=view, parts=parts, is_live=is_live)


async def follow_run(visit: Visit) -> Response:
    """Stream the parts of a run's page as they change."""
    run = _live(visit)
    if run is None:
        return visit.problem(404, "There is no such run under way.")
    versions = _versions(run, partial(_parts, Canvas(visit.templates)), partial(_footprints_bytes, visit))
    return live.follow(visit, versions, has_end=True)


async def cancel_run(visit: Visit) -> Response:
    """Stop a run that is under way and lead back to its page."""
    if (run := _live(visit)) is not None and not run.has_ended:
        run.cancel("cancelled on the page")
    return protected(RedirectResponse(f"/runs/{visit.request.path_params['run']}", 303))


async def view_of(visit: Visit, run_id: str) -> RunView:
    """Return a run that the visitor may see, as it stands.

    Raises:
        JournalError: there is no such run.
    """
    events = await visit.service.runs.recorded(run_id, visit.caller)
    view = Story(events).view()
    if view.is_over or visit.service.runs.find(run_id, visit.caller) is not None:
        return view
    row = await anyio.to_thread.run_sync(visit.service.team.journal.run, run_id)
    return interrupted(view) if row.status == "interrupted" else view


async def _versions(
    run: LiveRun, parts: partial[Parts], footprints_bytes: partial[Mapping[str, int]]
) -> AsyncGenerator[Parts, None]:
    story = Story()
    async for events in live.batches(run):
        for stamped in events:
            story.take(stamped)
        yield parts(story.view(), footprints_bytes())


def _parts(canvas: Canvas, view: RunView, footprints_bytes: Mapping[str, int]) -> Parts:
    """Draw what a run's page consists of, by the id of the element."""
    drawn = timeline(view.run, footprints_bytes=footprints_bytes)
    parts = {
        "head": canvas.draw("head", "head", view=view),
        "answer": canvas.draw("answer", "answer", view=view),
        "plan": canvas.draw("plan", "plan", drawing=draw(view.run.nodes), is_over=view.is_over),
        "time": canvas.draw("time", "time", timeline=drawn),
    }
    for node in sorted(view.run.nodes, key=lambda each: each.node):
        place = f"node-{node.node}"
        written = node.answer.text if node.answer else view.written.get(node.node, "")
        parts[place] = canvas.draw(place, "node", node=node, written=written, facts=facts(node))
    return parts


def _live(visit: Visit) -> LiveRun | None:
    return visit.service.runs.find(visit.request.path_params["run"], visit.caller)


def _footprints_bytes(visit: Visit) -> Mapping[str, int]:
    return {each.model: each.footprint_bytes for each in visit.service.team.snapshot().replicas}
