"""An encoder that encodes no question twice: routing wants its vector, and so does every document index."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from compllm.errors import RoutingError
from compllm.router.base import Encoder, Vectors

_KEPT_TEXTS = 512
# More texts at once are documents, which nobody asks for again.
_MOST_TEXTS = 16


class RememberingEncoder:
    """Encodes as `encoder` does, and keeps the vectors of the latest 512 texts that came few at a time."""

    def __init__(self, encoder: Encoder) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._lock = Lock()
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._dimension = 0  # of all that it has returned

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return L2-normalised float32 vectors of shape `(len(texts), d)`.

        Raises:
            RoutingError: as the encoder does, or it makes vectors of another length than before.
        """
        if not 0 < len(texts) <= _MOST_TEXTS:
            return self._encoded(texts)
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= zip(new, self._encoded(new), strict=True)
            self._keep(known)
        return np.stack([known[text] for text in texts])

    def _encoded(self, texts: Sequence[str]) -> Vectors:
        vectors = self._encoder.encode(texts)
        if texts:
            with self._lock:
                before = self._dimension = self._dimension or vectors.shape[1]
            if vectors.shape[1] != before:
                raise RoutingError(
                    f"the encoder {self.name} now makes vectors of {vectors.shape[1]} numbers, not of {before} as "
                    "before: restart, so that everything is compared by the same one"
                )
        return vectors

    def _keep(self, known: dict[str, Vectors]) -> None:
        with self._lock:
            self._vectors |= known
            while len(self._vectors) > _KEPT_TEXTS:
                self._vectors.popitem(last=False)
