"""Names and layout of LoRA tensors: peft's, and those of llama.cpp's adapter files (`convert_lora_to_gguf.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

_PEFT = re.compile(r"\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight$")
_PLACED = re.compile(r"blk\.(\d+)\.(\w+)\.weight\.lora_([ab])$")
_GGUF = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
_MODULES = {place: ("mlp." if place.startswith("ffn") else "self_attn.") + name for name, place in _GGUF.items()}


def gguf_name(peft_name: str) -> str:
    """Return llama.cpp's name of an adapter tensor.

    Raises:
        ValueError: the tensor is none of a linear layer of a llama model.
    """
    found = _PEFT.search(peft_name)
    if found is None or found[2] not in _GGUF:
        raise ValueError(f"llama.cpp knows no adapter tensor {peft_name!r}")
    return f"blk.{found[1]}.{_GGUF[found[2]]}.weight.lora_{found[3].lower()}"


def peft_name(gguf_name: str) -> str:
    """Return peft's name of an adapter tensor of llama.cpp.

    Raises:
        ValueError: the tensor is none of a linear layer of a llama model.
    """
    found = _PLACED.match(gguf_name)
    if found is None or found[2] not in _MODULES:
        raise ValueError(f"peft knows no adapter tensor {gguf_name!r}")
    return f"base_model.model.model.layers.{found[1]}.{_MODULES[found[2]]}.lora_{found[3].upper()}.weight"


def interleave_heads(rows: Matrix, heads: int) -> Matrix:
    """Return the output rows of a query or key matrix in llama.cpp's rotary order.

    transformers rotates the two halves of a head against each other, llama.cpp neighbouring rows: row i of the first
    half and row i of the second become rows 2i and 2i+1.
    """
    size = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, size, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def part_heads(rows: Matrix, heads: int) -> Matrix:
    """Return the rows of a query or key matrix in transformers' order: what `interleave_heads` began with."""
    size = rows.shape[0] // heads // 2
    return rows.reshape(heads, size, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


@dataclass(frozen=True, slots=True)
class Heads:
    """How many query heads and key heads a layer has."""

    query: int
    key: int

    def of(self, tensor: str) -> int | None:
        """Return how many heads the rows of one of llama.cpp's adapter tensors make, None if they make none."""
        return {"attn_q.weight.lora_b": self.query, "attn_k.weight.lora_b": self.key}.get(tensor.split(".", 2)[2])


def gguf_tensors(
    tensors: Iterable[tuple[str, Matrix]], heads: Heads | None
) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Yield an adapter's tensors as llama.cpp reads them, in F16, in the order of their names.

    `heads` are those of a model that llama.cpp rotates in its own order (llama), none where it keeps transformers' own
    (gemma3).

    Raises:
        ValueError: a tensor has no place in llama.cpp's model.
    """
    for name, matrix in sorted((gguf_name(name), matrix) for name, matrix in tensors):
        count = heads.of(name) if heads else None
        yield name, np.ascontiguousarray(interleave_heads(matrix, count) if count else matrix, np.float16)


def peft_tensors(
    tensors: Iterable[tuple[str, NDArray[np.float16]]], heads: Heads | None
) -> Iterator[tuple[str, Matrix]]:
    """Yield the tensors of an adapter file as peft reads them, in float32: the way back from `gguf_tensors`.

    Raises:
        ValueError: a tensor is none of a linear layer of a llama model.
    """
    for name, halved in tensors:
        count, matrix = heads.of(name) if heads else None, halved.astype(np.float32)
        yield peft_name(name), np.ascontiguousarray(part_heads(matrix, count) if count else matrix)


def weighted_mean(adapters: Sequence[tuple[float, Mapping[str, Matrix]]]) -> dict[str, Matrix]:
    """Return the mean of adapters with the same tensors, each with its share.

    Raises:
        ValueError: the shares do not add up to 1, or the tensors differ.
    """
    if abs(sum(share for share, _ in adapters) - 1.0) > 1e-6:
        raise ValueError("the shares of adapters must add up to 1")
    if len({frozenset((name, each.shape) for name, each in tensors.items()) for _, tensors in adapters}) != 1:
        raise ValueError("adapters of different layers or ranks have no mean")
    parts = {name: [np.float32(share) * each[name] for share, each in adapters] for name in adapters[0][1]}
    return {name: np.sum(scaled, axis=0, dtype=np.float32) for name, scaled in parts.items()}
