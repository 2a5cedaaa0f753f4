"""The rows of the fourth pass: dependent questions beside others, many more handwritten ones, and what came before."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from compllm.router.onnx_encoder import OnnxEncoder
from training.planner import public
from training.planner.banks import fields, web
from training.planner.bridges import bridge
from training.planner.comparisons import comparison
from training.planner.descriptions import described, described_further, descriptions
from training.planner.events import events_compared
from training.planner.examples import Example, Question
from training.planner.independent import together
from training.planner.own import SEED, by_hand, many, plain, whole
from training.planner.sets import asked, confirmed

_REHEARSED, _WHOLE = 3500, 2000


def fourth_pass(
    second: Sequence[Example],
    third: Sequence[Example],
    sets: dict[str, list[public.Row]],
    held: dict[str, list[Example]],
) -> list[Example]:
    """Return the rows of the fourth pass; with public sets, their single questions stand beside the dependent ones.

    StrategyQA comes from the second pass, whole: the third had cut it, and lost more there than elsewhere.
    """
    rng = random.Random(SEED + 3)
    strategies = [example for example in second if example.shape == "StrategyQA"]
    wholes = [example for example in third if example.shape == "whole"]
    others = [example for example in third if example.shape not in ("whole", "StrategyQA")]
    beside = [question for field in fields() for question in field.questions()]
    if sets:
        never = asked((example for examples in held.values() for example in examples), sets)
        beside += [single.question for single in confirmed(sets, never, OnnxEncoder(), rng)]
    rows = strategies + rng.sample(wholes, min(_WHOLE, len(wholes))) + rng.sample(others, min(_REHEARSED, len(others)))
    rows += mixed(beside, rng) + by_hand("fourth")
    rng.shuffle(rows)
    return rows


def mixed(beside: Sequence[Question], rng: random.Random) -> list[Example]:
    """Return questions that ask something dependent and something else: `beside` holds the single questions."""
    bank, net = descriptions(), web(random.Random(SEED), held_out=False)

    def single() -> Example:
        return plain(lambda: whole(rng.choice(beside), "compllm"))

    def of_description() -> Example:
        return plain(lambda: described(bank, rng))

    def of_name() -> Example:
        return plain(lambda: bridge(net, rng, hops=1))

    def of_two() -> Example:
        return plain(lambda: comparison(net, rng))

    plans: list[tuple[int, Sequence[Callable[[], Example]]]] = [
        (420, (of_description, single)),
        (120, (of_description, single, single)),
        (120, (of_description, of_description)),
        (80, (of_description, of_name)),
        (80, (of_description, of_two)),
        (120, (lambda: plain(lambda: described_further(bank, net, rng)), single)),
        (220, (of_name, single)),
        (80, (of_name, single, single)),
        (100, (lambda: plain(lambda: bridge(net, rng, hops=2)), single)),
        (120, (of_two, single)),
        (120, (lambda: plain(lambda: events_compared(net, rng)), single)),
    ]
    return [example for count, makers in plans for example in many(count, _together(makers, rng))]


def _together(makers: Sequence[Callable[[], Example]], rng: random.Random) -> Callable[[], Example]:
    return lambda: together([make() for make in makers], rng)
