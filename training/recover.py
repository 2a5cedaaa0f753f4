"""Makes a checkpoint of an adapter file, to train on from it or to average it: the way back from `training.export`.

python -m training.recover planner.gguf checkpoints/bundled
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
from peft import LoraConfig
from safetensors.numpy import save_file

from compllm.experts.embedded.weights import bundled_source
from training.export import architecture
from training.lora.tensors import peft_tensors


def recover(base: Path, adapter: Path, target: Path) -> None:
    """Write the adapter of a GGUF file to a new folder, as peft saves one."""
    reader, (_, heads) = gguf.GGUFReader(adapter), architecture(base)
    tensors = dict(peft_tensors(((tensor.name, tensor.data) for tensor in reader.tensors), heads))
    inner = {name.removesuffix(".lora_A.weight"): each for name, each in tensors.items() if ".lora_A." in name}
    alpha = float(reader.fields[gguf.Keys.Adapter.LORA_ALPHA].contents())
    ranks = {matrix.shape[0] for matrix in inner.values()}
    if len(ranks) != 1:
        raise ValueError(f"{adapter} has no one rank, but {sorted(ranks)}")
    modules = sorted({name.rpartition(".")[2] for name in inner})
    target.mkdir(parents=True)
    LoraConfig(r=ranks.pop(), lora_alpha=int(alpha), target_modules=modules).save_pretrained(str(target))
    save_file(tensors, target / "adapter_model.safetensors", metadata={"format": "pt"})


def main() -> None:
    """Recover and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("adapter", type=Path, help="a GGUF file that `training.export` wrote")
    parser.add_argument("target", type=Path, help="a new folder")
    parser.add_argument("--base", type=Path, help="GGUF file of the model; default: the bundled one")
    arguments = parser.parse_args()
    recover(arguments.base or bundled_source(), arguments.adapter, arguments.target)


if __name__ == "__main__":
    main()
