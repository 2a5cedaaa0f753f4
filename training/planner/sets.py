"""The part of the training data that comes from public sets, and what of them is held out."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence

from compllm.router.onnx_encoder import OnnxEncoder
from training.planner import public
from training.planner.banks import fields, web, written
from training.planner.comparisons import join
from training.planner.examples import Example, Question, normalised
from training.planner.independent import independent
from training.planner.own import HERE, SEED, many, whole
from training.planner.phrases import phrased_bridge, phrased_comparison, phrases
from training.planner.public import Single
from training.planner.tagger import Tagger

# Fields so narrow that steps of general questions should never be given to them by likeness alone.
UNKNOWN_TO_TAGGER = ("video games", "psychology")
HELD_CATEGORIES = (
    "birthyear_nobelLiterature", "birthyear_masterchamp", "birthplace_ccn3", "birthplace_urd_common_name",
    "birthplace_tld",
)  # fmt: skip


def from_public(sets: dict[str, list[public.Row]], held: dict[str, list[Example]], rng: random.Random) -> list[Example]:
    """Return the training examples of the public sets; put those held out into `held`."""
    train, held["compound"] = parted(public.examples(sets["compound_multi_expert"], "compound"), "compound")
    bank = public.without(single_questions(sets), asked(held["compound"], sets))
    held["whole"] = parted([whole(s.question, s.source) for s in bank], "whole")[1]
    bank = public.without(bank, {normalised(e.question) for e in held["whole"]})
    bank = balanced(sane(bank), rng, 480)
    tagger = Tagger(OnnxEncoder(), known(bank, rng))
    bank = agreed(bank, tagger)
    bank = balanced(bank, rng, 330)
    train += composed(bank, rng)
    train += [whole(s.question, s.source) for s in rng.sample(bank, min(2200, len(bank)))]
    train += commands(sets["clinc150"], rng)
    return train + two_hops(sets, held, rng) + strategies(sets["strategyqa_train"], held, tagger)


def parted(examples: Sequence[Example], name: str) -> tuple[list[Example], list[Example]]:
    """Return the examples for training, and those that the file of the split holds out for good."""
    held = set(json.loads((HERE / "heldout" / "split.json").read_text(encoding="utf-8"))[name])
    keys = [hashlib.sha1(normalised(e.question).encode(), usedforsecurity=False).hexdigest()[:10] for e in examples]
    pairs = list(zip(examples, keys, strict=True))
    return [e for e, key in pairs if key not in held], [e for e, key in pairs if key in held]


def single_questions(sets: dict[str, list[public.Row]]) -> list[Single]:
    """Return the single questions of the public sets that are not for testing."""
    return public.singles([*sets["expert_short_qa"], *(row for row in sets["bench12"] if row["split"] != "test")])


def asked(examples: Iterable[Example], sets: dict[str, list[public.Row]]) -> set[str]:
    """Return, normalised, what these examples ask, whole and in steps, and what is for testing."""
    texts = {normalised(text) for e in examples for text in (e.question, *(step.text for step in e.plan.steps))}
    return texts | {normalised(row["question"]) for row in sets["bench12"] if row["split"] == "test"}


def confirmed(
    sets: dict[str, list[public.Row]], without: set[str], encoder: OnnxEncoder, rng: random.Random
) -> list[Single]:
    """Return at most 150 single questions of each field whose neighbours confirm it, without those asked already."""
    bank = single_questions(sets)
    tagger = Tagger(encoder, known(bank, rng))
    return agreed(balanced(sane(public.without(bank, without)), rng, 150), tagger)


def sane(bank: Iterable[Single]) -> list[Single]:
    """Return the questions that can be asked alone."""
    return [s for s in bank if not any(word in s.question.text for word in ("following", "TAT-QA", "___"))]


def agreed(bank: Sequence[Single], tagger: Tagger) -> list[Single]:
    """Return the questions whose field their neighbours confirm; fields that the tagger does not know are believed."""
    found = tagger.tags([single.question.text for single in bank])
    pairs = zip(bank, found, strict=True)
    return [single for single, tag in pairs if single.question.tag in (tag, *UNKNOWN_TO_TAGGER)]


def known(bank: Sequence[Single], rng: random.Random) -> list[Question]:
    """Return questions of every broad field for the tagger to compare with."""
    broad = (set(public.TAGS.values()) | {"cooking"}) - set(UNKNOWN_TO_TAGGER)
    own_fields = [q for field in fields() if field.tag in broad for q in field.questions()]
    by_tag: dict[str, list[Question]] = {}
    for single in bank:
        if single.question.tag in broad:
            by_tag.setdefault(single.question.tag, []).append(single.question)
    return own_fields + [q for questions in by_tag.values() for q in rng.sample(questions, min(170, len(questions)))]


def balanced(bank: Sequence[Single], rng: random.Random, most: int) -> list[Single]:
    """Return at most so many questions of each field, in random order."""
    taken: Counter[str] = Counter()
    kept = []
    for single in rng.sample(list(bank), len(bank)):
        taken[single.question.tag] += 1
        if taken[single.question.tag] <= most:
            kept.append(single)
    return kept


def composed(bank: Sequence[Single], rng: random.Random) -> list[Example]:
    """Return new questions made of several single ones: independent, joined, and bridged by a letter."""
    questions = [single.question for single in bank]
    years = [s.question for s in bank if s.answer.isdigit() and len(s.answer) == 4]
    numbers = [s.question for s in bank if s.answer.replace(",", "").isdigit() or "How many" in s.question.text]
    counts = rng.choices((2, 3, 4, 5), (50, 28, 16, 6), k=950)
    made = [independent(questions, rng, "composed", count=count) for count in counts]
    made += many(330, lambda: join(years, numbers, rng, "composed"))
    named, net = phrases(questions), web(random.Random(SEED), held_out=False)
    made += many(750, lambda: phrased_bridge(named, net, rng))
    made += many(90, lambda: phrased_comparison(named, rng))
    return made + public.letters(bank, rng, 480)


def commands(rows: Sequence[public.Row], rng: random.Random) -> list[Example]:
    """Return requests to an assistant, which stay whole."""
    fitting = [row for row in rows if row["domain"] in public.COMMAND_TAGS and row["split"] == "train"]
    return [
        whole(Question(row["question"], public.COMMAND_TAGS[row["domain"]]), "CLINC150")
        for row in rng.sample(fitting, 300)
    ]


def two_hops(sets: dict[str, list[public.Row]], held: dict[str, list[Example]], rng: random.Random) -> list[Example]:
    """Return comparisons of 2WikiMultihopQA and some categories of the celebrities; hold out the rest."""
    wiki = sets["2wiki_dev200"]
    chained = [row for row in wiki if row["type"] == "compositional" and row["sub_queries"][-1]["depends_on"]]
    celebrities = rng.sample(sets["compositional_celebrities_subset"], 1000)
    kept = [row for row in celebrities if row["category"] in HELD_CATEGORIES][:90]
    used = [row for row in celebrities if row["category"] not in HELD_CATEGORIES][:120]
    held["twohop"] = [public.by_subject(e) for e in public.examples([*chained, *kept], "bridge-2")]
    held["twohop"] += written(HERE / "heldout" / "twohop.txt")
    train = [made for row in wiki if "compar" in row["type"] and (made := public.compared(row))]
    return train + [public.by_subject(e) for e in public.examples(used, "compositional celebrities")]


def retag(examples: Sequence[Example], tagger: Tagger) -> list[Example]:
    """Return the examples with fields for their steps."""
    return public.tagged(examples, tagger.tags([s.text for e in examples for s in e.plan.steps]))


def strategies(rows: Sequence[public.Row], held: dict[str, list[Example]], tagger: Tagger) -> list[Example]:
    """Return the rows of StrategyQA with two to six steps; hold out those of the split."""
    fitting = public.examples([row for row in rows if 2 <= len(row["sub_queries"]) <= 6], "StrategyQA")
    train, held["strategyqa"] = parted(retag(fitting, tagger), "strategyqa")
    return train
