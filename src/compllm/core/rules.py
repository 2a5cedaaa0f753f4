"""The numbers that the scheduler goes by."""

from __future__ import annotations

from dataclasses import dataclass, field

from compllm.core.health import Backoff


@dataclass(frozen=True, slots=True)
class Rules:
    """How patient, thrifty and fair the scheduler is.

    `max_overtakes`: how often, per device that it may use, younger nodes may start before the oldest one that wants the
    same place. `max_tries`: attempts at one expert before the next. `skip_descendants`: whether nodes that need a
    failed one are skipped; else they run with the gap named. `max_runs`: open runs beyond which no more are taken.
    `hysteresis`: for how many of its reload times a replica that is about to be needed again is spared. `patience`: how
    many times its cost the waits for a swap must add up to while there is other work. `plan_steps`: how many nodes,
    over all attempts, the search for a better order may place when a plan is closed (600: some 5 ms).
    """

    max_overtakes: int = 128
    max_tries: int = 2
    skip_descendants: bool = True
    backoff: Backoff = field(default_factory=Backoff)
    max_runs: int = 10_000
    hysteresis: float = 1.0
    patience: float = 2.0
    plan_steps: int = 600
