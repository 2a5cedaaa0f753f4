"""An encoder that encodes no question twice: routing wants its vector, and so does every document index."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

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

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return L2-normalised float32 vectors of shape `(len(texts), d)`.

        Raises:
            RoutingError: as the encoder does.
        """
        if not 0 < len(texts) <= _MOST_TEXTS:
            return self._encoder.encode(texts)
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= zip(new, self._encoder.encode(new), strict=True)
            self._keep(known)
        return np.stack([known[text] for text in texts])

    def _keep(self, known: dict[str, Vectors]) -> None:
        with self._lock:
            self._vectors |= known
            while len(self._vectors) > _KEPT_TEXTS:
                self._vectors.popitem(last=False)
