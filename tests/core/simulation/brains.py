"""Brains that are simple enough to say in advance what they will do, and one that is watched."""

from __future__ import annotations

from collections.abc import Sequence

from compllm.core import events as ev
from compllm.core.scheduler import Scheduler


class Greedy:
    """Starts every node at once; for hosted models with slots enough and plans of one node."""

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        return [command for event in events if (command := self._follows(event)) is not None]

    def _follows(self, event: ev.SchedulerEvent) -> ev.Command | None:
        match event:
            case ev.NodeAdded(run, node, _, _, assignment):
                first = assignment.candidates[0]
                return ev.RunNode(run, node, first.expert, first.model, "remote", 1)
            case ev.NodeCompleted(run):
                return ev.FinishRun(run)
        return None


class Script:
    """Says its lines at the first event, and nothing afterwards."""

    def __init__(self, *commands: ev.Command) -> None:
        self._commands = list(commands)

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        commands, self._commands = self._commands, []
        return commands


class Watched:
    """A scheduler that is checked after every event; `held` notes the bytes on each device by its own books."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.held: list[tuple[float, dict[str, int]]] = []
        self._scheduler = scheduler

    def handle_all(self, events: Sequence[ev.SchedulerEvent], now_s: float) -> list[ev.Command]:
        commands = self._scheduler.handle_all(events, now_s)
        self._scheduler.check()
        ledger = self._scheduler.ledger
        self.held.append((now_s, {name: sum(replica.bytes for replica in ledger.on(name)) for name in ledger.devices}))
        return commands
