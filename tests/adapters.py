"""LoRA adapters made on the spot, for a model whose header is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compllm.experts.embedded.footprint import GgufHeader

RANK = 4


def write_adapter(
    path: Path, base: GgufHeader, strength: float, *, seed: int = 0, architecture: str = "llama", kind: str = "adapter"
) -> Path:
    """Write a random adapter of every matrix of the model's blocks; with strength 0 it changes nothing."""
    import gguf

    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    for name, shape in base.shapes.items():
        if name.startswith("blk.") and len(shape) == 2:
            width, height = shape
            down = random.normal(size=(RANK, width)) / np.sqrt(width)
            up = random.normal(size=(height, RANK)) * strength
            writer.add_tensor(f"{name}.lora_a", down.astype(np.float16))
            writer.add_tensor(f"{name}.lora_b", up.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
