"""Averages adapters of one training: what a pass unlearned, another still knows ("Model soups", Wortsman et al., 2022).

python -m training.average checkpoints/mean checkpoints/fifth=0.25 checkpoints/sixth=0.25 checkpoints/seventh=0.5
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from training.lora.tensors import weighted_mean

_ADAPTER = "adapter_model.safetensors"


def average(shares: dict[Path, float], target: Path) -> None:
    """Write the mean of the adapters in these checkpoints, each with its share, to a new folder."""
    mean = weighted_mean([(share, load_file(folder / _ADAPTER)) for folder, share in shares.items()])
    shutil.copytree(next(iter(shares)), target, ignore=shutil.ignore_patterns("optimizer.pt", "position.json"))
    save_file(mean, target / _ADAPTER, metadata={"format": "pt"})


def share(text: str) -> tuple[Path, float]:
    """Read `FOLDER=SHARE`."""
    folder, _, part = text.rpartition("=")
    return Path(folder), float(part)


def main() -> None:
    """Average and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", type=Path, help="a new folder")
    parser.add_argument("checkpoints", type=share, nargs="+", metavar="FOLDER=SHARE", help="shares add up to 1")
    arguments = parser.parse_args()
    average(dict(arguments.checkpoints), arguments.target)


if __name__ == "__main__":
    main()
