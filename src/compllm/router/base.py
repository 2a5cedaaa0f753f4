"""The encoder port: what the router and the document index need from an embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors; `name` identifies the model, so that calibrations of another one are refused."""

    name: str

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return L2-normalised float32 vectors of shape `(len(texts), d)`. Blocking; safe to call from threads.

        Raises:
            RoutingError: the encoder cannot be reached or answered with something else than vectors.
        """
        ...
