"""Deterministic encoders for tests."""

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from compllm.router.base import Vectors

_STOP = {"a", "an", "the", "in", "who", "about", "answers", "questions", "expert", "what", "is", "of", "and"}


class WordEncoder:
    """Sums one random direction for each word, so that texts that share words are close."""

    name = "words"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        vectors = np.array([self._sum(text) for text in texts], dtype=np.float32).reshape(len(texts), 128)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))

    def _sum(self, text: str) -> Vectors:
        words = [word for word in re.findall(r"[a-z]+", text.lower()) if word not in _STOP] or ["nothing"]
        return np.asarray(np.sum([_direction(word) for word in words], axis=0))


class TableEncoder:
    """Looks the vectors up; what is not in the table is the last axis."""

    name = "table"

    def __init__(self, table: Mapping[str, Sequence[float]]) -> None:
        self._table = table

    def encode(self, texts: Sequence[str]) -> Vectors:
        size = len(next(iter(self._table.values())))
        rows = [self._table.get(text, [0.0] * (size - 1) + [1.0]) for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), size)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _direction(word: str) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(128).astype(np.float32)
