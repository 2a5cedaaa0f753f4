"""Runs whose process has died: wherever that was, they go on, and nothing that was answered is asked again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from compllm.core import events as ev
from compllm.errors import JournalError, QueueFullError, RoutingError, RunError
from compllm.experts.fake import FakeExpert
from compllm.explain import explain
from compllm.journal import Journal
from compllm.pipeline import Team
from compllm.planner.language import parse_plan
from tests.clinic import CLINIC
from tests.test_pipeline import team_of
from tests.wiring import questions

pytestmark = pytest.mark.anyio

PLAN = parse_plan(
    "1. [heart] who?\n2. [glands] when was #1 born in C\\#1?\n3. [heart] where? (after #2)\n4. [glands] why?"
)


class Clinic:
    """A team of two fakes that answer in capitals, in a folder with a journal of its own."""

    def __init__(self, folder: Path, text: str = CLINIC) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self._text = folder, text
        self.one, self.two = FakeExpert(str.upper), FakeExpert(str.upper)

    def team(self) -> Team:
        return team_of(self.folder, self._text, one=self.one, two=self.two)

    @property
    def asked(self) -> list[str]:
        return questions(self.one) + questions(self.two)

    async def whole(self, **how: Any) -> list[ev.Stamped]:
        """Return what the journal holds of a run that nothing interrupted."""
        async with self.team() as team:
            answer = await team.answer(team.start("All of it?", user="ann", priority=2, **how))
            return team.journal.events(answer.run)

    def die_after(self, events: Sequence[ev.Stamped]) -> str:
        """Leave a journal as a process leaves it that dies after these events; return the run's id."""
        run = str(getattr(events[0].event, "run", ""))
        path = self.folder / "data" / "runs.sqlite3"
        with Journal(path) as journal:
            for stamped in events:
                journal.record(run, stamped)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE runs SET pid_started_s = 0 WHERE status = 'running'")
        return run


def place_of(kind: type[ev.Event], events: Sequence[ev.Stamped]) -> int:
    return next(n for n, stamped in enumerate(events) if isinstance(stamped.event, kind))


def answered(events: Sequence[ev.Stamped]) -> set[int]:
    return {stamped.event.node for stamped in events if isinstance(stamped.event, ev.NodeCompleted)}


async def test_wherever_a_process_dies_its_run_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    first = Clinic(tmp_path / "first")
    events = await first.whole(plan=PLAN)
    done, story = events[-1].event, explain(events)
    assert isinstance(done, ev.RunCompleted)
    assert len(first.asked) == 4
    for cut in range(place_of(ev.PlanClosed, events) + 1, len(events)):
        clinic = Clinic(tmp_path / str(cut))
        run = clinic.die_after(events[:cut])
        async with clinic.team() as team:
            answer = await team.answer(await team.resume(run[:-2]))
            recorded, row = team.journal.events(run), team.journal.run(run)
        assert (answer.run, answer.text, answer.gaps) == (run, done.answer, ())
        assert len(clinic.asked) == 4 - len(answered(events[:cut]))
        assert set(clinic.asked) <= set(first.asked)
        assert (row.status, row.user, row.planner, row.answer) == ("answered", "ann", "given", done.answer)
        assert recorded[:cut] == events[:cut]
        assert [each.at_s for each in recorded] == sorted(each.at_s for each in recorded)
        assert answer.explanation == explain(recorded)
        assert [
            (node.question, node.parents, node.state, node.answer and node.answer.text) for node in story.nodes
        ] == [
            (node.question, node.parents, node.state, node.answer and node.answer.text)
            for node in answer.explanation.nodes
        ]


async def test_a_plan_that_was_not_complete_is_written_again(tmp_path: Path) -> None:
    events = await Clinic(tmp_path / "first").whole()
    other = ev.NodeAdded("", 1, "who?", (), events[place_of(ev.NodeAdded, events)].event.assignment)  # type: ignore[union-attr]
    run = str(getattr(events[0].event, "run", ""))
    half = [*events[: place_of(ev.NodeAdded, events)], ev.Stamped(events[-1].at_s, replace(other, run=run))]
    clinic = Clinic(tmp_path / "again")
    clinic.die_after(half)
    async with clinic.team() as team:
        answer = await team.answer(await team.resume(run))
        recorded = team.journal.events(run)
    assert (answer.text, clinic.asked) == ("ALL OF IT?", ["All of it?"])
    assert [node.text for node in answer.explanation.nodes] == ["All of it?"]
    assert answer.explanation == explain(recorded)


async def test_a_run_may_be_interrupted_again(tmp_path: Path) -> None:
    first, again = Clinic(tmp_path / "first"), Clinic(tmp_path / "again")
    events = await first.whole(plan=PLAN)
    run = again.die_after(events[: place_of(ev.PlanClosed, events) + 1])
    again.two.hang = True
    async with again.team() as team, aclosing((await team.resume(run)).follow()) as stream:
        async for stamped in stream:
            if isinstance(stamped.event, ev.NodeCompleted):
                break
    with Journal(again.folder / "data" / "runs.sqlite3") as journal:
        assert len(answered(journal.events(run))) == 1
    again.die_after([ev.Stamped(9.0, ev.PlanNoted(run, "the machine goes down"))])
    again.two.hang = False
    again.one.calls.clear()
    async with again.team() as team:
        answer = await team.answer(await team.resume(run))
    assert answer.text == getattr(events[-1].event, "answer", "")
    assert "who?" not in again.asked


async def test_an_expert_that_was_asked_by_name_is_asked_again(tmp_path: Path) -> None:
    events = await Clinic(tmp_path / "first").whole(expert="glands", instructions="Be #1.")
    again = Clinic(tmp_path / "again")
    run = again.die_after(events[: place_of(ev.NodeCompleted, events)])
    async with again.team() as team:
        assert (await team.answer(await team.resume(run))).text == "BE #1.\n\nALL OF IT?"
    assert (questions(again.one), questions(again.two)) == ([], ["Be #1.\n\nAll of it?"])
    gone = Clinic(tmp_path / "gone", CLINIC.replace("glands:", "brains:"))
    gone.die_after(events[: place_of(ev.NodeCompleted, events)])
    async with gone.team() as team:
        with pytest.raises(RoutingError, match="no expert 'glands'; it has heart, brains, general"):
            await team.resume(run)


async def test_what_cannot_be_resumed_is_said(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    run = str(getattr((await clinic.whole())[0].event, "run", ""))
    clinic.die_after([ev.Stamped(0.0, ev.RunStarted("other", "?", "pets", "rules"))])
    async with clinic.team() as team:
        for name, kind, words in (
            (run, RunError, "only a run whose process has died can be resumed; this one is answered"),
            ("other", RunError, "the run was asked of the team pets; this is clinic"),
            ("x", JournalError, "has no run 'x'"),
        ):
            with pytest.raises(kind, match=words):
                await team.resume(name)
        clinic.one.hang = clinic.two.hang = True
        going_on = team.start("What?")
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RunError, match="this one is running"):
            await team.resume(going_on.id)
        going_on.cancel("enough")
        assert [each async for each in going_on.follow()]


async def test_a_run_that_finds_no_room_can_be_resumed_later(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path, f"{CLINIC}limits: {{runs: 1}}\n")
    run = clinic.die_after([ev.Stamped(0.0, ev.RunStarted("old", "Who?", "clinic", "rules"))])
    async with clinic.team() as team:
        clinic.one.hang = clinic.two.hang = True
        other = team.start("What?")
        with pytest.raises(QueueFullError):
            await team.resume(run)
        other.cancel("to make room")
        assert [each async for each in other.follow()]
        clinic.one.hang = clinic.two.hang = False
        assert (await team.answer(await team.resume(run))).text == "WHO?"
