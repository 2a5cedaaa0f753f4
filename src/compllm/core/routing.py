"""From similarities to an assignment: pure functions on score vectors.

A *ranking* is every expert's score in one mode and whether the best one may answer; `assign` turns it into an
`Assignment` by adding the failover order. Scores are rounded to six decimals and ties broken by name, so the order in
which experts are listed never changes a decision.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compllm.errors import ConfigError, NoEligibleExpertError

ScoreMode = Literal["tag", "question", "auto"]
Scores = NDArray[np.float64]

THRESHOLD = 0.7
# The score of a passage from which its expert is trusted. Of 207 questions with a passage among the 1,237 of
# examples/multiexpertqa all reach it, and 98 % are given to the right expert (at 0.7: 94 %, and 93 % of all are); so do
# 19 % of 150 questions for nobody (9 %), whose reader then says that the passage does not answer.
READ_THRESHOLD = 0.6
TIE_MARGIN = 0.02
_DECIMALS = 6
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """An expert that may answer a node, and the model it runs on."""

    expert: str
    model: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which expert answers and why; `candidates` is the failover order, the chosen one first.

    `scores` holds every expert's score in the mode that decided, best first; `score` is the chosen expert's,
    `margin` its distance to the runner-up, `passed` whether an expert is trusted (else the fallback answers).
    """

    candidates: tuple[Candidate, ...]
    mode: Literal["tag", "question", "documents", "given"]
    score: float
    margin: float
    passed: bool
    reason: str
    scores: tuple[tuple[str, float], ...] = ()

    @property
    def expert(self) -> str:
        """The expert that was chosen."""
        return self.candidates[0].expert


@dataclass(frozen=True, slots=True)
class ExpertProfile:
    """What routing knows of an expert; `fallback` answers when this expert fails.

    The description works best in the form "An expert in X who answers questions about A, B, C.". An expert with
    neither description nor examples is never chosen by its score, only as a fallback. One that is `exact_for` questions
    in which a pattern is found answers these rightly or not at all.
    """

    name: str
    model: str
    description: str
    examples: tuple[str, ...] = ()
    fallback: str | None = None
    exact_for: re.Pattern[str] | None = None

    @property
    def is_described(self) -> bool:
        """Whether it may be chosen by a score."""
        return bool(self.description or self.examples)

    def is_exact_for(self, question: str) -> bool:
        """Tell whether it answers this question rightly or not at all."""
        return self.exact_for is not None and self.exact_for.search(question) is not None


@dataclass(frozen=True, slots=True)
class Team:
    """The experts by name and the one that answers when no other may.

    Raises:
        ConfigError: a name is used twice, or a fallback names no expert.
    """

    profiles: tuple[ExpertProfile, ...]
    fallback: str | None = None

    def __post_init__(self) -> None:
        names = [profile.name for profile in self.profiles]
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            raise ConfigError(f"two experts are named {twice[0]!r}: give each its own name")
        for owner, fallback in [("the team", self.fallback), *((p.name, p.fallback) for p in self.profiles)]:
            if fallback is not None and fallback not in names:
                raise ConfigError(f"the fallback {fallback!r} of {owner} is no expert of the team: {', '.join(names)}")

    def by_name(self) -> dict[str, ExpertProfile]:
        """Return the profiles keyed by name."""
        return {profile.name: profile for profile in self.profiles}

    def described(self) -> frozenset[str]:
        """Return the names of those that may be chosen by a score."""
        return frozenset(profile.name for profile in self.profiles if profile.is_described)


@dataclass(frozen=True, slots=True)
class Gate:
    """A logistic model of how likely the best expert is the right one, from scores that are not relative.

    The fields but the last two are its intercept and the weights of the `gate_features`. `background` is the score of
    a typical wrong expert; it stands in for the others in a team of one. Below `threshold` nobody is chosen.
    """

    intercept: float
    best: float
    margin: float
    mean: float
    description: float
    background: float
    threshold: float = 0.5

    def probability(self, features: Scores) -> Scores:
        """Return the probabilities of shape `(n,)` for features of shape `(n, 4)`."""
        logits = self.intercept + features @ np.array([self.best, self.margin, self.mean, self.description])
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -50, 50))))


def gate_features(scores: Scores, descriptions: Scores, background: float) -> Scores:
    """Return best score, margin, mean score and the best expert's description cosine, of shape `(n, 4)`.

    `scores` and `descriptions` have shape `(n, experts)` with at least one expert.
    """
    rows = np.arange(len(scores))
    chosen = scores.argmax(axis=1)
    best = scores[rows, chosen]
    if scores.shape[1] == 1:
        runner_up = mean = np.full(len(scores), background)
    else:
        runner_up, mean = np.partition(scores, -2, axis=1)[:, -2], scores.mean(axis=1)
    return np.stack([best, best - runner_up, mean, descriptions[rows, chosen]], axis=1)


def softmax(scores: Scores, temperature: float) -> Scores:
    """Return probabilities over the last axis."""
    logits = scores / temperature
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Every expert's score in one mode, best first.

    `eligible` are the names that passed, in the order in which they are to be tried; `finding` says it in words.
    `foreign` tells that the gate let nobody pass, whatever the scores.
    """

    mode: Literal["tag", "question", "documents"]
    scores: tuple[tuple[str, float], ...]
    eligible: tuple[str, ...]
    finding: str
    foreign: bool = False


def rank_by_similarity(
    names: Sequence[str], similarities: Scores, *, wanted: str, threshold: float = THRESHOLD
) -> Ranking:
    """Rank by raw cosine between what is wanted and the descriptions, of shape `(experts,)`.

    This is the rule of the paper (Experts are all you need, 2025); `wanted` names the left side in the finding.
    O(n log n) in the experts.
    """
    ordered = _best_first(names, similarities)
    eligible = _at_least(ordered, threshold)
    if not ordered:
        finding = _NOBODY
    elif eligible:
        finding = f"{wanted} fits {_figures('cosine', ordered, threshold)}"
    else:
        finding = f"{wanted} fits no expert: best is {_figures('cosine', ordered, threshold)}"
    return Ranking("tag", ordered, eligible, finding)


def rank_by_question(
    names: Sequence[str],
    scores: Scores,
    descriptions: Scores,
    *,
    temperature: float,
    gate: Gate,
    threshold: float = THRESHOLD,
) -> Ranking:
    """Rank by calibrated probability p = softmax(scores / T); the gate says whether anybody may answer at all.

    `scores` and `descriptions` have shape `(experts,)`. A softmax is relative, hence the gate. O(n log n).
    """
    if not names:
        return Ranking("question", (), (), _NOBODY)
    ordered = _best_first(names, softmax(scores, temperature))
    confidence = float(gate.probability(gate_features(scores[None], descriptions[None], gate.background))[0])
    figures = _figures("p", ordered, threshold)
    eligible = _at_least(ordered, threshold)
    if not eligible:
        return Ranking("question", ordered, (), f"the question is not clearly one expert's: best is {figures}")
    if confidence < gate.threshold:
        missed = f"gate {_cut(confidence):.2f} of {gate.threshold:.2f}"
        finding = f"the question looks foreign to every expert: {missed}; {figures}"
        return Ranking("question", ordered, (), finding, foreign=True)
    finding = f"the question fits {figures}, gate {confidence:.2f} of {gate.threshold:.2f}"
    return Ranking("question", ordered, eligible, finding)


def rank_by_documents(scores: Mapping[str, float], *, threshold: float = READ_THRESHOLD) -> Ranking:
    """Rank by the score of each expert's best passage for the question; experts that read nothing are left out.

    O(n log n) in the experts.
    """
    ordered = _best_first(list(scores), np.array(list(scores.values())))
    eligible = _at_least(ordered, threshold)
    if not ordered:
        return Ranking("documents", (), (), "no document has anything on the question")
    finding = f"the question is answered in the documents of {_figures('passage', ordered, threshold)}"
    if not eligible:
        finding = f"no document clearly answers the question: best is {_figures('passage', ordered, threshold)}"
    return Ranking("documents", ordered, eligible, finding)


def settle(
    tag: Ranking | None,
    question: Ranking,
    documents: Ranking | None = None,
    *,
    tie_margin: float = TIE_MARGIN,
    exact: Collection[str] = (),
) -> Ranking:
    """Let the documents decide if one has a clear passage, else the tag if it passed, else the question.

    A tie within the margin is settled by the next of them. Where documents decide, the expert whom the tag names comes
    after theirs: the plan knows the field even where no passage is near. Before all of that, one of the `exact` experts
    is tried if the tag fits it best: the documents may speak of what is to be computed or compared, and do not do it.
    """
    if tag is not None and tag.eligible and tag.eligible[0] in exact:
        after = settle(None, question, documents, tie_margin=tie_margin)
        return replace(tag, eligible=tuple(dict.fromkeys([tag.eligible[0], *after.eligible])))
    if documents is not None and documents.eligible:
        settled = _settle_tie(documents, tag or question, tie_margin)
        named = tag.eligible[:1] if tag is not None else ()
        return replace(settled, eligible=tuple(dict.fromkeys([*settled.eligible, *named])))
    if tag is None:
        return question
    if tag.eligible:
        return _settle_tie(tag, question, tie_margin)
    if question.eligible:
        return _settle_tie(question, tag, tie_margin)
    return replace(question, finding=f"{tag.finding}; {question.finding}")


def assign(team: Team, ranking: Ranking) -> Assignment:
    """Return who answers: the eligible experts best first, then the fallbacks; the team's fallback if none is eligible.

    Raises:
        NoEligibleExpertError: nobody is eligible and the team names no fallback.
    """
    profiles = team.by_name()
    passed = bool(ranking.eligible)
    if not passed and team.fallback is None:
        raise NoEligibleExpertError(_how_to_mend(ranking))
    chosen = ranking.eligible[0] if passed else str(team.fallback)
    order = _failover_order(profiles, ranking.eligible, chosen, team.fallback)
    scores = dict(ranking.scores)
    score = scores.get(chosen, 0.0)
    return Assignment(
        candidates=tuple(Candidate(name, profiles[name].model) for name in order),
        mode=ranking.mode,
        score=score,
        margin=round(score - max((s for name, s in ranking.scores if name != chosen), default=0.0), _DECIMALS),
        passed=passed,
        reason=ranking.finding if passed else f"{ranking.finding}; the fallback {chosen} answers",
        scores=ranking.scores,
    )


_NOBODY = "no expert has a description or examples"


def _best_first(names: Sequence[str], values: Scores) -> tuple[tuple[str, float], ...]:
    pairs = [(name, round(float(value), _DECIMALS)) for name, value in zip(names, values, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _at_least(ordered: Sequence[tuple[str, float]], threshold: float) -> tuple[str, ...]:
    return tuple(name for name, value in ordered if value >= threshold)


def _figures(kind: str, ordered: Sequence[tuple[str, float]], threshold: float) -> str:
    """Return the best score, the threshold and the runner-up in words."""
    (name, value), *others = ordered
    below = "" if value >= threshold else "below "
    value = _cut(value) if below else value
    runner_up = f", next {others[0][0]} {others[0][1]:.2f}" if others else ""
    return f"{name} ({kind} {value:.2f}, {below}threshold {threshold:.2f}{runner_up})"


def _cut(value: float) -> float:
    """Return what is shown of a value that missed its threshold: 0.699 must not read as 0.70."""
    return math.floor(round(100 * value, _DECIMALS)) / 100


def _settle_tie(ranking: Ranking, other: Ranking, tie_margin: float) -> Ranking:
    """Reorder the eligible experts that are within the margin of the best by their score in the other ranking."""
    scores = dict(ranking.scores)
    best = scores[ranking.eligible[0]]
    tied = [name for name in ranking.eligible if best - scores[name] <= tie_margin]
    if len(tied) == 1:
        return ranking
    others = dict(other.scores)
    tied.sort(key=lambda name: (-others.get(name, 0.0), name))
    finding = f"{ranking.finding}; a tie of {', '.join(sorted(tied))}, settled by the {other.mode} for {tied[0]}"
    return Ranking(ranking.mode, ranking.scores, (*tied, *ranking.eligible[len(tied) :]), finding)


def _failover_order(
    profiles: Mapping[str, ExpertProfile], eligible: Sequence[str], chosen: str, team_fallback: str | None
) -> list[str]:
    chain = _fallback_chain(profiles, chosen)
    last = _fallback_chain(profiles, team_fallback)
    return list(dict.fromkeys([*(eligible or [chosen]), *chain, *last]))


def _fallback_chain(profiles: Mapping[str, ExpertProfile], name: str | None) -> Iterator[str]:
    """Yield the expert, its fallback, the fallback of that, and so on until the chain ends or closes."""
    seen: set[str] = set()
    while name is not None and name not in seen:
        seen.add(name)
        yield name
        name = profiles[name].fallback


def _how_to_mend(ranking: Ranking) -> str:
    best = ", ".join(f"{name} {score:.2f}" for name, score in ranking.scores[:_SHOWN]) or "none"
    scores = "fit the gate with `compllm route --calibrate FILE`" if ranking.foreign else "lower the threshold"
    return (
        f"no expert may answer: {ranking.finding}. Best scores: {best}. Name a fallback expert in the team, {scores}, "
        "or give the experts clearer descriptions and more example questions."
    )
