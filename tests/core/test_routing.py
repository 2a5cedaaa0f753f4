"""Rankings, ties, fallbacks and the gate, on plain score vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.routing import (
    ExpertProfile,
    Gate,
    Ranking,
    Team,
    assign,
    gate_features,
    rank_by_documents,
    rank_by_question,
    rank_by_similarity,
    settle,
    softmax,
)
from compllm.errors import ConfigError, NoEligibleExpertError

OPEN = Gate(intercept=20.0, best=0.0, margin=0.0, mean=0.0, description=0.0, background=0.0)
# Half way at a best score of 0.2, and steep.
ABSOLUTE = Gate(intercept=-20.0, best=100.0, margin=0.0, mean=0.0, description=0.0, background=0.0)


def team(*names: str, fallback: str | None = None, **own: str) -> Team:
    return Team(tuple(ExpertProfile(name, f"m-{name}", name, (), own.get(name)) for name in names), fallback)


def by_tag(values: dict[str, float], threshold: float = 0.7) -> Ranking:
    return rank_by_similarity(list(values), np.array(list(values.values())), wanted='the tag "x"', threshold=threshold)


def by_question(values: dict[str, float], gate: Gate = OPEN, temperature: float = 0.03) -> Ranking:
    scores = np.array(list(values.values()))
    return rank_by_question(list(values), scores, scores, temperature=temperature, gate=gate)


def test_tag_passes_at_exactly_the_threshold() -> None:
    assert by_tag({"a": 0.7, "b": 0.1}).eligible == ("a",)
    below = by_tag({"a": 0.699, "b": 0.1})
    assert below.eligible == ()
    assert "cosine 0.69, below threshold 0.70" in below.finding


def test_candidates_are_the_chosen_then_the_others_above_the_threshold_then_the_fallback() -> None:
    decision = assign(team("a", "b", "c", "d", fallback="d"), by_tag({"a": 0.72, "b": 0.9, "c": 0.3, "d": 0.1}))
    assert [candidate.expert for candidate in decision.candidates] == ["b", "a", "d"]
    assert [candidate.model for candidate in decision.candidates] == ["m-b", "m-a", "m-d"]
    assert (decision.expert, decision.mode, decision.passed) == ("b", "tag", True)
    assert decision.score == 0.9
    assert decision.margin == pytest.approx(0.18)
    assert decision.scores == (("b", 0.9), ("a", 0.72), ("c", 0.3), ("d", 0.1))


def test_fallbacks_are_followed_transitively_and_never_repeated() -> None:
    members = team("a", "b", "c", "d", fallback="d", a="b", b="c", c="a")
    decision = assign(members, by_tag({"a": 0.9, "b": 0.8, "c": 0.1, "d": 0.1}))
    assert [candidate.expert for candidate in decision.candidates] == ["a", "b", "c", "d"]


def test_below_the_threshold_the_team_fallback_answers_with_its_own_fallback_behind_it() -> None:
    decision = assign(team("a", "b", "c", fallback="b", b="c"), by_tag({"a": 0.6, "b": 0.2, "c": 0.1}))
    assert [candidate.expert for candidate in decision.candidates] == ["b", "c"]
    assert not decision.passed
    assert decision.score == 0.2
    assert decision.margin == pytest.approx(-0.4)
    assert "0.60" in decision.reason
    assert "0.70" in decision.reason
    assert "fallback b" in decision.reason


def test_without_a_fallback_the_error_has_the_best_scores_and_how_to_mend_it() -> None:
    with pytest.raises(NoEligibleExpertError, match=r"a 0\.60, b 0\.20, c 0\.10.*fallback.*threshold"):
        assign(team("a", "b", "c"), by_tag({"a": 0.6, "b": 0.2, "c": 0.1}))


def test_equal_scores_are_ordered_by_name() -> None:
    decision = assign(team("b", "a"), by_tag({"b": 0.8, "a": 0.8}))
    assert decision.expert == "a"
    assert decision.margin == 0.0


def test_question_threshold_is_on_the_probability_not_on_the_cosine() -> None:
    ranking = by_question({"a": 0.25, "b": 0.10, "c": 0.05})
    assert ranking.eligible == ("a",)
    assert dict(ranking.scores)["a"] > 0.98
    close = by_question({"a": 0.25, "b": 0.24, "c": 0.05})
    assert close.eligible == ()
    assert "0.70" in close.finding


def test_gate_refuses_a_clear_winner_among_foreign_experts() -> None:
    ranking = by_question({"a": 0.15, "b": -0.2}, gate=ABSOLUTE)
    assert ranking.scores[0][1] > 0.99
    assert ranking.eligible == ()
    assert "gate" in ranking.finding
    assert "gate 0.49 of 0.50" in by_question({"a": 0.1999, "b": -0.2}, gate=ABSOLUTE).finding


@pytest.mark.parametrize("tag", [None, by_tag({"a": 0.5, "b": 0.2})])
def test_where_the_gate_refuses_a_lower_threshold_is_not_advised(tag: Ranking | None) -> None:
    question = by_question({"a": 0.15, "b": -0.2}, gate=ABSOLUTE)
    with pytest.raises(NoEligibleExpertError, match=r"Name a fallback .*, fit the gate with") as refused:
        assign(team("a", "b"), settle(tag, question))
    assert "lower the threshold" not in str(refused.value)


def test_a_lone_expert_is_decided_by_the_gate() -> None:
    assert by_question({"a": 0.3}, gate=ABSOLUTE).eligible == ("a",)
    refused = by_question({"a": 0.1}, gate=ABSOLUTE)
    assert refused.scores == (("a", 1.0),)
    assert refused.eligible == ()


def test_gate_features_of_a_lone_expert_use_the_background() -> None:
    features = gate_features(np.array([[0.3]]), np.array([[0.2]]), 0.05)
    assert features.tolist() == [[0.3, pytest.approx(0.25), 0.05, 0.2]]


def test_gate_features_take_the_description_of_the_best_expert() -> None:
    features = gate_features(np.array([[0.1, 0.4, 0.2]]), np.array([[0.9, 0.3, 0.8]]), 0.0)
    assert features[0].tolist() == pytest.approx([0.4, 0.2, 0.7 / 3, 0.3])


def test_auto_prefers_a_tag_that_passes_over_the_question() -> None:
    settled = settle(by_tag({"a": 0.8, "b": 0.2}), by_question({"a": 0.0, "b": 0.3}))
    assert (settled.mode, settled.eligible) == ("tag", ("a",))


def test_auto_turns_to_the_question_when_the_tag_does_not_pass() -> None:
    settled = settle(by_tag({"a": 0.6, "b": 0.2}), by_question({"a": 0.0, "b": 0.3}))
    assert (settled.mode, settled.eligible) == ("question", ("b",))


def test_auto_settles_a_tie_of_the_tag_by_the_question() -> None:
    tag = by_tag({"a": 0.81, "b": 0.80, "c": 0.75})
    settled = settle(tag, by_question({"a": 0.1, "b": 0.3, "c": 0.5}), tie_margin=0.02)
    assert settled.eligible == ("b", "a", "c")
    assert "tie" in settled.finding
    decision = assign(team("a", "b", "c"), settled)
    assert decision.score == 0.80
    assert decision.margin == pytest.approx(-0.01)
    assert settle(tag, by_question({"a": 0.1, "b": 0.3, "c": 0.5}), tie_margin=0.005).eligible == ("a", "b", "c")


def test_auto_prefers_documents_that_answer_over_a_tag_that_passes() -> None:
    tag, question = by_tag({"a": 0.8, "b": 0.2}), by_question({"a": 0.3, "b": 0.3})
    settled = settle(tag, question, rank_by_documents({"b": 0.9, "a": 0.75}))
    assert (settled.mode, settled.eligible) == ("documents", ("b", "a"))
    assert "passage 0.90" in settled.finding
    assert settle(tag, question, rank_by_documents({"b": 0.59})).mode == "tag"
    assert settle(tag, question, rank_by_documents({})).mode == "tag"
    assert settle(tag, question, rank_by_documents({"b": 0.81, "a": 0.8})).eligible == ("a", "b")
    assert settle(None, question, rank_by_documents({"b": 0.9})).eligible == ("b",)


def test_whom_the_tag_names_is_asked_after_the_documents() -> None:
    tag, question = by_tag({"a": 0.8, "b": 0.75, "c": 0.2}), by_question({"a": 0.3, "b": 0.3, "c": 0.1})
    assert settle(tag, question, rank_by_documents({"c": 0.9})).eligible == ("c", "a")
    assert settle(tag, question, rank_by_documents({"a": 0.9, "c": 0.7})).eligible == ("a", "c")
    assert settle(by_tag({"a": 0.6}), question, rank_by_documents({"c": 0.9})).eligible == ("c",)


def test_who_is_exact_is_asked_before_documents_that_speak_of_it() -> None:
    tag, question = by_tag({"sums": 0.8, "a": 0.75}), by_question({"sums": 0.1, "a": 0.3})
    documents = rank_by_documents({"b": 0.9})
    settled = settle(tag, question, documents, exact={"sums"})
    assert (settled.mode, settled.eligible) == ("tag", ("sums", "b"))
    assert settle(tag, question, None, exact={"sums"}).eligible == ("sums", "a")
    assert settle(tag, question, documents, exact={"a"}).eligible == ("b", "sums")
    assert settle(by_tag({"sums": 0.6}), question, documents, exact={"sums"}).eligible == ("b",)
    assert settle(None, question, documents, exact={"sums"}).eligible == ("b",)


def test_auto_names_both_findings_when_neither_passes() -> None:
    settled = settle(by_tag({"a": 0.6, "b": 0.2}), by_question({"a": 0.3, "b": 0.3}))
    assert settled.eligible == ()
    decision = assign(team("a", "b", fallback="b"), settled)
    assert "cosine 0.60" in decision.reason
    assert "p 0.50" in decision.reason


def test_nobody_to_rank_goes_to_the_fallback() -> None:
    decision = assign(team("a", fallback="a"), by_question({}))
    assert (decision.expert, decision.passed, decision.scores) == ("a", False, ())


@pytest.mark.parametrize(
    ("names", "fallback", "own"),
    [(("a", "a"), None, {}), (("a", "b"), "c", {}), (("a", "b"), None, {"a": "nobody"})],
)
def test_clashing_names_and_unknown_fallbacks_are_refused(
    names: tuple[str, ...], fallback: str | None, own: dict[str, str]
) -> None:
    with pytest.raises(ConfigError):
        team(*names, fallback=fallback, **own)


cosines = st.floats(-1, 1, width=32)


@given(st.dictionaries(st.sampled_from("abcdefgh"), cosines, min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_the_experts_never_changes_a_decision(values: dict[str, float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = {name: values[name] for name in shuffled}
    first = settle(by_tag(values), by_question(values, ABSOLUTE, temperature=0.5))
    second = settle(by_tag(other), by_question(other, ABSOLUTE, temperature=0.5))
    assert [name for name, _ in first.scores] == [name for name, _ in second.scores]
    assert first.eligible == second.eligible
    fallback = min(values)
    assert assign(team(*values, fallback=fallback), first) == assign(team(*other, fallback=fallback), second)


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), cosines, min_size=1),
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")),
    st.sampled_from("abcdefgh"),
)
def test_candidates_never_repeat_and_end(values: dict[str, float], own: dict[str, str], fallback: str) -> None:
    decision = assign(team(*"abcdefgh", fallback=fallback, **own), by_tag(values, threshold=0.5))
    names = [candidate.expert for candidate in decision.candidates]
    assert len(names) == len(set(names))
    assert fallback in names
    assert decision.passed == (max(values.values()) >= 0.5)


@given(st.lists(cosines, min_size=1, max_size=9), st.floats(0.001, 10))
def test_softmax_is_a_distribution_that_keeps_the_order(values: list[float], temperature: float) -> None:
    scores = np.array(values)
    p = softmax(scores, temperature)
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1)
    assert p[scores.argmax()] == p.max()
