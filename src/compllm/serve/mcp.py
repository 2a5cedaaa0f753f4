"""The team as tools of the Model Context Protocol: `ask`, `plan` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

import anyio.to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from compllm import __version__
from compllm.codec import decode, encode
from compllm.core import events as ev
from compllm.errors import CompLLMError, RunError
from compllm.explain import explain, render_summary, render_text
from compllm.pipeline import Team
from compllm.planner.language import format_step, parse_plan

_ABOUT = """\
A team of small language models, each an expert in some field. `ask` plans a question as sub-questions, has each
answered by the expert that fits, and joins the answers; `plan` shows the plan alone, to be edited and given to `ask`;
`explain` tells who answered what in a run, why that expert, and what it read."""


class Answered(BaseModel):
    """An answer and how it came about."""

    answer: str = Field(description="The answer, with the numbers of the steps that it rests on.")
    gaps: list[int] = Field(description="Steps that have no answer.")
    run: str = Field(description="What `explain` takes.")
    summary: str = Field(description="Who answered, and where the time went.")


class PlannedStep(BaseModel):
    """A step of a plan and who would answer it."""

    step: int
    question: str
    expert: str
    reason: str = Field(description="Why this expert.")


class Planned(BaseModel):
    """A plan that has not run."""

    plan: str = Field(description="The plan in the plan language, a step a line.")
    steps: list[PlannedStep]
    notes: list[str]


def make_mcp(team: Team) -> MCPServer:
    """Return an MCP server for an open team; its `run_stdio_async` serves the process that started this one."""
    title = f"Comp-LLM: {team.file.config.name}"
    server: MCPServer = MCPServer("compllm", title, None, _ABOUT, version=__version__, log_level="WARNING")
    tools = _Tools(team)
    for tool in (tools.ask, tools.plan, tools.explain):
        server.add_tool(tool)
    return server


class _Tools:
    """The tools; their docstrings are what a model reads of them."""

    def __init__(self, team: Team) -> None:
        self._team = team

    async def ask(self, question: str, context: Context, plan: str | None = None) -> Answered:
        """Answer a question by a team of experts.

        With a `plan` (lines like `1. [field] question`, where `#1` stands for the answer of step 1), exactly its steps
        are answered; without one, the team makes its own.
        """
        with _told():
            run = self._team.start(question, plan=parse_plan(plan) if plan else None)
            events, progress = [], _Progress()
            async with aclosing(self._team.follow(run)) as stream:
                async for made in stream:
                    stamped = decode(encode(made))  # what models write need not be text that JSON can hold
                    events.append(stamped)
                    if news := progress.take(stamped.event):
                        await context.report_progress(progress.ended, progress.nodes, news)
            match events[-1].event:
                case ev.RunCompleted(_, answer, gaps):
                    return Answered(answer=answer, gaps=list(gaps), run=run.id, summary=render_summary(explain(events)))
                case ev.RunFailed(_, reason):
                    raise RunError(f"no answer: {reason}", run=run.id)
        raise ToolError("the run was interrupted")

    async def plan(self, question: str) -> Planned:
        """Show how the team would split a question, and who would answer each step; nothing is answered."""
        with _told():
            made, assignments, notes = await self._team.plan(question)
        steps = [
            PlannedStep(
                step=step.id,
                question=step.display,
                expert=assignments[step.id].expert,
                reason=assignments[step.id].reason,
            )
            for step in made.steps
        ]
        return Planned(plan="\n".join(map(format_step, made.steps)), steps=steps, notes=notes)

    async def explain(self, run: str) -> str:
        """Tell the story of a run: who answered what, why that expert, what waited for what, and what was read."""
        with _told():
            row = await anyio.to_thread.run_sync(self._team.journal.run, run)
            events = await anyio.to_thread.run_sync(self._team.journal.events, row.id)
        return render_text(explain(events, interrupted=row.status == "interrupted"))


@dataclass(slots=True)
class _Progress:
    """How far a run is, in nodes."""

    nodes: int = 0
    ended: int = 0
    _questions: dict[int, str] = field(default_factory=dict)

    def take(self, event: ev.Event) -> str:
        """Take an event in and return the news that it is, if any."""
        match event:
            case ev.NodeAdded(_, node, text):
                self.nodes += 1
                self._questions[node] = text
            case ev.NodeRouted(_, node, question):
                self._questions[node] = question
            case ev.NodeStarted(_, node, expert):
                return f"{expert} is asked: {self._questions[node]}"
            case ev.NodeCompleted(_, node, answer):
                self.ended += 1
                return f"{answer.expert} answered step {node}"
            case ev.NodeGivenUp(_, node) | ev.NodeSkipped(_, node):
                self.ended += 1
                return f"step {node} has no answer"
        return ""


@contextmanager
def _told() -> Iterator[None]:
    """Tell the model of an error that it, or its user, can do something about."""
    try:
        yield
    except CompLLMError as error:
        raise ToolError(str(error)) from error
