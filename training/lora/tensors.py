"""Names and layout of LoRA tensors: from peft's to those of llama.cpp's adapter files (`convert_lora_to_gguf.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

_PEFT = re.compile(r"\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight$")
_GGUF = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def gguf_name(peft_name: str) -> str:
    """Return llama.cpp's name of an adapter tensor.

    Raises:
        ValueError: the tensor is none of a linear layer of a llama model.
    """
    found = _PEFT.search(peft_name)
    if found is None or found[2] not in _GGUF:
        raise ValueError(f"llama.cpp knows no adapter tensor {peft_name!r}")
    return f"blk.{found[1]}.{_GGUF[found[2]]}.weight.lora_{found[3].lower()}"


def interleave_heads(rows: Matrix, heads: int) -> Matrix:
    """Return the output rows of a query or key matrix in llama.cpp's rotary order.

    transformers rotates the two halves of a head against each other, llama.cpp neighbouring rows: row i of the first
    half and row i of the second become rows 2i and 2i+1.
    """
    size = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, size, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def gguf_tensors(
    tensors: Iterable[tuple[str, Matrix]], query_heads: int, key_heads: int
) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Yield an adapter's tensors as llama.cpp reads them, in F16, in the order of their names.

    Raises:
        ValueError: a tensor has no place in llama.cpp's llama model.
    """
    for name, matrix in sorted((gguf_name(name), matrix) for name, matrix in tensors):
        heads = {"attn_q.weight.lora_b": query_heads, "attn_k.weight.lora_b": key_heads}.get(name.split(".", 2)[2])
        yield name, np.ascontiguousarray(interleave_heads(matrix, heads) if heads else matrix, np.float16)
