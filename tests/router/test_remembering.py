"""The same question is encoded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from compllm.errors import RoutingError
from compllm.router.base import Encoder, Vectors
from compllm.router.remembering import RememberingEncoder
from tests.router.encoders import WordEncoder


class Counting(WordEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return super().encode(texts)


def test_known_texts_are_not_encoded_again_and_the_order_is_kept() -> None:
    inner = Counting()
    encoder: Encoder = RememberingEncoder(inner)
    first = encoder.encode(["heart", "pulse", "heart"])
    second = encoder.encode(["glands", "pulse"])
    assert inner.texts == ["heart", "pulse", "glands"]
    assert np.array_equal(first, WordEncoder().encode(["heart", "pulse", "heart"]))
    assert np.array_equal(second, WordEncoder().encode(["glands", "pulse"]))
    assert encoder.name == inner.name


def test_many_texts_at_once_are_documents_and_not_kept() -> None:
    inner = Counting()
    encoder = RememberingEncoder(inner)
    many = [f"heart {number}" for number in range(17)]
    assert encoder.encode(many).shape == inner.encode(many).shape
    encoder.encode(many[:1])
    assert inner.texts.count(many[0]) == 3
    assert encoder.encode([]).shape[0] == 0


def test_only_the_latest_are_kept() -> None:
    inner = Counting()
    encoder = RememberingEncoder(inner)
    for number in range(513):
        encoder.encode([f"heart {number}"])
    encoder.encode(["heart 512", "heart 0"])
    assert inner.texts[513:] == ["heart 0"]


@pytest.mark.parametrize("asked", [["heart", "pulse"], ["pulse"], [f"heart {number}" for number in range(17)]])
def test_an_encoder_that_changes_is_refused(asked: list[str]) -> None:
    class Swapped(Counting):
        def encode(self, texts: Sequence[str]) -> Vectors:
            return super().encode(texts) if texts == ["heart"] else np.ones((len(texts), 3), dtype=np.float32)

    encoder = RememberingEncoder(Swapped())
    encoder.encode(["heart"])
    with pytest.raises(RoutingError, match="now makes vectors of 3 numbers, not of 128 as before: restart"):
        encoder.encode(asked)
