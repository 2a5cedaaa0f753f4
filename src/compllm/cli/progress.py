"""Shows a run while it happens: lines on standard error, in colour on a terminal and plain in a pipe."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from compllm.core import events as ev
from compllm.core.routing import Assignment
from compllm.explain import clean

_PREVIEW = 100


class Progress:
    """Prints what matters of each event; on a terminal a last line says what is going on right now."""

    def __init__(self, *, silent: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=silent)
        lively = self._console.is_terminal and not silent
        self._status: Status | None = self._console.status("planning") if lively else None
        self._running: dict[int, str] = {}
        self._loading: set[str] = set()
        self._answering = False

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, stamped: ev.Stamped) -> None:
        """Take note of an event and print what a reader should see of it."""
        line = self._line(stamped.event)
        if line:
            self._console.print(f"[dim]{stamped.at_s:7.2f} s[/dim]  {line}")
        if self._status and not self._answering:
            self._status.update(self._now())

    def _line(self, event: ev.Event) -> str:
        match event:
            case ev.RunStarted(_, _, team, planner):
                self._running.clear()  # of a process that has died
                return f"[bold]team {escape(team)}[/bold], planner: {escape(planner)}"
            case ev.PlanNoted(_, note):
                return f"[yellow]note: {_plain(note)}[/yellow]"
            case ev.NodeAdded():
                return _added(event)
            case ev.NodeRouted(_, node, question, assignment):
                return f"#{node} is now: {_plain(question)} {_who(assignment)}"
            case ev.RunFailed(_, reason):
                return f"[red]failed: {_plain(reason)}[/red]"
            case _:
                return self._about_model(event) or self._about_node(event)

    def _about_model(self, event: ev.Event) -> str:
        match event:
            case ev.ModelLoading(model, device):
                self._loading.add(model)
                return f"loading {escape(model)} on {escape(device)}"
            case ev.ModelLoaded(model, _, footprint_bytes, load_s):
                self._loading.discard(model)
                return f"loaded {escape(model)}: {footprint_bytes / 2**20:,.0f} MiB in {load_s:.2f} s"
            case ev.ModelEvicted(model, device):
                return f"evicted {escape(model)} from {escape(device)}"
            case ev.ModelLoadFailed(model, _, reason) | ev.ModelCrashed(model, _, reason):
                self._loading.discard(model)
                return f"[red]{escape(model)}: {_plain(reason)}[/red]"
        return ""

    def _about_node(self, event: ev.Event) -> str:
        match event:
            case ev.NodeStarted(_, node, expert):
                beside = ", ".join(f"#{n}" for n in sorted(self._running))
                self._running[node] = expert
                return f"#{node} started with {escape(expert)}" + (f", at the same time as {beside}" if beside else "")
            case ev.NodeCompleted(_, node, answer):
                self._running.pop(node, None)
                preview = " ".join(answer.text.split())
                preview = preview if len(preview) <= _PREVIEW else f"{preview[: _PREVIEW - 1]}…"
                caveat = f" [yellow]({_plain(answer.caveat)})[/yellow]" if answer.caveat else ""
                return f"[green]#{node} answered in {answer.elapsed_s:.2f} s:[/green] {_plain(preview)}{caveat}"
            case ev.NodeFailed(_, node, reason):
                self._running.pop(node, None)
                return f"[red]#{node} failed: {_plain(reason)}[/red]"
            case ev.NodeGivenUp(_, node, reason):
                return f"[red]#{node} has no answer: {_plain(reason)}[/red]"
            case ev.NodeSkipped(_, node, because):
                return f"[yellow]#{node} skipped: it needs #{because}[/yellow]"
            case ev.AggregationStarted(_, aggregator):
                return f"aggregator: {escape(aggregator)}"
        return ""

    def write(self, text: str) -> None:
        """Write a piece of the answer on standard output."""
        if not self._answering:
            self._answering = True
            if self._status:
                self._status.stop()
            self._console.print()
        sys.stdout.write(clean(text))
        sys.stdout.flush()

    def _now(self) -> str:
        if self._running:
            return "running " + ", ".join(f"#{n} {escape(expert)}" for n, expert in sorted(self._running.items()))
        return f"loading {', '.join(sorted(self._loading))}" if self._loading else "planning"


def _added(event: ev.NodeAdded) -> str:
    needs = f" [dim](needs {', '.join(f'#{p}' for p in event.parents)})[/dim]" if event.parents else ""
    tag = f"{escape(f'[{event.tag}]')} " if event.tag else ""
    return f"[bold]{event.node}. {tag}{_plain(event.text)}[/bold]{needs} {_who(event.assignment)}"


def _who(assignment: Assignment) -> str:
    if not assignment.candidates:
        return "→ [red]nobody[/red]"
    others = [f"{escape(name)} {score:.2f}" for name, score in assignment.scores if name != assignment.expert]
    found = (
        f"{assignment.mode} {assignment.score:.2f}, next" if assignment.passed else f"fallback; best {assignment.mode}"
    )
    return (
        f"→ [cyan]{escape(assignment.expert)}[/cyan] ({' '.join([found, *others[:1]]) if others else assignment.mode})"
    )


def _plain(text: str) -> str:
    return escape(clean(text))
