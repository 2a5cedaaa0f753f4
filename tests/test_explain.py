"""The story of a run, from hand-written events."""

import itertools
import unicodedata
from dataclasses import astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from compllm.core.answers import Passage, SubAnswer
from compllm.core.events import (
    AggregationStarted,
    Event,
    ModelCrashed,
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    ModelLoading,
    NodeAdded,
    NodeCancelled,
    NodeCompleted,
    NodeDelta,
    NodeFailed,
    NodeGivenUp,
    NodeRouted,
    NodeSkipped,
    NodeStarted,
    PlanClosed,
    PlanNoted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    Stamped,
    Woken,
)
from compllm.core.routing import Assignment, Candidate
from compllm.explain import (
    CriticalStep,
    Explanation,
    NodeStory,
    Together,
    Wait,
    explain,
    render_summary,
    render_text,
)
from compllm.explain.lines import cells, clean, clip, wrap

R = "r1"


def at(*pairs: tuple[float, Event]) -> list[Stamped]:
    return [Stamped(at_s, event) for at_s, event in pairs]


def given_to(expert: str, model: str = "m") -> Assignment:
    scores = ((expert, 0.82), ("other", 0.71))
    return Assignment((Candidate(expert, model),), "question", 0.82, 0.11, passed=True, reason="best", scores=scores)


def added(node: int, expert: str, *parents: int, model: str = "m", tag: str | None = None) -> NodeAdded:
    text = f"Question {node}" + "".join(f" of #{parent}" for parent in parents)
    return NodeAdded(R, node, text, parents, given_to(expert, model), final=not parents, tag=tag)


def sent(node: int, expert: str, attempt: int = 1, model: str = "m", device: str = "cpu") -> NodeStarted:
    return NodeStarted(R, node, expert, model, device, attempt)


def done(node: int, expert: str, text: str = "Yes.", attempt: int = 1, model: str = "m") -> NodeCompleted:
    passages = (Passage("doc.md", "A title", "a text", 0.9),)
    return NodeCompleted(R, node, SubAnswer(text, expert, model, passages, 50, 20, 0.1, 2.0), attempt)


START = (0.0, RunStarted(R, "Who and where?", "starter", "llm"))


def diamond() -> list[Stamped]:
    return at(
        START,
        (0.1, added(1, "history", tag="history")),
        (0.1, sent(1, "history")),
        (0.2, added(2, "geo", 1)),
        (0.3, added(3, "art", 1)),
        (0.4, added(4, "law", 2, 3)),
        (0.5, PlanClosed(R)),
        (1.1, done(1, "history", "George Eliot")),
        (1.1, NodeRouted(R, 2, "Question 2 of George Eliot", given_to("geo"))),
        (1.1, sent(2, "geo")),
        (1.1, sent(3, "art")),
        (2.1, done(2, "geo")),
        (3.1, done(3, "art")),
        (3.1, sent(4, "law")),
        (4.1, done(4, "law")),
        (4.1, AggregationStarted(R, "llm")),
        (5.0, RunCompleted(R, "The answer.", prompt_tokens=300, completion_tokens=90)),
    )


def chain_with_load_and_evict() -> list[Stamped]:
    return at(
        START,
        (0.1, added(1, "history", model="m1")),
        (0.1, added(2, "geo", 1, model="m2")),
        (0.1, PlanClosed(R)),
        (0.3, ModelLoading("m1", "cpu")),
        (1.0, ModelLoaded("m1", "cpu", 300_000_000, 0.7)),
        (1.2, sent(1, "history", model="m1")),
        (2.0, done(1, "history", model="m1")),
        (2.5, ModelEvicted("m1", "cpu")),
        (2.5, ModelLoading("m2", "cpu")),
        (3.5, ModelLoaded("m2", "cpu", 200_000_000, 1.0)),
        (3.5, sent(2, "geo", model="m2")),
        (4.0, done(2, "geo", model="m2")),
        (4.2, RunCompleted(R, "Done.")),
    )


def failed_with_descendants() -> list[Stamped]:
    return at(
        START,
        (0.1, added(1, "history")),
        (0.1, added(2, "geo", 1)),
        (0.1, added(3, "art", 2)),
        (0.1, added(4, "law")),
        (0.1, PlanClosed(R)),
        (0.1, sent(1, "history")),
        (0.1, sent(4, "law")),
        (0.6, NodeFailed(R, 1, "timeout", retryable=True)),
        (0.8, sent(1, "history", 2)),
        (1.0, NodeFailed(R, 1, "timeout again", attempt=2)),
        (1.0, NodeGivenUp(R, 1, "no expert is left")),
        (1.0, NodeSkipped(R, 2, 1)),
        (1.0, NodeSkipped(R, 3, 2)),
        (1.5, done(4, "law")),
        (1.6, RunCompleted(R, "Part of it.", gaps=(1, 2, 3))),
    )


def failover() -> list[Stamped]:
    return at(
        START,
        (0.1, added(1, "history", model="m1")),
        (0.1, PlanClosed(R)),
        (0.1, sent(1, "history", model="m1")),
        (0.5, ModelCrashed("m1", "cpu", "killed by signal 9")),
        (0.6, ModelLoading("m2", "cpu")),
        (0.9, ModelLoadFailed("m2", "cpu", "out of memory")),
        (1.0, ModelLoading("m2", "cpu")),
        (1.4, ModelLoaded("m2", "cpu", 10, 0.4)),
        (1.4, sent(1, "general", 2, model="m2")),
        (1.5, NodeFailed(R, 1, "late news of the first attempt", attempt=1)),
        (2.0, done(1, "general", attempt=2, model="m2")),
        (2.0, RunCompleted(R, "Yes.")),
    )


def cancelled() -> list[Stamped]:
    return at(
        START,
        (0.1, added(1, "history")),
        (0.1, sent(1, "history")),
        (0.2, added(2, "geo", 1)),
        (0.2, added(3, "art")),
        (0.9, RunCancelled(R, "Ctrl-C")),
        (1.0, NodeCancelled(R, 1)),
    )


def one_step() -> list[Stamped]:
    return at(
        START,
        (0.1, PlanNoted(R, "one step, because the plan was not usable")),
        (0.1, added(1, "history")),
        (0.1, PlanClosed(R)),
        (0.1, sent(1, "history")),
        (1.1, done(1, "history")),
        (1.1, RunCompleted(R, "Yes.")),
    )


STORIES = {
    "diamond": diamond(),
    "chain": chain_with_load_and_evict(),
    "failed": failed_with_descendants(),
    "failover": failover(),
    "cancelled": cancelled(),
    "one step": one_step(),
}


def node(explanation: Explanation, number: int) -> NodeStory:
    return next(each for each in explanation.nodes if each.node == number)


def waited(explanation: Explanation, number: int) -> list[tuple[str, str, float, float]]:
    return [(wait.kind, wait.what, wait.started_s, wait.ended_s) for wait in node(explanation, number).waits]


# --- folding ---------------------------------------------------------------------------------------------------------


def test_a_diamond_runs_its_middle_side_by_side() -> None:
    story = explain(diamond())
    assert (story.run, story.question, story.team, story.planner) == (R, "Who and where?", "starter", "llm")
    assert (story.status, story.answer, story.gaps, story.elapsed_s) == ("answered", "The answer.", (), 5.0)
    assert story.together == (Together((2, 3), 1.1, 2.1),)
    assert [each.alongside for each in story.nodes] == [(), (3,), (2,), ()]
    assert astuple(story.phases) == pytest.approx((0.5, 0.0, 4.0, 0.9))
    assert story.speed_up == pytest.approx(5.0 / 4.0)
    assert (story.aggregator, story.prompt_tokens, story.completion_tokens) == ("llm", 300, 90)


def test_the_critical_path_goes_through_the_later_parent() -> None:
    assert explain(diamond()).critical_path == (
        CriticalStep(1, "start", None, 0.1, 1.1),
        CriticalStep(3, "parents", 1, 1.1, 3.1),
        CriticalStep(4, "parents", 3, 3.1, 4.1),
    )


def test_a_node_knows_its_question_answer_and_cost() -> None:
    second = node(explain(diamond()), 2)
    assert (second.text, second.question) == ("Question 2 of #1", "Question 2 of George Eliot")
    assert (second.expert, second.model, second.device, second.state) == ("geo", "m", "cpu", "completed")
    assert (second.added_s, second.ready_s, second.started_s, second.ended_s) == (0.2, 1.1, 1.1, 2.1)
    assert second.waits == (Wait("parents", "#1", 0.2, 1.1),)
    assert second.answer is not None
    assert second.tokens_per_s == pytest.approx(10.0)
    assert node(explain(diamond()), 4).waits == (Wait("parents", "#2, #3", 0.4, 3.1),)


def test_a_chain_waits_for_room_loads_and_slots() -> None:
    story = explain(chain_with_load_and_evict())
    assert waited(story, 1) == [("room", "m1", 0.1, 0.3), ("load", "m1", 0.3, 1.0), ("slot", "", 1.0, 1.2)]
    assert waited(story, 2) == [("parents", "#1", 0.1, 2.0), ("room", "m2", 2.0, 2.5), ("load", "m2", 2.5, 3.5)]
    assert [(load.model, load.started_s, load.ended_s, load.evicted) for load in story.loads] == [
        ("m1", 0.3, 1.0, ()),
        ("m2", 2.5, 3.5, ("m1",)),
    ]
    assert [(gone.model, gone.at_s, gone.crash) for gone in story.departures] == [("m1", 2.5, None)]
    assert story.phases.loading_s == pytest.approx(1.7)
    assert story.loads[0].footprint_bytes == 300_000_000
    assert story.together == ()


def test_a_failed_node_leaves_gaps_and_skipped_descendants() -> None:
    story = explain(failed_with_descendants())
    assert (story.status, story.gaps) == ("gaps", (1, 2, 3))
    assert [each.state for each in story.nodes] == ["failed", "skipped", "skipped", "completed"]
    first = node(story, 1)
    assert first.reason == "no expert is left"
    assert [(each.number, each.ended_s, each.failure) for each in first.attempts] == [
        (1, 0.6, "timeout"),
        (2, 1.0, "timeout again"),
    ]
    assert waited(story, 1) == [("retry", "", 0.6, 0.8)]
    assert [node(story, number).because for number in (2, 3)] == [1, 2]
    assert node(story, 2).ready_s is None
    assert waited(story, 2) == [("parents", "#1", 0.1, 1.0)]
    assert story.critical_path == (CriticalStep(4, "start", None, 0.1, 1.5),)


def test_a_crash_ends_the_attempt_and_late_news_of_it_is_ignored() -> None:
    story = explain(failover())
    only = node(story, 1)
    assert [(each.expert, each.model, each.started_s, each.ended_s, each.failure) for each in only.attempts] == [
        ("history", "m1", 0.1, 0.5, "killed by signal 9"),
        ("general", "m2", 1.4, 2.0, None),
    ]
    assert (only.expert, only.model, only.state, only.reason) == ("general", "m2", "completed", None)
    assert [kind for kind, *_ in waited(story, 1)] == ["retry", "load", "room", "load"]
    assert [load.failure for load in story.loads] == ["out of memory", None]
    assert story.departures[0].crash == "killed by signal 9"


def test_a_cancelled_run_ends_all_its_nodes() -> None:
    story = explain(cancelled())
    assert (story.status, story.reason, story.answer) == ("cancelled", "Ctrl-C", None)
    assert [each.state for each in story.nodes] == ["cancelled"] * 3
    assert node(story, 1).ended_s == 1.0
    assert node(story, 2).ended_s is None
    assert waited(story, 3) == [("slot", "", 0.2, 1.0)]
    assert story.phases.planning_s == 1.0


def test_a_run_that_was_cut_short_and_answered_says_why_it_has_gaps() -> None:
    cut_short = [*cancelled(), *at((1.1, RunCompleted(R, "A part.", gaps=(1,))))]
    assert (explain(cut_short).status, explain(cut_short).reason) == ("gaps", "Ctrl-C")
    assert "r1: answered with gaps in 1.10 s (Ctrl-C), 3 steps" in render_text(explain(cut_short))
    whole = [*cancelled(), *at((1.1, RunCompleted(R, "All.")))]
    assert (explain(whole).status, explain(whole).reason) == ("answered", None)


def test_one_step_needs_no_aggregation() -> None:
    story = explain(one_step())
    assert story.notes == ("one step, because the plan was not usable",)
    assert (story.aggregator, story.phases.aggregating_s) == (None, 0.0)
    assert story.speed_up == pytest.approx(1.0)


def test_a_run_that_goes_on_is_told_so_far() -> None:
    story = explain(diamond()[:11])
    assert (story.status, story.elapsed_s) == ("running", 1.1)
    assert [each.state for each in story.nodes] == ["completed", "running", "running", "waiting"]
    assert waited(story, 4) == [("parents", "#2, #3", 0.4, 1.1)]


def test_a_run_that_nobody_works_on_any_more_is_interrupted() -> None:
    story = explain(diamond()[:11], interrupted=True)
    assert (story.status, story.elapsed_s) == ("interrupted", 1.1)
    assert [each.state for each in story.nodes] == ["completed", "cancelled", "cancelled", "cancelled"]
    text = render_text(story)
    assert "interrupted after 1.10 s, 4 steps" in text
    assert "running for" not in text
    assert explain(diamond(), interrupted=True) == explain(diamond())


def test_a_plan_that_failed_has_no_nodes() -> None:
    story = explain(at(START, (2.0, RunFailed(R, "no plan"))))
    assert (story.status, story.reason, story.phases.planning_s, story.nodes) == ("failed", "no plan", 2.0, ())
    assert "failed after 2.00 s (no plan)" in render_text(story)


def test_a_freed_slot_belongs_to_the_critical_path() -> None:
    story = explain(
        at(
            START,
            (0.0, added(1, "history")),
            (0.0, added(2, "geo", model="m2")),
            (0.0, sent(1, "history")),
            (1.0, done(1, "history")),
            (1.0, sent(2, "geo", model="m2")),
            (3.0, done(2, "geo", model="m2")),
        )
    )
    assert [(step.node, step.because, step.after) for step in story.critical_path] == [
        (1, "start", None),
        (2, "slot", 1),
    ]


def test_three_at_once_are_one_group_and_pairs_within_it_are_not_repeated() -> None:
    nodes = [(0.0, added(number, "e")) for number in (1, 2, 3, 4)]
    story = explain(
        at(
            START,
            *nodes,
            (0.1, sent(1, "e")),
            (0.2, sent(2, "e")),
            (0.3, sent(3, "e")),
            (1.0, done(1, "e")),
            (1.0, sent(4, "e")),
            (2.0, done(2, "e")),
            (2.0, done(3, "e")),
            (3.0, done(4, "e")),
        )
    )
    assert story.together == (Together((1, 2, 3), 0.3, 1.0), Together((2, 3, 4), 1.0, 2.0))


def test_a_resumed_run_shows_that_its_attempt_was_interrupted() -> None:
    again = at(START, (0.2, sent(1, "history", 2)), (0.9, done(1, "history", attempt=2)))
    story = explain([*diamond()[:3], *at((0.1, PlanClosed(R))), *again])
    assert [each.failure for each in node(story, 1).attempts] == ["interrupted", None]


def test_other_runs_and_deltas_change_nothing() -> None:
    noise = at((0.2, NodeStarted("other", 1, "x", "x", "x", 1)), (0.3, NodeDelta(R, 1, "Pa")), (0.3, Woken()))
    happened = diamond()
    assert explain([*happened[:5], *noise, *happened[5:]]) == explain(happened)


def test_a_load_whose_beginning_was_not_seen_is_dated_back() -> None:
    story = explain(at((2.0, ModelLoaded("m", "cpu", 1, 0.5)), (2.0, PlanClosed(R))))
    assert (story.loads[0].started_s, story.loads[0].ended_s) == (1.5, 2.0)


def test_nothing_has_a_story_too() -> None:
    story = explain([])
    assert (story.run, story.status, story.nodes, story.speed_up) == ("", "running", (), None)
    assert render_text(story)
    assert render_summary(story)


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("width", [50, 72, 100])
def test_every_prefix_of_every_story_can_be_told_within_the_width(name: str, width: int) -> None:
    for length in range(len(STORIES[name]) + 1):
        story = explain(STORIES[name][:length])
        lines = render_text(story, width).splitlines()
        assert max(map(cell_len, lines)) <= width
        assert 3 <= len(render_summary(story, width).splitlines()) <= 8


SCRAPS = st.one_of(
    *(st.sampled_from(story) for story in STORIES.values()),
    st.from_type(NodeAdded).map(lambda event: Stamped(0.5, event)),
)


@given(st.lists(SCRAPS, max_size=25))
@settings(max_examples=150, deadline=None)
def test_no_order_of_events_is_too_strange(events: list[Stamped]) -> None:
    story = explain(events)
    assert max(map(cells, render_text(story, 60).splitlines())) <= 60
    assert all(wait.ended_s >= wait.started_s for each in story.nodes for wait in each.waits)
    assert len(story.critical_path) <= len(story.nodes)
    render_summary(story, 60)


def test_whom_the_gate_refuses_is_not_said_to_be_below_the_threshold() -> None:
    refused = replace(given_to("geo"), score=0.99, passed=False, reason="foreign to every expert: gate 0.20 of 0.50")
    text = render_text(explain(at(START, (0.1, NodeAdded(R, 1, "Why?", (), refused)))))
    assert "geo 0.99 by question, runner-up other 0.71, margin 0.11, not trusted)" in " ".join(text.split())
    assert "threshold" not in text


def test_the_text_says_who_why_what_and_when() -> None:
    text = render_text(explain(diamond()))
    for part in (
        "#1 [history] Question 1 ─▶ #2, #3",
        "#2 geo on m (cpu): completed, 1.10-2.10 s",
        "question   Question 2 of George Eliot",
        "best (geo 0.82 by question, runner-up other 0.71, margin 0.11)",
        "waited     0.90 s for #1",
        "alongside  #3",
        "read       A title (doc.md)",
        "50 read, 20 written, 10.0 tokens/s, the first after 0.10 s",
        "─▶ #4 3.10-4.10 s; needed #3",
        "planning 0.50 s, loading 0.00 s, executing 4.00 s, aggregating 0.90 s",
        "  The answer.",
    ):
        assert part in text, part


def test_passages_of_one_section_are_told_apart_by_their_beginnings() -> None:
    passages = tuple(
        Passage("a.md", title, text * 40, 0.9) for title, text in [("A", "one "), ("A", "two "), ("B", "x")]
    )
    story = one_step()
    story[5] = Stamped(1.1, NodeCompleted(R, 1, SubAnswer("Yes.", "history", "m", passages), 1))
    read = [line.split(maxsplit=1)[1] for line in render_text(explain(story)).split("\n") if " read  " in line]
    assert [line[:15] for line in read] == ['A (a.md): "one ', 'A (a.md): "two ', "B (a.md)"]
    assert all(len(line) <= 62 for line in read)


def test_an_answer_that_was_cut_off_is_told_as_such() -> None:
    answer = SubAnswer("The dose is 5", "law", "m", is_cut=True)
    story = explain(at(START, (0.1, added(1, "law")), (0.1, sent(1, "law")), (1.0, NodeCompleted(R, 1, answer))))
    assert story.nodes[0].caveat == answer.caveat
    assert "#1 law 0.90 s (cut off)" in render_summary(story)
    assert "note       cut off before its end, as a rule at `max_tokens`: raise it for the expert law" in render_text(
        story
    )


def test_the_text_tells_failures_retries_and_gaps() -> None:
    text = render_text(explain(failed_with_descendants()))
    for part in (
        "attempt 1  history on m (cpu), 0.10-0.60 s, failed: timeout",
        "failed     no expert is left",
        "#2 geo on m: skipped, because #1 has no answer",
        "0.20 s before another attempt",
        "no answer to #1, #2, #3",
    ):
        assert part in text, part


def test_the_text_tells_loads_and_evictions() -> None:
    text = render_text(explain(chain_with_load_and_evict()), 140)
    assert "m2 on cpu: loaded, 2.50-3.50 s, 200 MB, after m1 left" in text
    assert "─▶ #2 3.50-4.00 s; needed #1; waited 0.50 s until m2 could be loaded; waited 1.00 s for the load" in text
    assert "0.20 s until m1 could be loaded; 0.70 s for the load of m1; 0.20 s for a free slot or cores" in text


def test_the_timeline_is_to_scale() -> None:
    lines = render_text(explain(diamond()), 60).splitlines()
    rows = {
        line.split()[0]: line for line in lines[lines.index("Timeline") + 1 :] if line.startswith(("  #", "  plan"))
    }
    assert rows["#2"].count("▓") == pytest.approx(rows["#3"].count("▓") / 2, abs=1)
    assert rows["#4"].index("▓") == pytest.approx(rows["#3"].rindex("▓") + 1, abs=1)
    assert rows["#2"].endswith("1.10-2.10 s")
    assert len({cell_len(rows[name]) for name in ("#1", "#2", "#3", "#4")}) == 1


def test_the_summary_of_a_diamond() -> None:
    assert render_summary(explain(diamond())).splitlines() == [
        "answered in 5.00 s, 4 steps, 1.25 at a time on average",
        "planning 0.50 s, loading 0.00 s, executing 4.00 s, aggregating 0.90 s",
        "#1 history 1.00 s; #2 geo 1.00 s; #3 art 2.00 s; #4 law 1.00 s",
        "at the same time: #2, #3 (1.10-2.10 s)",
        "critical path: #1 ─▶ #3 ─▶ #4",
    ]


def test_a_wide_plan_keeps_the_summary_short() -> None:
    nodes = [(0.0, added(number, "e")) for number in range(1, 41)]
    starts = [(0.1, sent(number, "e")) for number in range(1, 41)]
    lines = render_summary(explain(at(START, *nodes, *starts))).splitlines()
    assert len(lines) <= 8
    assert lines[2].startswith("#1 e running; #2 e running; ")
    assert " more" in lines[3]


HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m red \u202egnp.exe\r\nover\rwritten\x00\u2028 end"


def test_control_characters_are_made_visible() -> None:
    events = at(
        (0.0, RunStarted(R, HOSTILE, HOSTILE, HOSTILE)),
        (0.0, NodeAdded(R, 1, HOSTILE, (), given_to(HOSTILE, HOSTILE), tag=HOSTILE)),
        (0.0, ModelLoading(HOSTILE, HOSTILE)),
        (0.5, NodeStarted(R, 1, HOSTILE, HOSTILE, HOSTILE, 1)),
        (1.0, NodeCompleted(R, 1, SubAnswer(HOSTILE, "e", "m", (Passage(HOSTILE, HOSTILE, "", 1.0),)))),
        (1.0, RunCompleted(R, HOSTILE)),
    )
    for text in (render_text(explain(events)), render_summary(explain(events))):
        assert not [c for c in text if c != "\n" and (unicodedata.category(c) in {"Cc", "Zl", "Zp"} or c == "\u202e")]
        assert "␛[2J" in text


@pytest.mark.parametrize(
    "answer", ["word " * 2000, "x" * 10_000, "漢字" * 5000, "👩‍🚀é" * 3000, "ไทย" * 3000, "a\n" * 5000]
)
def test_long_answers_in_any_script_stay_within_the_width(answer: str) -> None:
    events = at(START, (0.0, added(1, answer)), (0.1, sent(1, answer)), (1.0, done(1, "e", answer)))
    text = render_text(explain([*events, *at((1.0, RunCompleted(R, answer)))]), 80)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "more lines)" in text
    assert text.count(answer[0]) >= answer.count(answer[0])


@given(st.text(max_size=200), st.integers(16, 60))
@settings(max_examples=300, deadline=None)
def test_wrapping_loses_no_word_and_keeps_the_width(text: str, width: int) -> None:
    lines = wrap(text, width, "  - ")
    assert max(map(cells, lines)) <= width
    assert "".join("".join(lines).split()).removeprefix("-") == "".join(clean(text).split())


@given(st.text(max_size=60), st.integers(2, 20))
def test_clipping_gives_one_line_within_the_width(text: str, width: int) -> None:
    assert cells(clip(text, width)) <= width
    assert "\n" not in clip(text, width)


def test_indentation_and_empty_lines_of_an_answer_are_kept() -> None:
    assert wrap("def f():\n    return 1\n\nf()", 40, "  ") == ["  def f():", "      return 1", "", "  f()"]


def test_widths_are_never_less_than_a_terminal_takes() -> None:
    samples = ("abc", "漢字", "é", "e\u0301", "👩‍🚀", "ไทย", "❤️", "🇫🇷", "한국어", "عربى")
    assert all(cells(sample) >= cell_len(sample) for sample in itertools.chain(samples))
