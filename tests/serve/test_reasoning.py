"""What clients are told of a run while they wait."""

from __future__ import annotations

import pytest

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.routing import Assignment, Candidate
from compllm.serve.reasoning import reasoning

HEART = Assignment((Candidate("heart", "one"),), "tag", 0.953, 0.2, passed=True, reason="")
GIVEN = Assignment((Candidate("heart", "one"),), "given", 1.0, 1.0, passed=True, reason="")
UNSURE = Assignment((Candidate("general", "one"),), "tag", 0.2, 0.0, passed=False, reason="")
NOBODY = Assignment((), "tag", 0.0, 0.0, passed=False, reason="")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ev.NodeAdded("r", 1, "What?", (), HEART, tag="heart"), "1. [heart] What? → heart (tag 0.95)"),
        (ev.NodeAdded("r", 2, "What?", (), UNSURE), "2. What? → general (fallback)"),
        (ev.NodeAdded("r", 2, "What?", (), NOBODY), "2. What? → nobody"),
        (ev.NodeRouted("r", 2, "Where is Rome?", GIVEN), "#2 is now: Where is Rome? → heart"),
        (ev.PlanNoted("r", "one step"), "Note: one step"),
        (ev.NodeCompleted("r", 1, SubAnswer("Blood.", "heart", "one")), "#1 heart: Blood."),
        (
            ev.NodeCompleted("r", 1, SubAnswer("Blo", "heart", "one", is_cut=True)),
            "#1 heart: Blo (cut off before its end, as a rule at `max_tokens`: raise it for the expert heart)",
        ),
        (ev.NodeFailed("r", 1, "too late"), "#1 failed: too late"),
        (ev.NodeGivenUp("r", 1, "too late"), "#1 has no answer: too late"),
        (ev.NodeSkipped("r", 2, 1), "#2 is skipped: it needs #1"),
        (ev.AggregationStarted("r", "joined"), "Joining the answers (joined)"),
        (ev.ModelLoading("one", "cpu"), "Loading one on cpu"),
        (ev.ModelLoaded("one", "cpu", 5, 1.25), "Loaded one in 1.2 s"),
        (ev.ModelLoadFailed("one", "cpu", "no room"), "one: no room"),
        (ev.ModelCrashed("one", "cpu", "killed"), "one: killed"),
    ],
)
def test_an_event_is_told_in_a_line(event: ev.Event, line: str) -> None:
    assert reasoning(event) == f"{line}\n"


@pytest.mark.parametrize(
    "event", [ev.NodeDelta("r", 1, "a"), ev.AnswerDelta("r", "a"), ev.PlanClosed("r"), ev.RunCompleted("r", "a")]
)
def test_other_events_are_no_part_of_the_reasoning(event: ev.Event) -> None:
    assert reasoning(event) == ""
