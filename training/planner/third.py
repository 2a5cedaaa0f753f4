"""The rows of the third pass: things described instead of named, lists and shared attributes, and what came before."""

from __future__ import annotations

import random
from collections.abc import Sequence

from compllm.router.onnx_encoder import OnnxEncoder
from training.planner import public, qdmr
from training.planner.banks import fields, web
from training.planner.descriptions import described, described_further, descriptions
from training.planner.examples import Example, Question
from training.planner.frames import framed
from training.planner.independent import shared_head, two_of_one
from training.planner.own import NO_PRONOUN, SEED, many, whole
from training.planner.sets import agreed, balanced, known, retag, sane, single_questions
from training.planner.tagger import Tagger

BREAK = "break_highlevel_dev"
_REHEARSED = 8500


def third_pass(
    second: Sequence[Example], sets: dict[str, list[public.Row]], held: dict[str, list[Example]]
) -> list[Example]:
    """Return the rows of the third pass; with Break among the sets, its bridges too, some of them put into `held`.

    Of Break the questions of HotpotQA are trained on, and those of ComplexWebQuestions held out as a family.
    """
    rng = random.Random(SEED + 2)
    rows = rng.sample(list(second), min(_REHEARSED, len(second))) + own_rows(rng)
    if BREAK in sets:
        tagger = Tagger(OnnxEncoder(), known(_bank(sets, rng), rng))
        by_hotpot = [row for row in sets[BREAK] if "HOTPOT" in row["id"]]
        by_web = [row for row in sets[BREAK] if "CWQ" in row["id"]]
        held["described"] = retag(qdmr.bridges(by_web, "Break"), tagger)
        rows += retag(qdmr.bridges(by_hotpot, "Break"), tagger)
        left = qdmr.single_steps(by_hotpot)
        rows += [whole(Question(t, tag), "Break") for t, tag in zip(left, tagger.tags(left), strict=True)]
    rng.shuffle(rows)
    return rows


def own_rows(rng: random.Random) -> list[Example]:
    """Return the new rows of this project: described things, each also alone, lists, pairs and noble houses."""
    bank, net = descriptions(), web(random.Random(SEED), held_out=False)
    asking = [field for field in fields() if field.tag not in NO_PRONOUN]
    rows = [whole(thing.question, "compllm") for thing in bank]
    rows += many(1400, lambda: described(bank, rng))
    rows += many(300, lambda: described_further(bank, net, rng))
    rows += many(280, lambda: framed("lists", rng))
    rows += many(340, lambda: framed("pairs", rng))
    rows += many(200, lambda: framed("houses", rng))
    rows += many(200, lambda: shared_head(rng.choice(asking), rng))
    return rows + many(100, lambda: two_of_one(rng.choice(asking), rng))


def _bank(sets: dict[str, list[public.Row]], rng: random.Random) -> list[public.Single]:
    kept = balanced(sane(single_questions(sets)), rng, 330)
    return agreed(kept, Tagger(OnnxEncoder(), known(kept, rng)))
