"""Checkpoints: the adapter as peft saves it, the optimizer, and where the training stands."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch.optim import Optimizer

from training.lora.folders import PREFIX


@dataclass(frozen=True, slots=True)
class Position:
    """Steps done, tokens seen and seconds spent so far, over all sittings."""

    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0


def save(out: Path, model: PeftModel, optimizer: Optimizer, position: Position) -> Path:
    """Write a checkpoint into `out`, then drop the older ones; a crash at any moment leaves a whole one."""
    target, part = out / f"{PREFIX}{position.step:06}", out / "unfinished"
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(str(part))
    torch.save(optimizer.state_dict(), part / "optimizer.pt")
    (part / "position.json").write_text(json.dumps(asdict(position)), "utf-8")
    if not target.exists():
        part.rename(target)
    for older in out.glob(f"{PREFIX}*"):
        if older != target:
            shutil.rmtree(older, ignore_errors=True)
    return target


def restore(checkpoint: Path, optimizer: Optimizer) -> Position:
    """Give the optimizer its state back and return where the training stood."""
    optimizer.load_state_dict(torch.load(checkpoint / "optimizer.pt", weights_only=True))
    return Position(**json.loads((checkpoint / "position.json").read_text("utf-8")))
