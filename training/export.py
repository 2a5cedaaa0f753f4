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
from training.lora.tensors import Heads, gguf_tensors


def architecture(model: Path) -> tuple[str, Heads | None]:
    """Return a GGUF file's architecture and, if its rotary order is that of llama, its query and key heads."""
    fields = gguf.GGUFReader(model).fields
    arch = str(fields[gguf.Keys.General.ARCHITECTURE].contents())
    if arch != "llama":
        return arch, None
    names = (gguf.Keys.Attention.HEAD_COUNT, gguf.Keys.Attention.HEAD_COUNT_KV)
    query, key = (int(fields[name.format(arch=arch)].contents()) for name in names)
    return arch, Heads(query, key)


def export(base: Path, checkpoint: Path, target: Path, name: str, description: str, licence: str) -> None:
    """Write the adapter that peft saved in `checkpoint` to `target`: matrices in F16."""
    config: dict[str, Any] = json.loads((checkpoint / "adapter_config.json").read_text("utf-8"))
    arch, heads = architecture(base)
    writer = gguf.GGUFWriter(target, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(config["lora_alpha"]))
    writer.add_name(name)
    writer.add_description(description)
    writer.add_license(licence)
    adapter = load_file(checkpoint / "adapter_model.safetensors")
    for tensor, values in gguf_tensors(adapter.items(), heads):
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
    parser.add_argument("--base", type=Path, help="GGUF file of the model; default: the bundled one")
    parser.add_argument("--licence", default="Apache-2.0", help="what the file says of its licence")
    arguments = parser.parse_args()
    base = arguments.base or bundled_source()
    checkpoint = chosen(arguments.checkpoint)
    export(base, checkpoint, arguments.target, arguments.name, arguments.description, arguments.licence)


if __name__ == "__main__":
    main()
