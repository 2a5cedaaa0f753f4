"""LoRA adapters: small files of differences to a model's matrices, loaded beside it and chosen by each request."""

from __future__ import annotations

from pathlib import Path

from compllm.errors import ConfigError
from compllm.experts.embedded.footprint import GgufHeader, read_header

# The names of an adapter's two factors of a matrix, and the dimension that each shares with it (GGUF order).
_FACTORS = {".lora_a": 0, ".lora_b": 1}
_TRANSPOSED = "token_embd.weight"


def check_adapter(path: Path, base: GgufHeader) -> None:
    """Check, from the headers alone, that a file is a LoRA adapter for a model.

    Raises:
        ConfigError: it is not GGUF, not an adapter, or one for another model.
    """
    header = read_header(path)
    if (header.metadata.get("general.type"), header.metadata.get("adapter.type")) != ("adapter", "lora"):
        raise ConfigError(f"{path} is not a LoRA adapter; convert one with llama.cpp's convert_lora_to_gguf.py")
    theirs, ours = (each.metadata.get("general.architecture") for each in (header, base))
    if theirs != ours:
        raise ConfigError(f"the adapter {path} is for the architecture {theirs!r}, its model has {ours!r}")
    for name, shape in header.shapes.items():
        if not _fits(name, shape, base):
            raise ConfigError(f"the adapter {path} is for another model: {name} has no matrix of its size")


def _fits(name: str, shape: tuple[int, ...], base: GgufHeader) -> bool:
    matrix, dot, suffix = name.rpartition(".")
    if matrix == _TRANSPOSED:
        return True
    shared = _FACTORS.get(dot + suffix)
    whole = base.shapes.get(matrix, ())
    return shared is not None and len(whole) > shared and len(shape) > shared and whole[shared] == shape[shared]
