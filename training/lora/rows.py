"""Training rows, their text, and the order in which a training sees them. Pure: the tokenizer is an argument."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Encode = Callable[[str], list[int]]
"""Text to token ids, special tokens recognised, none added."""

Decode = Callable[[list[int]], str]
"""Token ids to text without special tokens."""


@dataclass(frozen=True, slots=True)
class Row:
    """One exchange to learn: the completion that the model gives to a user's text under a system text."""

    system: str
    user: str
    completion: str

    @property
    def prompt(self) -> str:
        """The exchange up to the completion, as llama.cpp's chat endpoint renders it (ChatML)."""
        turns = (("system", self.system), ("user", self.user))
        said = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
        return f"{said}<|im_start|>assistant\n"


@dataclass(frozen=True, slots=True)
class Example:
    """A row in tokens; the first `prompt_tokens` of them bear no loss."""

    tokens: tuple[int, ...]
    prompt_tokens: int


def read_rows(lines: Iterable[str]) -> list[Row]:
    """Return the rows of JSON lines.

    Raises:
        ValueError: a line is not JSON or lacks one of the three texts; it is named.
    """
    return [_row(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(number: int, line: str) -> Row:
    try:
        fields: dict[str, Any] = json.loads(line)
        return Row(str(fields["system"]), str(fields["user"]), str(fields["completion"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"line {number} is not a training row: {error!r}") from error


def encode_row(row: Row, encode: Encode) -> Example:
    """Return a row in tokens; prompt and completion are encoded apart, because the model is given the prompt alone."""
    prompt = encode(row.prompt)
    return Example((*prompt, *encode(f"{row.completion}<|im_end|>")), len(prompt))


def epoch_batches(lengths: Sequence[int], budget_tokens: int, rng: random.Random) -> list[list[int]]:
    """Return indices in batches of similar length, each of at most `budget_tokens` with its padding, in random order.

    An example longer than the budget is a batch of its own. The batches' sizes depend on the lengths alone, so every
    epoch has the same number of them. O(n log n).
    """
    shuffled = rng.sample(range(len(lengths)), len(lengths))
    batches: list[list[int]] = []
    for index in sorted(shuffled, key=lengths.__getitem__):  # stable: examples of one length change their company
        if batches and (len(batches[-1]) + 1) * lengths[index] <= budget_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    rng.shuffle(batches)
    return batches


class Curriculum:
    """The batch of every step: a function of lengths, budget and seed, so a training may stop and go on anywhere."""

    def __init__(self, lengths: Sequence[int], budget_tokens: int, seed: int) -> None:
        if not lengths:
            raise ValueError("there is no row to train on")
        self._lengths, self._budget_tokens, self._seed = lengths, budget_tokens, seed
        self._epoch, self._batches = 0, self._shuffled(0)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches show every example once."""
        return len(self._batches)

    def batch(self, step: int) -> list[int]:
        """Return the indices of the examples of a step, counted from 0."""
        epoch, position = divmod(step, len(self._batches))
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        return self._batches[position]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        return epoch_batches(self._lengths, self._budget_tokens, random.Random(f"{self._seed}/{epoch}"))


def learning_rate(peak: float, step: int, progress: float, warmup_steps: int = 20) -> float:
    """Return the rate of a step: linear warm-up, linear decay over `progress` (0 to 1) to a twentieth of it."""
    return peak * min(1.0, (step + 1) / warmup_steps) * max(0.05, 1.0 - progress)
