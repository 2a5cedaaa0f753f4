"""How well routing does on labelled questions: representations of an expert, forms of a tag, calibrated scores.

`run_route_bench` brings out three tables and what the shipped calibration achieves. Nothing is kept on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compllm.bench.route_data import SPLITS, BenchExpert, BenchRow, OodRow
from compllm.core.routing import THRESHOLD, ExpertProfile, Scores, gate_features, softmax
from compllm.errors import ConfigError
from compllm.router.base import Encoder, Vectors
from compllm.router.calibration import Calibration
from compllm.router.fitting import NO_EXPERT, Sample, auroc, expected_calibration_error
from compllm.router.index import WANTED_EXPERT, ExpertIndex, centroid
from compllm.router.router import Router

Figures = dict[str, object]

REAL_EXAMPLES = 20
MORE_EXAMPLES = 50
_SHARES = (1 / 6, 1 / 2)  # where the test questions of a file without splits begin: example | calib | test
_NOBODY = "no expert"


# --- the bench -------------------------------------------------------------------------------------------------------


def run_route_bench(
    rows: Sequence[BenchRow],
    experts: Sequence[BenchExpert],
    encoder: Encoder,
    ood_rows: Sequence[OodRow] = (),
    *,
    seed: int = 0,
) -> Figures:
    """Return the tables `representations`, `tag_forms` and `calibrated`, the `shipped` figures and `notes`.

    Every table is a list of rows with named figures. Rows of no expert join the out-of-domain questions. `seed` draws
    the splits of a file that has none, and the half of the out-of-domain questions that the gates are fitted with (the
    calibrated rows are measured on the other half).

    Raises:
        ConfigError: no test question belongs to an expert.
        RoutingError: the encoder failed.
    """
    data = _Data.prepare(rows, experts, _Memo(encoder), ood_rows, seed)
    profiles, notes = _profile_variants(data)
    calibrated, calibration_notes = _calibrated(data, profiles, seed)
    shipped, shipped_notes = _shipped(data)
    return {
        "encoder": encoder.name,
        "experts": len(experts),
        "questions": {split: len(data.labels[split]) for split in SPLITS},
        "ood": {kind: len(vectors) for kind, vectors in data.ood.items()},
        "threshold": THRESHOLD,
        "representations": _representations(data, profiles),
        "tag_forms": _tag_forms(data),
        "calibrated": calibrated,
        "shipped": shipped,
        "notes": [*data.notes, *notes, *calibration_notes, *shipped_notes],
    }


class _Memo:
    """An encoder that remembers, so that every text is encoded once in a bench."""

    def __init__(self, encoder: Encoder) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._vectors: dict[str, Vectors] = {}

    def encode(self, texts: Sequence[str]) -> Vectors:
        new = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if new:
            self._vectors.update(zip(new, self._encoder.encode(new), strict=True))
        return np.array([self._vectors[text] for text in texts], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Everything that the tables need: questions and labels by split, vectors of out-of-domain questions by kind."""

    experts: tuple[BenchExpert, ...]
    memo: _Memo
    questions: dict[str, list[str]]
    labels: dict[str, NDArray[np.int64]]
    ood: dict[str, Vectors]
    ood_questions: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def prepare(
        cls, rows: Sequence[BenchRow], experts: Sequence[BenchExpert], memo: _Memo, ood: Sequence[OodRow], seed: int
    ) -> _Data:
        column = {expert.name: number for number, expert in enumerate(experts)}
        known = [row for row in rows if row.domain in column]
        foreign = [OodRow(row.question, "no_expert") for row in rows if row.domain not in column]
        notes = [f"{len(foreign)} rows belong to no expert and count as out of domain"] if foreign else []
        if any(row.split is None for row in known):
            known = _with_splits(known, seed)
            notes.append(f"rows without a split: split at random within each expert, seed {seed}")
        if not any(row.split == "test" for row in known):
            raise ConfigError("no test question belongs to one of the experts: are the domains their names?")
        outside = [*ood, *foreign]
        questions = {split: [row.question for row in known if row.split == split] for split in SPLITS}
        labels = {
            split: np.array([column[str(row.domain)] for row in known if row.split == split], dtype=np.int64)
            for split in SPLITS
        }
        kinds = sorted({row.kind for row in outside})
        by_kind = {kind: [row.question for row in outside if row.kind == kind] for kind in kinds}
        memo.encode([*(text for group in (questions, by_kind) for texts in group.values() for text in texts)])
        vectors = {kind: memo.encode(texts) for kind, texts in by_kind.items()}
        return cls(tuple(experts), memo, questions, labels, vectors, by_kind, notes)

    def vectors(self, split: str) -> Vectors:
        return self.memo.encode(self.questions[split])

    def real_examples(self, count: int) -> list[list[str]] | None:
        """Return the first questions of the example split for each expert, or None if one has too few."""
        labels = self.labels["example"]
        chosen = [
            [self.questions["example"][row] for row in np.flatnonzero(labels == number)[:count]]
            for number in range(len(self.experts))
        ]
        return chosen if all(len(texts) == count for texts in chosen) else None


def _with_splits(rows: Sequence[BenchRow], seed: int) -> list[BenchRow]:
    """Give the rows without a split one, at random within each expert."""
    rng = np.random.default_rng(seed)
    result = [row for row in rows if row.split is not None]
    for domain in sorted({str(row.domain) for row in rows}):
        loose = [row for row in rows if row.split is None and row.domain == domain]
        for position, number in enumerate(rng.permutation(len(loose))):
            share = position / len(loose)
            split = SPLITS[sum(share >= edge for edge in _SHARES)]
            result.append(BenchRow(loose[number].question, domain, split))
    return result


def _profile_variants(data: _Data) -> tuple[dict[str, ExpertIndex], list[str]]:
    """Return the experts as the router would hold them: description alone, with invented, with real examples."""
    variants = {"description": [expert.profile(()) for expert in data.experts]}
    notes = []
    if all(expert.examples for expert in data.experts):
        count = max(len(expert.examples) for expert in data.experts)
        variants[f"description + {count} invented questions"] = [expert.profile() for expert in data.experts]
    else:
        notes.append("not every expert has examples: no rows with invented questions")
    for count in (REAL_EXAMPLES, MORE_EXAMPLES):
        if examples := data.real_examples(count):
            pairs = zip(data.experts, examples, strict=True)
            variants[f"description + {count} real questions"] = [expert.profile(texts) for expert, texts in pairs]
        else:
            notes.append(f"fewer than {count} example questions for some expert: no rows with {count} real questions")
    return {name: ExpertIndex.build(data.memo, profiles) for name, profiles in variants.items()}, notes


# --- table 1: what stands for an expert ------------------------------------------------------------------------------


def _representations(data: _Data, profiles: Mapping[str, ExpertIndex]) -> list[Figures]:
    encode = data.memo.encode
    forms = {
        "label": encode([expert.label for expert in data.experts]),
        "about sentence": encode([f"This question is about {expert.label}." for expert in data.experts]),
    }
    table = [_by_vectors(data, name, vectors) for name, vectors in forms.items()]
    table += [_by_vectors(data, name, index.profiles) for name, index in profiles.items()]
    if examples := data.real_examples(REAL_EXAMPLES):
        table += _by_examples(data, [encode(texts) for texts in examples])
    if (head := _head_accuracy(data)) is not None:
        table.append(head)
    return table


def _by_vectors(data: _Data, name: str, experts: Vectors) -> Figures:
    foreign = {kind: _cosines(vectors, experts) for kind, vectors in data.ood.items()}
    return _representation(name, _cosines(data.vectors("test"), experts), data.labels["test"], foreign)


def _by_examples(data: _Data, examples: Sequence[Vectors]) -> list[Figures]:
    """Return the rows where an expert is its example questions: their centroid, the nearest, the three nearest."""
    name = f"{REAL_EXAMPLES} real questions"
    rows = [_by_vectors(data, f"{name}, mean", np.array([centroid(vectors) for vectors in examples]))]
    for suffix, nearest in (("max", 1), ("top-3", 3)):
        scores = _nearest(data.vectors("test"), examples, nearest)
        foreign = {kind: _nearest(vectors, examples, nearest) for kind, vectors in data.ood.items()}
        rows.append(_representation(f"{name}, {suffix}", scores, data.labels["test"], foreign))
    return rows


def _nearest(vectors: Vectors, examples: Sequence[Vectors], count: int) -> Scores:
    columns = [np.sort(_cosines(vectors, group), axis=1)[:, -count:].mean(axis=1) for group in examples]
    return np.stack(columns, axis=1)


def _representation(name: str, scores: Scores, labels: NDArray[np.int64], foreign: Mapping[str, Scores]) -> Figures:
    order = np.argsort(-scores, axis=1, kind="stable")
    right = scores[np.arange(len(labels)), labels]
    p10, p50, p90 = np.percentile(right, [10, 50, 90])
    figures: Figures = {
        "representation": name,
        "argmax_accuracy": _rounded((order[:, 0] == labels).mean()),
        "top2_accuracy": _rounded((order[:, :2] == labels[:, None]).any(axis=1).mean()),
        "cosine_p10": _rounded(p10),
        "cosine_p50": _rounded(p50),
        "cosine_p90": _rounded(p90),
        "cosine_max": _rounded(scores.max()),
        "share_at_threshold": _rounded((right >= THRESHOLD).mean()),
    }
    return figures | _aurocs(scores.max(axis=1), {kind: other.max(axis=1) for kind, other in foreign.items()})


def _head_accuracy(data: _Data) -> Figures | None:
    """Return the accuracy of a trained classifier: what the labels allow at best."""
    labels = np.concatenate([data.labels["example"], data.labels["calib"]])
    if len(labels) < 10 * len(data.experts):
        return None
    vectors = data.memo.encode(data.questions["example"] + data.questions["calib"])
    weights = _fit_head(vectors, labels, len(data.experts))
    predicted = (_with_bias(data.vectors("test")) @ weights).argmax(axis=1)
    name = f"logistic head on {len(labels) // len(data.experts)} questions an expert"
    return {
        "representation": name,
        "argmax_accuracy": _rounded((predicted == data.labels["test"]).mean()),
    }


def _fit_head(vectors: Vectors, labels: NDArray[np.int64], classes: int) -> Scores:
    """Return the weights of a softmax regression with a ridge, by gradient descent with momentum (Nesterov, 1983)."""
    design, targets = _with_bias(vectors), np.eye(classes)[labels]
    weights = previous = np.zeros((design.shape[1], classes))
    for step in range(300):
        ahead = weights + step / (step + 3) * (weights - previous)
        gradient = design.T @ (softmax(design @ ahead, 1.0) - targets) / len(design) + 1e-3 * ahead
        previous, weights = weights, ahead - 2.0 * gradient
    return weights


def _with_bias(vectors: Vectors) -> Scores:
    return np.column_stack([vectors.astype(np.float64), np.ones(len(vectors))])


# --- table 2: what a plan may write ----------------------------------------------------------------------------------


def _tag_forms(data: _Data) -> list[Figures]:
    labels = [(number, expert.label) for number, expert in enumerate(data.experts)]
    parts = [(number, text) for number, expert in enumerate(data.experts) for text in expert.subfields]
    descriptions = data.memo.encode([expert.description for expert in data.experts])
    table = [
        _tag_form(data, descriptions, "label", "{field}", labels),
        _tag_form(data, descriptions, "label", "{field} expert", labels),
        _tag_form(data, descriptions, "label", WANTED_EXPERT, labels),
    ]
    if parts:
        forms = ("{field}", "An expert in {field}.", WANTED_EXPERT)
        table += [_tag_form(data, descriptions, "sub-field", form, parts) for form in forms]
    return table


def _tag_form(data: _Data, descriptions: Vectors, what: str, form: str, fields: Sequence[tuple[int, str]]) -> Figures:
    cosines = _cosines(data.memo.encode([form.format(field=text) for _, text in fields]), descriptions)
    labels = np.array([number for number, _ in fields])
    rows = np.arange(len(labels))
    right = cosines[rows, labels]
    wrong = cosines.copy()
    wrong[rows, labels] = -1.0
    return {
        "field": what,
        "form": form,
        "tags": len(labels),
        "cosine_mean": _rounded(right.mean()),
        "share_at_threshold": _rounded((right >= THRESHOLD).mean()),
        "wrong_at_threshold": _rounded((wrong.max(axis=1) >= THRESHOLD).mean()),
        "best_wrong": _rounded(wrong.max()),
        "argmax_accuracy": _rounded((cosines.argmax(axis=1) == labels).mean()),
    }


# --- table 3: calibrated scores --------------------------------------------------------------------------------------


def _calibrated(data: _Data, profiles: Mapping[str, ExpertIndex], seed: int) -> tuple[list[Figures], list[str]]:
    if not len(data.labels["calib"]) or len(data.experts) < 2:
        return [], ["no calibration questions, or a single expert: no calibrated rows"]
    chosen = [name for name in profiles if not name.startswith(f"description + {MORE_EXAMPLES} real")]
    seen, unseen = _halves(data.ood, seed)
    table = [_softmax_row(data, name, profiles[name], unseen) for name in chosen]
    if not data.ood:
        return table, ["no out-of-domain questions: no rows with a gate"]
    gates = [_gate_row(data, name, profiles[name], seen, unseen) for name in chosen if "+" in name]
    return table + gates, [
        "calibrated rows: one half of the out-of-domain questions fits the gates, the other is measured"
    ]


def _halves(ood: Mapping[str, Vectors], seed: int) -> tuple[dict[str, Vectors], dict[str, Vectors]]:
    """Return a random half of every kind for the fit of the gates, and the other half."""
    rng = np.random.default_rng(seed)
    orders = {kind: rng.permutation(len(vectors)) for kind, vectors in ood.items()}
    first = {kind: ood[kind][order[::2]] for kind, order in orders.items()}
    second = {kind: ood[kind][order[1::2]] for kind, order in orders.items()}
    return first, second


def _sample(index: ExpertIndex, vectors: Vectors, labels: NDArray[np.int64] | None = None) -> Sample:
    known = np.full(len(vectors), NO_EXPERT) if labels is None else labels
    return Sample(index.question_scores(vectors), index.description_cosines(vectors), known)


def _softmax_row(data: _Data, name: str, index: ExpertIndex, unseen: Mapping[str, Vectors]) -> Figures:
    temperature, _ = _sample(index, data.vectors("calib"), data.labels["calib"]).fit()
    test = _sample(index, data.vectors("test"), data.labels["test"])
    p = softmax(test.scores, temperature).max(axis=1)
    foreign = {
        kind: softmax(index.question_scores(vectors), temperature).max(axis=1) for kind, vectors in unseen.items()
    }
    right = test.scores.argmax(axis=1) == test.labels
    row: Figures = {"score": name, "rule": "softmax", "temperature": round(temperature, 4)}
    return row | _routed(p, right, foreign) | {"ece": _rounded(expected_calibration_error(p, right))}


def _gate_row(
    data: _Data, name: str, index: ExpertIndex, seen: Mapping[str, Vectors], unseen: Mapping[str, Vectors]
) -> Figures:
    foreign_seen = np.concatenate(list(seen.values()))
    vectors = np.concatenate([data.vectors("calib"), foreign_seen])
    labels = np.concatenate([data.labels["calib"], np.full(len(foreign_seen), NO_EXPERT)])
    _, gate = _sample(index, vectors, labels).fit()

    def confidence(sample: Sample) -> Scores:
        return gate.probability(gate_features(sample.scores, sample.descriptions, gate.background))

    test = _sample(index, data.vectors("test"), data.labels["test"])
    right = test.scores.argmax(axis=1) == test.labels
    foreign = {kind: confidence(_sample(index, vectors)) for kind, vectors in unseen.items()}
    return {"score": name, "rule": "logistic gate"} | _routed(confidence(test), right, foreign)


def _routed(confidence: Scores, right: NDArray[np.bool_], foreign: Mapping[str, Scores]) -> Figures:
    """Return coverage and precision at the threshold, and the out-of-domain questions that reach it."""
    routed = confidence >= THRESHOLD
    wrongly = {
        f"ood_{kind}_routed": _rounded((c >= THRESHOLD).mean()) if len(c) else None for kind, c in foreign.items()
    }
    return {
        "coverage": _rounded(routed.mean()),
        "precision": _rounded(right[routed].mean()) if routed.any() else None,
        **wrongly,
        **_aurocs(confidence, foreign),
    }


def _shipped(data: _Data) -> tuple[Figures | None, list[str]]:
    """Return what the router does in the mode `question` with the calibration that comes with the package."""
    calibration = Calibration.shipped(data.memo.name)
    if calibration is None:
        return None, [f"no calibration is shipped for the encoder {data.memo.name}"]
    profiles = [*(expert.profile() for expert in data.experts), ExpertProfile(_NOBODY, _NOBODY, "")]
    router = Router(data.memo, profiles, mode="question", fallback=_NOBODY, calibration=calibration)
    test = router.route_many(data.questions["test"])
    routed = np.array([decision.passed for decision in test])
    names = [expert.name for expert in data.experts]
    right = np.array([d.expert == names[label] for d, label in zip(test, data.labels["test"], strict=True)])
    foreign = {
        f"ood_{kind}_routed": _rounded(np.mean([decision.passed for decision in router.route_many(texts)]))
        for kind, texts in data.ood_questions.items()
    }
    precision = _rounded(right[routed].mean()) if routed.any() else None
    return {"coverage": _rounded(routed.mean()), "precision": precision, **foreign}, []


def _cosines(vectors: Vectors, others: Vectors) -> Scores:
    return np.asarray(vectors @ others.T, dtype=np.float64)


def _aurocs(inside: Scores, foreign: Mapping[str, Scores]) -> Figures:
    return {
        f"auroc_{kind}": _rounded(auroc(inside, scores)) if len(scores) else None for kind, scores in foreign.items()
    }


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)
