"""The experts as vectors: one matrix, one product for all scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from compllm.core.routing import ExpertProfile, Scores
from compllm.router.base import Encoder, Vectors

WANTED_EXPERT = "An expert in {field} who answers questions about {field}."


@dataclass(frozen=True, slots=True, eq=False)
class ExpertIndex:
    """Two vectors for each expert that can be ranked; both arrays have shape `(experts, d)`.

    `descriptions` are unit vectors (zeros where an expert has none); `profiles` are the means of the description and
    the centroid of the examples (or the one that exists): a product with a question is the mean of both cosines.
    """

    names: tuple[str, ...]
    descriptions: Vectors
    profiles: Vectors

    @classmethod
    def build(cls, encoder: Encoder, profiles: Sequence[ExpertProfile]) -> ExpertIndex:
        """Encode descriptions and examples in one batch; experts with neither are left out.

        Raises:
            RoutingError: the encoder failed.
        """
        ranked = [profile for profile in profiles if profile.description.strip() or profile.examples]
        texts = [profile.description for profile in ranked] + [text for p in ranked for text in p.examples]
        vectors = encoder.encode(texts)
        described = np.array([bool(profile.description.strip()) for profile in ranked], dtype=np.bool_)
        bounds = pairwise(accumulate((len(p.examples) for p in ranked), initial=len(ranked)))
        descriptions = vectors[: len(ranked)] * described[:, None]
        centroids = np.zeros_like(descriptions)
        for row, (start, end) in enumerate(bounds):
            centroids[row] = centroid(vectors[start:end])
        parts = described.astype(int) + centroids.any(axis=1)
        combined = (descriptions + centroids) / np.maximum(parts, 1)[:, None]
        return cls(tuple(profile.name for profile in ranked), descriptions, combined.astype(np.float32))

    def description_cosines(self, vectors: Vectors) -> Scores:
        """Return the cosines of `n` texts and the descriptions, of shape `(n, experts)`. O(n experts d)."""
        return _product(vectors, self.descriptions)

    def question_scores(self, vectors: Vectors) -> Scores:
        """Return the scores of `n` questions, of shape `(n, experts)`. O(n experts d)."""
        return _product(vectors, self.profiles)


def centroid(vectors: Vectors) -> Vectors:
    """Return the unit vector of the mean of `(n, d)` vectors, or zeros if there are none or they cancel out."""
    total = vectors.sum(axis=0)
    norm = np.linalg.norm(total)
    return np.asarray(total / norm if norm > 0 else np.zeros_like(total), dtype=np.float32)


def _product(vectors: Vectors, experts: Vectors) -> Scores:
    if not len(experts):  # nothing was encoded, so the number of dimensions is not known
        return np.zeros((len(vectors), 0))
    return np.asarray(vectors @ experts.T, dtype=np.float64)
