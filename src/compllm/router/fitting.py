"""The fits and measures behind a calibration, in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compllm.core.routing import Gate, Scores, gate_features, softmax

Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]

NO_EXPERT = -1

_FOLDS = 2
_DEFAULT_TEMPERATURE = 0.03
_COLDEST, _HOTTEST = 1e-3, 10.0
_GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(scores: Scores, labels: Labels) -> float:
    """Return the T that minimises the negative log-likelihood of softmax(scores / T).

    `scores` have shape `(n, experts)`, `labels` are columns. The loss is convex in 1/T, so golden-section search on
    log T finds the minimum between 0.001 and 10. Two questions that could be anybody's are added: a few questions
    that are all right would else drive T to zero. Temperature scaling (Guo et al., 2017), the prior as in Platt (1999).
    """
    wanted = np.full(scores.shape, 2 / ((len(labels) + 2) * scores.shape[1]))
    wanted[np.arange(len(labels)), labels] += len(labels) / (len(labels) + 2)

    def loss(log_t: float) -> float:
        p = softmax(scores, float(np.exp(log_t)))
        return float(-(wanted * np.log(np.maximum(p, 1e-300))).sum(axis=1).mean())

    low, high = float(np.log(_COLDEST)), float(np.log(_HOTTEST))
    for _ in range(48):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def fit_logistic(features: Scores, targets: Flags, *, ridge: float = 1.0) -> Scores:
    """Return intercept and weights, of shape `(1 + features,)`, of a ridge logistic regression.

    Newton's method (iteratively reweighted least squares) on standardised features; the ridge spares the intercept
    and keeps the weights finite where the classes are separable.
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    design = np.column_stack([np.ones(len(features)), (features - centre) / scale])
    penalty = ridge * np.eye(design.shape[1])
    penalty[0, 0] = 1e-3  # a single class would drive a free intercept to infinity
    weights = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -50, 50)))
        gradient = design.T @ (p - targets) + penalty @ weights
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + penalty
        weights = weights - np.linalg.solve(hessian, gradient)
    slopes = weights[1:] / scale
    return np.asarray(np.concatenate([[weights[0] - slopes @ centre], slopes]))


def expected_calibration_error(p: Scores, correct: Flags, *, bins: int = 15) -> float:
    """Return the mean distance of confidence and accuracy over equal-width bins (Naeini et al., 2015)."""
    if not len(p):
        return 0.0
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(bin_of, p, bins) - np.bincount(bin_of, correct, bins))
    return float(gaps.sum() / len(p))


def auroc(positive: Scores, negative: Scores) -> float:
    """Return the share of (positive, negative) pairs that are in order, ties counting half (Mann and Whitney, 1947)."""
    _, inverse, counts = np.unique(np.concatenate([positive, negative]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n = len(positive)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(negative)))


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Scores and description cosines of labelled questions, both `(n, experts)`; labels are columns or `NO_EXPERT`."""

    scores: Scores
    descriptions: Scores
    labels: Labels

    def take(self, rows: Flags | Labels) -> Sample:
        """Return the sample of these rows."""
        return Sample(self.scores[rows], self.descriptions[rows], self.labels[rows])

    def fit(self) -> tuple[float, Gate]:
        """Return the temperature and the gate that fit the sample."""
        known = self.take(self.labels != NO_EXPERT)
        lone = self.scores.shape[1] == 1
        temperature = _DEFAULT_TEMPERATURE if lone else fit_temperature(known.scores, known.labels)
        return temperature, self._fit_gate()

    def _fit_gate(self) -> Gate:
        background = float(self.scores.mean())
        features = gate_features(self.scores, self.descriptions, background)
        right = self.scores.argmax(axis=1) == self.labels
        if not (self.labels == NO_EXPERT).any():
            if self.scores.shape[1] == 1:
                return _quantile_gate(self.scores[:, 0])
            features = np.vstack([features, *self._without_own_expert(background)])
            right = np.concatenate([right, np.zeros(len(features) - len(right), dtype=bool)])
        intercept, best, margin, mean, description = fit_logistic(features, right).tolist()
        return Gate(intercept, best, margin, mean, description, background)

    def _without_own_expert(self, background: float) -> list[Scores]:
        """Return the features of each expert's questions as they would be if the team lacked that expert."""
        columns = np.arange(self.scores.shape[1])
        return [
            gate_features(part.scores[:, others], part.descriptions[:, others], background)
            for column in columns
            if len((part := self.take(self.labels == column)).labels)
            for others in [columns[columns != column]]
        ]

    def passes(self, temperature: float, gate: Gate, threshold: float) -> Flags:
        """Return which rows reach the threshold and pass the gate."""
        features = gate_features(self.scores, self.descriptions, gate.background)
        confident = softmax(self.scores, temperature).max(axis=1) >= threshold
        return np.asarray(confident & (gate.probability(features) >= gate.threshold))

    def cross_fitted(self, threshold: float) -> tuple[float, float, float, float, float | None]:
        """Return accuracy, coverage, precision, ECE and wrong routes, each row judged by a fit on the other half."""
        known = self.labels != NO_EXPERT
        # Alternating within the sorted labels gives both halves every expert.
        fold = np.empty(len(self.labels), dtype=np.int64)
        fold[np.argsort(self.labels, kind="stable")] = np.arange(len(self.labels)) % _FOLDS
        passed = np.zeros(len(self.labels), dtype=bool)
        p = np.zeros(len(self.labels))
        for held_out in range(_FOLDS):
            inside, rest = fold == held_out, fold != held_out
            fitted_on = self.take(rest) if (known & rest).any() else self
            temperature, gate = fitted_on.fit()
            passed[inside] = self.take(inside).passes(temperature, gate, threshold)
            p[inside] = softmax(self.scores[inside], temperature).max(axis=1)
        right = self.scores.argmax(axis=1) == self.labels
        ece = expected_calibration_error(p[known], right[known])
        wrong = float(passed[~known].mean()) if (~known).any() else None
        precision = float(right[known & passed].mean()) if (known & passed).any() else 0.0
        return float(right[known].mean()), float(passed[known].mean()), precision, ece, wrong


def _quantile_gate(scores: Scores) -> Gate:
    """Return the gate of a lone expert that nothing foreign was shown to: 95 of 100 of its own questions pass."""
    slope = 4 / max(float(scores.std()), 1e-3)
    edge = float(np.quantile(scores, 0.05))
    return Gate(intercept=-slope * edge, best=slope, margin=0.0, mean=0.0, description=0.0, background=0.0)
