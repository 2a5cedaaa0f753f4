"""What turns scores of one encoder into probabilities: the temperature and the out-of-domain gate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np

from compllm.core.routing import THRESHOLD, ExpertProfile, Gate
from compllm.errors import ConfigError
from compllm.router.base import Encoder
from compllm.router.fitting import NO_EXPERT, Sample
from compllm.router.index import WANTED_EXPERT, ExpertIndex


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperature and gate for the scores of the encoder named `encoder`, and what they were fitted on (`card`)."""

    encoder: str
    temperature: float
    gate: Gate
    card: str = ""
    figures: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            ConfigError: the file cannot be written.
        """
        try:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: the calibration cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path, *, encoder: str) -> Calibration:
        """Read a calibration of the encoder with this name.

        Raises:
            ConfigError: the file cannot be read, is no calibration, or is one of another encoder.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: the calibration cannot be read: {error}") from error
        return cls._parse(text, str(path)).checked(encoder)

    @classmethod
    def shipped(cls, encoder: str) -> Calibration | None:
        """Return the calibration that comes with this package for the encoder, or None if there is none."""
        file = resources.files("compllm").joinpath("assets", "calibration", f"{encoder}.json")
        if "/" in encoder or not file.is_file():
            return None
        return cls._parse(file.read_text(encoding="utf-8"), file.name).checked(encoder)

    def checked(self, encoder: str) -> Calibration:
        """Return itself if it belongs to the encoder.

        Raises:
            ConfigError: it was fitted on the scores of another encoder, where the same numbers mean something else.
        """
        if self.encoder != encoder:
            raise ConfigError(
                f"the calibration was fitted for the encoder {self.encoder!r} and means nothing for {encoder!r}: "
                "fit one with `compllm route --calibrate FILE`"
            )
        return self

    @classmethod
    def _parse(cls, text: str, source: str) -> Calibration:
        try:
            data = json.loads(text)
            gate = Gate(**{key: float(value) for key, value in data["gate"].items()})
            figures = {str(key): float(value) for key, value in data.get("figures", {}).items()}
            fitted = cls(str(data["encoder"]), float(data["temperature"]), gate, str(data.get("card", "")), figures)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{source}: this is no calibration: {type(error).__name__} {error}") from error
        if not (np.isfinite(fitted.temperature) and fitted.temperature > 0):
            raise ConfigError(f"{source}: the temperature must be above 0, not {fitted.temperature}")
        if not all(np.isfinite(value) for value in asdict(gate).values()):
            raise ConfigError(f"{source}: the gate has numbers that are not finite")
        return fitted


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question and the expert that should answer it; None if no expert of the team should."""

    question: str
    expert: str | None


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A fitted calibration and how it does on questions that it was not fitted on (two-fold cross-fitting).

    `coverage` and `precision` are over the questions of experts at the threshold and behind the gate; `ece` is the
    expected calibration error of p. `wrong_routes` is the share of "no expert" questions that some expert got
    (None without such questions).
    """

    calibration: Calibration
    questions: int
    no_expert_questions: int
    accuracy: float
    coverage: float
    precision: float
    ece: float
    wrong_routes: float | None
    warnings: tuple[str, ...]


def read_labelled(path: Path, experts: Sequence[str]) -> list[LabelledQuestion]:
    """Read JSON lines `{"question": ..., "expert" or "domain": name or null}`.

    Raises:
        ConfigError: naming file and line: the file cannot be read, has no rows, or a row is malformed or names an
            expert that is not in the team.
    """
    rows = []
    for where, row in read_json_lines(path):
        question, expert = row.get("question"), row.get("expert", row.get("domain"))
        if not isinstance(question, str) or not question.strip():
            raise ConfigError(f'{where}: a row needs a "question"')
        if "expert" not in row and "domain" not in row:
            raise ConfigError(f'{where}: a row needs an "expert": a name, or null for no expert')
        if expert is not None and (not isinstance(expert, str) or expert not in experts):
            raise ConfigError(f"{where}: {expert!r} is no expert of the team: {', '.join(experts)}")
        rows.append(LabelledQuestion(question, expert))
    return rows


def read_json_lines(path: Path) -> list[tuple[str, dict[str, object]]]:
    """Return the objects of a JSON lines file, each with "file:line"; blank lines are skipped.

    Raises:
        ConfigError: naming file and line: the file cannot be read or has no rows, or a line is no JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}:{number}: expected a JSON object")
        rows.append((f"{path}:{number}", row))
    if not rows:
        raise ConfigError(f"{path}: the file has no rows")
    return rows


def calibrate(
    encoder: Encoder,
    profiles: Sequence[ExpertProfile],
    rows: Sequence[LabelledQuestion],
    *,
    threshold: float = THRESHOLD,
) -> CalibrationReport:
    """Fit temperature and gate on labelled questions and report what they do.

    Without "no expert" questions the gate learns from every question with its own expert taken away.

    Raises:
        ConfigError: no question names an expert that can be ranked.
        RoutingError: the encoder failed.
    """
    index = ExpertIndex.build(encoder, profiles)
    column = {name: position for position, name in enumerate(index.names)}
    labels = np.array([column.get(row.expert or "", NO_EXPERT) for row in rows], dtype=np.int64)
    if not (labels != NO_EXPERT).any():
        raise ConfigError("a calibration needs questions of the team's experts; every row says no expert")
    vectors = encoder.encode([row.question for row in rows])
    sample = Sample(index.question_scores(vectors), index.description_cosines(vectors), labels)
    temperature, gate = sample.fit()
    accuracy, coverage, precision, ece, wrong = sample.cross_fitted(threshold)
    return CalibrationReport(
        calibration=Calibration(
            encoder.name,
            temperature,
            gate,
            card=f"fitted on {len(rows)} labelled questions for {len(index.names)} experts",
            figures={"coverage": coverage, "precision": precision, "ece": ece}
            | ({} if wrong is None else {"wrong_routes": wrong}),
        ),
        questions=int((labels != NO_EXPERT).sum()),
        no_expert_questions=int((labels == NO_EXPERT).sum()),
        accuracy=accuracy,
        coverage=coverage,
        precision=precision,
        ece=ece,
        wrong_routes=wrong,
        warnings=(
            *_row_warnings(profiles, index.names, rows),
            *_question_warnings(coverage, wrong, len(rows)),
            *_tag_warnings(encoder, index, threshold),
        ),
    )


def _row_warnings(
    profiles: Sequence[ExpertProfile], names: Sequence[str], rows: Sequence[LabelledQuestion]
) -> list[str]:
    """Say what the figures do not tell because of the questions that were chosen."""
    asked = {row.expert for row in rows if row.expert is not None}
    examples = {example for profile in profiles for example in profile.examples}
    repeated = sum(row.question in examples for row in rows)
    warnings = []
    if unasked := [name for name in names if name not in asked]:
        warnings.append(f"no labelled questions for {', '.join(unasked)}: the figures say nothing of them")
    if unranked := sorted(asked.difference(names)):
        them = ", ".join(unranked)
        warnings.append(f"questions of {them} count as ones for no expert: neither description nor examples to score")
    if repeated:
        warnings.append(
            f"{repeated} labelled questions are examples of experts: new ones are harder than the figures say"
        )
    return warnings


def _question_warnings(coverage: float, wrong: float | None, rows: int) -> list[str]:
    warnings = []
    if rows < 50:
        warnings.append(f"only {rows} labelled questions: the figures are rough; 20 or more for each expert are better")
    if coverage == 0:
        warnings.append("nothing passes: with this encoder every question goes to the fallback")
    if wrong is not None and wrong > 0.5:
        warnings.append(f"{wrong:.0%} of the questions for no expert are given to one: the gate does not separate them")
    if wrong is None:
        warnings.append('no "no expert" questions: how many foreign questions get through was not measured')
    return warnings


def _tag_warnings(encoder: Encoder, index: ExpertIndex, threshold: float) -> list[str]:
    """Warn if raw cosine says nothing with this encoder: the gauge is the descriptions among themselves."""
    if len(index.names) < 2:
        return []
    wanted = encoder.encode([WANTED_EXPERT.format(field=name) for name in index.names])
    cosines = index.description_cosines(wanted)
    if (cosines >= threshold).all():
        return [f"everything passes by tag: with {encoder.name} every expert reaches {threshold:.2f} for every tag"]
    if (np.diag(cosines) < threshold).all():
        return [
            f"nothing passes by tag: with {encoder.name} no expert's name reaches {threshold:.2f} at its description"
        ]
    return []
