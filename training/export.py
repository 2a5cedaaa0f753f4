"""Writes the adapter of a checkpoint as a GGUF file that llama.cpp loads; the same checkpoint gives the same bytes.

python -m training.export checkpoints/planner/step-000600 planner.gguf --name planner --description "splits questions"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
from safetensors.numpy import load_file

from compllm.experts.embedded.weights import bundled_source
from training.lora.folders import chosen
from training.lora.tensors import gguf_tensors


def head_counts(model: Path) -> tuple[int, int]:
    """Return a llama GGUF file's numbers of query heads and of key heads."""
    fields = gguf.GGUFReader(model).fields
    names = (gguf.Keys.Attention.HEAD_COUNT, gguf.Keys.Attention.HEAD_COUNT_KV)
    query, key = (int(fields[name.format(arch="llama")].contents()) for name in names)
    return query, key


def export(checkpoint: Path, target: Path, name: str, description: str) -> None:
    """Write the adapter that peft saved in `checkpoint` to `target`: matrices in F16, licence Apache-2.0."""
    config: dict[str, Any] = json.loads((checkpoint / "adapter_config.json").read_text("utf-8"))
    query_heads, key_heads = head_counts(bundled_source())
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(config["lora_alpha"]))
    writer.add_name(name)
    writer.add_description(description)
    writer.add_license("Apache-2.0")
    adapter = load_file(checkpoint / "adapter_model.safetensors")
    for tensor, values in gguf_tensors(adapter.items(), query_heads, key_heads):
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint, or the folder whose newest is taken")
    parser.add_argument("target", type=Path)
    parser.add_argument("--name", required=True, help="what the file calls itself")
    parser.add_argument("--description", required=True, help="what the adapter is for, in one line")
    arguments = parser.parse_args()
    export(chosen(arguments.checkpoint), arguments.target, arguments.name, arguments.description)


if __name__ == "__main__":
    main()
