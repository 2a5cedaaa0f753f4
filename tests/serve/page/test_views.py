"""What the page draws, from events alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.config import TeamConfig
from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.inspection import ReplicaSnapshot
from compllm.core.routing import Assignment, Candidate
from compllm.explain import explain
from compllm.serve.page.ask import examples
from compllm.serve.page.citations import Piece, cite
from compllm.serve.page.compare import compare
from compllm.serve.page.door import _local
from compllm.serve.page.experts import expert_views
from compllm.serve.page.history import _number
from compllm.serve.page.sessions import Sessions
from compllm.serve.page.story import Story, facts, interrupted
from compllm.serve.page.timeline import timeline

RUN = "r1"


def _by(expert: str, model: str) -> Assignment:
    return Assignment((Candidate(expert, model),), "tag", 0.9, 0.4, passed=True, reason="fits")


def _stamp(*happened: tuple[float, ev.Event]) -> list[ev.Stamped]:
    return [ev.Stamped(at_s, event) for at_s, event in happened]


def _story() -> list[ev.Stamped]:
    """Return two nodes on one device: the model of the second takes the place of the first's, which was warm."""
    return _stamp(
        (0.0, ev.RunStarted(RUN, "Both?", "team", "rules")),
        (0.1, ev.NodeAdded(RUN, 1, "First?", (), _by("heart", "small"))),
        (0.1, ev.NodeAdded(RUN, 2, "Then #1?", (1,), _by("glands", "large"), final=False)),
        (0.2, ev.PlanClosed(RUN)),
        (0.2, ev.NodeStarted(RUN, 1, "heart", "small", "cpu", 1)),
        (1.0, ev.NodeCompleted(RUN, 1, SubAnswer("Beats.", "heart", "small", (), 9, 3, 0.1, 0.8))),
        (1.1, ev.ModelEvicted("small", "cpu")),
        (1.1, ev.ModelLoading("large", "cpu")),
        (2.0, ev.ModelLoaded("large", "cpu", 300, 0.9)),
        (2.0, ev.NodeStarted(RUN, 2, "glands", "large", "cpu", 1)),
        (4.0, ev.NodeCompleted(RUN, 2, SubAnswer("Insulin.", "glands", "large", (), 9, 3, 0.1, 2.0))),
        (4.0, ev.AggregationStarted(RUN, "joined")),
        (5.0, ev.RunCompleted(RUN, "Beats. [1] Insulin. [2]", (), 18, 6)),
    )


# --- the story so far ------------------------------------------------------------------------------------------------


def test_what_a_node_writes_is_shown_until_its_answer_is_there() -> None:
    story = Story(_story()[:5])
    story.take(ev.Stamped(0.4, ev.NodeDelta(RUN, 1, "Be")))
    story.take(ev.Stamped(0.6, ev.NodeDelta(RUN, 1, "ats")))
    view = story.view()
    assert view.written == {1: "Beats"}
    assert (view.run.nodes[0].state, view.run.elapsed_s, view.is_over) == ("running", 0.6, False)


def test_another_attempt_begins_its_text_anew() -> None:
    story = Story(_story()[:5])
    story.take(ev.Stamped(0.4, ev.NodeDelta(RUN, 1, "Nonsense")))
    story.take(ev.Stamped(0.5, ev.NodeFailed(RUN, 1, "cut off", retryable=True)))
    story.take(ev.Stamped(0.6, ev.NodeStarted(RUN, 1, "heart", "small", "cpu", 2)))
    story.take(ev.Stamped(0.7, ev.NodeDelta(RUN, 1, "Beats")))
    assert story.view().written == {1: "Beats"}


def test_the_answer_grows_and_ends_as_it_was_recorded() -> None:
    *before, last = _story()
    story = Story(before)
    story.take(ev.Stamped(4.5, ev.AnswerDelta(RUN, " Beats.")))
    assert story.view().answer == " Beats."
    story.take(last)
    assert story.view().answer == "Beats. [1] Insulin. [2]"
    assert story.view().is_over


@given(st.integers(0, 13))
def test_a_view_says_the_same_as_the_explanation_of_the_events(size: int) -> None:
    assert Story(_story()[:size]).view().run == explain(_story()[:size])


def test_a_run_of_a_program_that_is_gone_does_not_look_as_if_it_went_on() -> None:
    view = interrupted(Story(_story()[:5]).view())
    assert view.is_over
    assert [node.state for node in view.run.nodes] == ["cancelled", "cancelled"]
    assert view.run.reason


def test_the_facts_of_a_node_leave_out_what_did_not_happen() -> None:
    first, second = explain(_story()).nodes
    assert {fact.label for fact in facts(first)} == {"Model", "Waited", "Ran", "Tokens"}
    known = {fact.label: fact.text for fact in facts(second)}
    assert known["Needs"] == "#1"
    assert "for the load of large" in known["Waited"]
    assert known["Tokens"].startswith("9 read, 3 written, 1.5 per second")


def test_an_answer_that_was_cut_off_has_a_note() -> None:
    cut = SubAnswer("Bea", "heart", "small", is_cut=True)
    (node, _) = explain([*_story()[:5], ev.Stamped(1.0, ev.NodeCompleted(RUN, 1, cut))]).nodes
    assert {fact.label: fact.text for fact in facts(node)}["Note"] == cut.caveat


# --- time and memory -------------------------------------------------------------------------------------------------


def test_bars_stand_where_things_happened() -> None:
    rows = {row.label: row for row in timeline(explain(_story())).rows}
    assert list(rows) == ["plan", "#1 heart", "#2 glands", "load large", "join"]
    waiting, running = rows["#2 glands"].bars
    assert (waiting.kind, waiting.start, waiting.width) == ("waiting", 2.0, 78.0)
    assert (running.kind, running.start, running.width) == ("running", 40.0, 40.0)
    assert (rows["#2 glands"].node, rows["plan"].node) == (2, None)
    assert timeline(explain(_story())).critical == (1, 2)


def test_a_common_scale_makes_two_runs_comparable() -> None:
    bars = timeline(explain(_story()), until_s=10.0).rows[2].bars
    assert (bars[1].start, bars[1].width) == (20.0, 20.0)


def test_memory_falls_with_an_eviction_and_counts_a_load_from_its_beginning() -> None:
    (memory,) = timeline(explain(_story()), footprints_bytes={"small": 100}).memory
    assert (memory.device, memory.peak_bytes) == ("cpu", 300)
    third = round(100 / 3, 2)
    assert memory.points == ((0.0, third), (22.0, third), (22.0, 0.0), (22.0, 0.0), (22.0, 100.0), (100.0, 100.0))
    assert memory.notes == ("small had been loaded before",)


def test_what_is_not_known_of_the_memory_is_said() -> None:
    (memory,) = timeline(explain(_story())).memory
    assert memory.notes == ("small had been loaded before", "the size of small is not known")


def test_endpoints_take_no_memory_here() -> None:
    happened = _stamp(
        (0.0, ev.NodeAdded(RUN, 1, "First?", (), _by("heart", "far"))),
        (0.1, ev.NodeStarted(RUN, 1, "heart", "far", "remote", 1)),
    )
    assert timeline(explain(happened)).memory == ()


@given(st.integers(0, 13))
def test_nothing_is_drawn_outside_the_timeline(size: int) -> None:
    drawn = timeline(explain(_story()[:size]))
    for bar in (bar for row in drawn.rows for bar in row.bars):
        assert 0 <= bar.start <= 100
        assert bar.start + bar.width <= 100.4
    for x, y in (point for memory in drawn.memory for point in memory.points):
        assert 0 <= x <= 100
        assert 0 <= y <= 100


# --- answers ---------------------------------------------------------------------------------------------------------


def test_citations_lead_to_the_nodes_that_there_are() -> None:
    pieces = cite("Beats [1], see [3] and [1, 2].", {1, 2})
    assert [piece.node for piece in pieces if piece.node] == [1, 1, 2]
    assert pieces[:3] == [Piece("Beats "), Piece("["), Piece("1", 1)]
    assert Piece(", see [3] and ") in pieces


@given(st.text("a[]12, \n", max_size=40))
def test_citing_loses_no_character(text: str) -> None:
    assert "".join(piece.text for piece in cite(text, {1, 2, 12})) == text


def test_two_runs_are_compared_fact_by_fact_and_node_by_node() -> None:
    lines = {line.label: line for line in compare(explain(_story()), explain(_story()[:6]))}
    assert (lines["Result"].left, lines["Result"].right) == ("answered", "running")
    assert lines["Result"].differs
    assert not lines["#1"].differs
    assert lines["#1"].left == "heart, completed in 0.80 s: First?"
    assert lines["#2"].right == "glands, waiting: Then #1?"


def test_a_step_that_only_one_of_the_runs_has_is_shown_too() -> None:
    lines = {line.label: line for line in compare(explain(_story()[:2]), explain(_story()))}
    assert lines["#2"].left == ""
    assert lines["#2"].differs


# --- what is around --------------------------------------------------------------------------------------------------


def test_examples_are_those_of_the_experts_and_one_that_asks_two() -> None:
    model = {"backend": "endpoint", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    experts = {name: {"model": "m", "examples": [f"What is {name}?"]} for name in "abcd"} | {"e": {"model": "m"}}
    config = TeamConfig.model_validate({"models": {"m": model}, "experts": experts})
    assert examples(config) == ["What is a?", "What is b?", "What is c?", "What is c? What is d?"]
    assert examples(config.model_copy(update={"experts": {"e": config.experts["e"]}})) == []


def test_an_expert_shows_the_state_of_its_model() -> None:
    models = {
        "here": {"backend": "embedded"},
        "cold": {"backend": "embedded"},
        "far": {"backend": "endpoint", "base_url": "http://127.0.0.1:9/v1", "model": "m"},
    }
    config = TeamConfig.model_validate({"models": models, "experts": {name: {"model": name} for name in models}})
    replicas = [
        ReplicaSnapshot("here", "cpu", "loading", 9, 1, 0),
        ReplicaSnapshot("far", "remote", "resident", 0, 1, 0),
    ]
    assert {view.name: view.state for view in expert_views(config, replicas)} == {
        "here": "loading",
        "cold": "not loaded",
        "far": "remote",
    }


def test_a_session_ends_when_it_is_closed_or_unused() -> None:
    now_s = 0.0
    sessions = Sessions(lambda: now_s)
    token, other = sessions.open("secret"), sessions.open("secret")
    assert token != other
    now_s = 11 * 3600.0
    assert sessions.key(token) == "secret"
    now_s = 13 * 3600.0
    assert (sessions.key(token), sessions.key(other)) == ("secret", "")
    sessions.close(token)
    assert (sessions.key(token), sessions.key("unknown")) == ("", "")


def test_there_is_no_end_of_sessions_but_of_the_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compllm.serve.page.sessions._MOST", 2)
    sessions = Sessions()
    tokens = [sessions.open(str(number)) for number in range(3)]
    assert [sessions.key(token) for token in tokens] == ["", "1", "2"]


@pytest.mark.parametrize(
    ("target", "led_to"),
    [
        ("/runs/1", "/runs/1"),
        ("//evil.example/x", "/"),
        ("/\\evil.example", "/"),
        ("////evil.example/x", "/evil.example/x"),
        ("////////evil.example/x", "/evil.example/x"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_nowhere_else(target: str, led_to: str) -> None:
    assert _local(target) == led_to


@pytest.mark.parametrize(("text", "number"), [("", 50), ("7", 7), ("0", 1), ("-3", 50), ("9" * 30, 50), ("9999", 5000)])
def test_only_sensible_numbers_of_runs_are_listed(text: str, number: int) -> None:
    assert _number(text) == number
