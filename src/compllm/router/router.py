"""Who answers this? The router embeds the question and its tag, scores the experts and decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from compllm.core.routing import (
    THRESHOLD,
    TIE_MARGIN,
    Assignment,
    ExpertProfile,
    Ranking,
    ScoreMode,
    Team,
    assign,
    rank_by_documents,
    rank_by_question,
    rank_by_similarity,
    settle,
)
from compllm.errors import ConfigError
from compllm.router.base import Encoder, Vectors
from compllm.router.calibration import Calibration
from compllm.router.index import WANTED_EXPERT, ExpertIndex


class Router:
    """Gives every question to an expert; blocking, and safe to call from threads.

    Without a calibration the one that is shipped for the encoder is used. `tie_margin` is how close two scores must be
    for the other mode to settle them. `read` returns the score of each expert's best passage for a question: in mode
    `auto` a clear one decides before tag and question do. The experts are encoded by the first call.

    Raises:
        ConfigError: names clash, a fallback is unknown, the threshold is outside (0, 1], or the calibration is missing
            (modes `question` and `auto`) or of another encoder.
    """

    def __init__(
        self,
        encoder: Encoder,
        profiles: Sequence[ExpertProfile],
        *,
        mode: ScoreMode = "auto",
        threshold: float = THRESHOLD,
        fallback: str | None = None,
        calibration: Calibration | None = None,
        tie_margin: float = TIE_MARGIN,
        read: Callable[[str], Mapping[str, float]] | None = None,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ConfigError(f"the threshold of the router must be above 0 and at most 1, not {threshold}")
        if not profiles:
            raise ConfigError("a router needs at least one expert")
        self._team = Team(tuple(profiles), fallback)
        self.encoder = encoder
        self._mode = mode
        self.threshold = threshold
        self._tie_margin = tie_margin
        self._read = read
        self._calibration = _calibration_for(encoder.name, mode, calibration)
        self._lock = Lock()
        self._index: ExpertIndex | None = None

    @property
    def profiles(self) -> tuple[ExpertProfile, ...]:
        """What it knows of the experts."""
        return self._team.profiles

    def route(self, question: str, tag: str | None = None) -> Assignment:
        """Return who answers the question; `tag` is the field that the plan asks for.

        Raises:
            NoEligibleExpertError: no expert passes and the team has no fallback.
            RoutingError: the encoder failed.
        """
        return self.route_many([question], [tag])[0]

    def route_many(self, questions: Sequence[str], tags: Sequence[str | None] | None = None) -> list[Assignment]:
        """Return the assignments of many questions, encoded in one batch; `tags` has one entry for each question.

        Raises:
            NoEligibleExpertError: no expert passes for one of them and the team has no fallback.
            RoutingError: the encoder failed.
        """
        if not questions:
            return []
        fields = [_clean(tag) for tag in tags] if tags is not None else [None] * len(questions)
        steps = [_Step(question, field) for question, field in zip(questions, fields, strict=True)]
        texts = [self._texts(step) for step in steps]
        index = self._experts()
        vectors = iter(self.encoder.encode([text for group in texts for text in group]))
        return [
            assign(self._team, self._rank(index, step, [next(vectors) for _ in group]))
            for step, group in zip(steps, texts, strict=True)
        ]

    def _experts(self) -> ExpertIndex:
        with self._lock:
            if self._index is None:
                self._index = ExpertIndex.build(self.encoder, self._team.profiles)
            return self._index

    def _texts(self, step: _Step) -> list[str]:
        """Return what has to be encoded for a step: the question last, unless the tag alone decides."""
        wanted = [] if step.field is None or self._mode == "question" else [WANTED_EXPERT.format(field=step.field)]
        return wanted if wanted and self._mode == "tag" else [*wanted, step.question]

    def _rank(self, index: ExpertIndex, step: _Step, vectors: Sequence[Vectors]) -> Ranking:
        if self._mode == "tag" or self._calibration is None:
            wanted = f'the tag "{step.field}"' if step.field else "the question (it has no tag)"
            return self._by_similarity(index, vectors[0], wanted)
        question = self._by_question(index, vectors[-1], self._calibration)
        tagged = len(vectors) > 1
        tag = self._by_similarity(index, vectors[0], f'the tag "{step.field}"') if tagged else None
        exact = [profile.name for profile in self._team.profiles if profile.is_exact_for(step.question)]
        return settle(tag, question, self._by_documents(step.question), tie_margin=self._tie_margin, exact=exact)

    def _by_documents(self, question: str) -> Ranking | None:
        if self._read is None or self._mode != "auto":
            return None
        described = self._team.described()
        return rank_by_documents({name: score for name, score in self._read(question).items() if name in described})

    def _by_similarity(self, index: ExpertIndex, vector: Vectors, wanted: str) -> Ranking:
        similarities = index.description_cosines(vector[None])[0]
        return rank_by_similarity(index.names, similarities, wanted=wanted, threshold=self.threshold)

    def _by_question(self, index: ExpertIndex, vector: Vectors, calibration: Calibration) -> Ranking:
        return rank_by_question(
            index.names,
            index.question_scores(vector[None])[0],
            index.description_cosines(vector[None])[0],
            temperature=calibration.temperature,
            gate=calibration.gate,
            threshold=self.threshold,
        )


@dataclass(frozen=True, slots=True)
class _Step:
    """A question and the field that its plan asks for."""

    question: str
    field: str | None


def _clean(tag: str | None) -> str | None:
    """Return the tag on one line without outer blanks; a blank tag is none."""
    return " ".join(tag.split()) or None if tag else None


def _calibration_for(encoder: str, mode: ScoreMode, calibration: Calibration | None) -> Calibration | None:
    if mode == "tag":
        return None
    found = calibration or Calibration.shipped(encoder)
    if found is None:
        raise ConfigError(
            f"the encoder {encoder!r} has no calibration, which the mode {mode!r} needs: fit one with "
            "`compllm route --calibrate FILE`, or use the mode 'tag'"
        )
    return found.checked(encoder)
