"""Writes a checkpoint that lies between two of the same training; what the later one forgot comes back in part.

    python -m training.blend checkpoints/second checkpoints/third --share 0.3 --out checkpoints/planner

Weights of one model before and after further training are averaged (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models", section 3), here the matrices A and B of each adapter, which is near the average of their products
as long as both lie on one path. Only for `training.export` and `training.verify`: it holds no optimizer to go on with.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from training.lora.folders import chosen
from training.lora.tensors import blended

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"


def blend(earlier: Path, later: Path, share: float, out: Path) -> None:
    """Write into `out` the adapter of `earlier`, moved by `share` of the way to `later`.

    Raises:
        ValueError: the share is not between 0 and 1, or the adapters differ in their matrices.
    """
    matrices = blended(load_file(earlier / _WEIGHTS), load_file(later / _WEIGHTS), share)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(later / _CONFIG, out / _CONFIG)
    save_file(matrices, out / _WEIGHTS, metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path, help="a checkpoint, or the folder whose newest is taken")
    parser.add_argument("later", type=Path, help="likewise")
    parser.add_argument("--share", type=float, default=0.5, help="how far to go to the later one, 0 to 1")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint between them")
    arguments = parser.parse_args()
    blend(chosen(arguments.earlier), chosen(arguments.later), arguments.share, arguments.out)


if __name__ == "__main__":
    main()
