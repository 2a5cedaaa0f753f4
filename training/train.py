"""Trains a LoRA adapter for a model on rows of {system, user, completion}; Ctrl-C saves, --resume goes on.

    python -m training.train rows.jsonl --out checkpoints/planner --heldout heldout.jsonl --epochs 2

The same rows, options and seed give the same steps, also across a stop and a resume, as long as --epochs is what ends
the training; with --minutes the learning rate follows the clock instead.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from compllm.experts.embedded.weights import bundled_source
from training.lora.checkpoint import Position, restore, save
from training.lora.folders import chosen, latest
from training.lora.model import Trainee, halve_frozen, load_adapter, multiplies_bfloat16, new_adapter, tokenizer
from training.lora.rows import Curriculum, Encode, Example, encode_row, epoch_batches, learning_rate, read_rows

Batches = list[list[Example]]


@dataclass(frozen=True, slots=True)
class Pace:
    """When a training ends and how often it reports, measures and saves."""

    steps: int
    budget_s: float
    report_steps: int = 10
    measure_s: float = 600.0
    save_s: float = 180.0

    def progress(self, position: Position) -> float:
        """Return the share of the training that is done, by steps or by time, whichever is further."""
        return min(1.0, max(position.step / self.steps, position.elapsed_s / self.budget_s))


@dataclass(slots=True)
class Training:
    """A training under way: each step changes the adapter, the optimizer and the position together."""

    trainee: Trainee
    optimizer: AdamW
    examples: list[Example]
    curriculum: Curriculum
    pace: Pace
    peak_rate: float
    position: Position

    def step(self) -> float:
        """Learn one batch; return its mean loss per completion token."""
        began_s = time.monotonic()
        batch = [self.examples[index] for index in self.curriculum.batch(self.position.step)]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.peak_rate, self.position.step, self.pace.progress(self.position))
        loss = self.trainee.add_gradient(batch)
        clip_grad_norm_(self.trainee.parameters, 1.0)
        self.optimizer.step()
        self.position = Position(
            self.position.step + 1,
            self.position.tokens + sum(len(example.tokens) for example in batch),
            self.position.elapsed_s + time.monotonic() - began_s,
        )
        return loss


def run(training: Training, heldout: Batches, out: Path, stopped: threading.Event) -> None:
    """Train to the end of the pace or until `stopped` is set; save in between and at the end."""
    losses: list[float] = []
    measured_s = saved_s = time.monotonic()
    while training.pace.progress(training.position) < 1.0 and not stopped.is_set():
        losses.append(training.step())
        now_s = time.monotonic()
        if len(losses) == training.pace.report_steps:
            say(f"{standing(training)}, loss {sum(losses) / len(losses):.3f}")
            losses.clear()
        if heldout and now_s - measured_s > training.pace.measure_s:
            say(f"{standing(training)}, held-out loss {training.trainee.loss(heldout):.4f}")
            measured_s = time.monotonic()
        if now_s - saved_s > training.pace.save_s:
            save(out, training.trainee.model, training.optimizer, training.position)
            saved_s = time.monotonic()
    say(f"saved {save(out, training.trainee.model, training.optimizer, training.position)}")
    if heldout and not stopped.is_set():
        say(f"{standing(training)}, held-out loss {training.trainee.loss(heldout):.4f}")


def standing(training: Training) -> str:
    """Return one line on how far a training is, how fast, and how long it will still take."""
    position, progress = training.position, training.pace.progress(training.position)
    left_s = position.elapsed_s * (1.0 / progress - 1.0)
    return (
        f"step {position.step}/{training.pace.steps} ({progress:.0%}), "
        f"{position.tokens / position.elapsed_s:.0f} tokens/s, {left_s / 60:.0f} min left"
    )


def say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def fitting(path: Path, encode: Encode, max_tokens: int) -> list[Example]:
    """Return the rows of a file in tokens without those that are too long, and say how many these are."""
    with path.open(encoding="utf-8") as lines:
        examples = [encode_row(row, encode) for row in read_rows(lines)]
    kept = [example for example in examples if len(example.tokens) <= max_tokens]
    tokens, refused = sum(len(example.tokens) for example in kept), len(examples) - len(kept)
    say(f"{path.name}: {len(kept)} rows of {tokens} tokens; {refused} refused over {max_tokens} tokens")
    return kept


def begin(arguments: argparse.Namespace, examples: list[Example], trainee: Trainee) -> Training:
    """Return the training that the arguments ask for, at its start or where its newest checkpoint stands."""
    curriculum = Curriculum([len(example.tokens) for example in examples], arguments.batch_tokens, arguments.seed)
    steps = arguments.epochs * curriculum.steps_per_epoch
    pace = Pace(steps, 60.0 * arguments.minutes)
    optimizer = AdamW(trainee.parameters, weight_decay=0.0, fused=True)
    checkpoint = latest(arguments.out) if arguments.resume else None
    position = restore(checkpoint, optimizer) if checkpoint else Position()
    return Training(trainee, optimizer, examples, curriculum, pace, arguments.rate, position)


@contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, so that a step is never cut in half."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--base", type=Path, help="GGUF file of the model; default: the bundled one")
    parser.add_argument("--heldout", type=Path, help="rows to measure the loss on every ten minutes")
    parser.add_argument("--heldout-rows", type=int, default=100, help="how many of them at most")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=6e-4, help="peak learning rate")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end earlier, after this time of training")
    parser.add_argument("--batch-tokens", type=int, default=1600, help="most tokens of a batch, padding included")
    parser.add_argument("--max-tokens", type=int, default=448, help="refuse longer rows")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out, if any")
    parser.add_argument(
        "--begin", type=Path, help="checkpoint, or folder of some, whose adapter a new training begins with"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    torch.set_num_threads(1)  # the threads are over examples
    source = arguments.base or bundled_source()
    encode, _ = tokenizer(source)
    examples = fitting(arguments.rows, encode, arguments.max_tokens)
    measured = (
        fitting(arguments.heldout, encode, arguments.max_tokens)[: arguments.heldout_rows] if arguments.heldout else []
    )
    lengths = [len(example.tokens) for example in measured]
    heldout = [
        [measured[i] for i in batch] for batch in epoch_batches(lengths, arguments.batch_tokens, random.Random(0))
    ]
    checkpoint = (latest(arguments.out) if arguments.resume else None) or (
        chosen(arguments.begin) if arguments.begin else None
    )
    model = (
        load_adapter(source, checkpoint, trainable=True)
        if checkpoint
        else new_adapter(source, arguments.rank, arguments.seed)
    )
    half = multiplies_bfloat16()
    with ThreadPoolExecutor(arguments.threads) as pool, until_signalled() as stopped:
        trainee = Trainee(halve_frozen(model) if half else model, pool, arguments.threads, half)
        training = begin(arguments, examples, trainee)
        arguments.out.mkdir(parents=True, exist_ok=True)
        run(training, heldout, arguments.out, stopped)
    return 130 if stopped.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
