"""Builds the rows that train the planner, and the files that measure it.

    python -m training.planner.build --out planner.jsonl --heldout heldout/ [FILES...]

FILES are public sets by their file names: strategyqa_train, 2wiki_dev200, compositional_celebrities_subset,
compound_multi_expert (decompositions); expert_short_qa, bench12, clinc150 (single questions). Without them the rows are
those of this project alone.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from compllm.router.onnx_encoder import OnnxEncoder
from training.planner import public
from training.planner.banks import Field, fields, web, written
from training.planner.bridges import bridge
from training.planner.comparisons import bridged_comparison, comparison, join
from training.planner.examples import Example, Question, is_writable, normalised, plan_of
from training.planner.frames import framed
from training.planner.independent import independent, shared_head, two_of_one
from training.planner.public import Single
from training.planner.tagger import Tagger

HERE = Path(__file__).parent
SEED = 7
HELD_CATEGORIES = (
    "birthyear_nobelLiterature", "birthyear_masterchamp", "birthplace_ccn3", "birthplace_urd_common_name", "birthplace_tld",
)  # fmt: skip


def main() -> None:
    """Build, report and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the training rows, JSON lines")
    parser.add_argument("--heldout", type=Path, required=True, help="the directory of the held-out decompositions")
    parser.add_argument("files", type=Path, nargs="*", help="public sets")
    arguments = parser.parse_args()
    sets = {path.stem: public.read(path) for path in arguments.files}
    train, held = build(sets)
    arguments.heldout.mkdir(parents=True, exist_ok=True)
    for name, examples in held.items():
        write(arguments.heldout / f"{name}.jsonl", [decomposition(e, f"{name}-{n}") for n, e in enumerate(examples)])
    rows = [example.row() for examples in held.values() for example in spread(examples, 60)]
    write(arguments.out.with_suffix(".heldout.jsonl"), rows)
    write(arguments.out, [example.row() for example in train])
    report(train, held)


def write(path: Path, rows: Iterable[object]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    part.replace(path)


def spread(examples: Sequence[Example], count: int) -> Sequence[Example]:
    """Return about `count` examples, evenly from the whole."""
    return examples[:: max(1, len(examples) // count)][:count]


def decomposition(example: Example, name: str) -> dict[str, object]:
    """Return an example in the format of decomposition files."""
    steps = [
        {"id": f"s{s.id}", "question": s.text, "depends_on": [f"s{n}" for n in s.parents], "domain": s.tag}
        for s in example.plan.steps
    ]
    return {"id": name, "kind": example.shape, "question": example.question, "sub_queries": steps}


def report(train: Sequence[Example], held: dict[str, list[Example]]) -> None:
    """Print the counts by source and by shape."""
    print(f"{len(train)} rows")
    for title, key in (("shape", lambda e: e.shape), ("source", lambda e: e.source.split(" (")[0])):
        for name, count in Counter(map(key, train)).most_common(45):
            print(f"  {title} {name}: {count}")
    print("held out:", {name: len(examples) for name, examples in held.items()})


def build(sets: dict[str, list[public.Row]]) -> tuple[list[Example], dict[str, list[Example]]]:
    """Return the training examples in mixed order, and the held-out ones by name."""
    rng = random.Random(SEED)
    own_train, own_held = own(rng)
    held: dict[str, list[Example]] = {"shapes": own_held, "twohop": [], "compound": [], "strategyqa": [], "whole": []}
    train = list(own_train)
    if sets:
        train += from_public(sets, held, rng)
    kept = deduplicated(train, held)
    rng.shuffle(kept)
    return kept, held


def deduplicated(train: Iterable[Example], held: dict[str, list[Example]]) -> list[Example]:
    """Return the writable examples, each question once and none that is held out; print what was removed."""
    seen = {normalised(example.question) for examples in held.values() for example in examples}
    kept, twice, broken = [], 0, 0
    for example in train:
        key = normalised(example.question)
        if not is_writable(example):
            broken += 1
        elif key in seen:
            twice += 1
        else:
            seen.add(key)
            kept.append(example)
    print(f"removed: {twice} that are there already or held out, {broken} that the grammar cannot write")
    return kept


def many(count: int, make: Callable[[], Example]) -> list[Example]:
    """Return what `make` makes, so many times."""
    return [make() for _ in range(count)]


def whole(question: Question, source: str) -> Example:
    """Return a question that stays whole."""
    return Example(question.text, plan_of([question]), source, "whole")


def own(rng: random.Random) -> tuple[list[Example], list[Example]]:
    """Return the project's own examples: for training, and held out (other names, other questions, other wordings)."""
    every = fields()
    bank, kept = halves([q for field in every for q in field.questions()], rng, 0.1)
    train = [whole(question, "compllm") for question in rng.sample(bank, min(1000, len(bank)))]
    train += own_shapes(bank, every, rng, held_out=False, scale=1.0)
    train += written(HERE / "handwritten.txt")
    held = own_shapes(kept, every, rng, held_out=True, scale=0.02)
    return train, held + written(HERE / "heldout" / "shapes.txt")


def halves(items: Sequence[Question], rng: random.Random, share: float) -> tuple[list[Question], list[Question]]:
    """Return the items in two parts, the second a random share."""
    shuffled = rng.sample(list(items), len(items))
    cut = round(share * len(items))
    return shuffled[cut:], shuffled[:cut]


def own_shapes(
    bank: Sequence[Question], every: Sequence[Field], rng: random.Random, *, held_out: bool, scale: float
) -> list[Example]:
    """Return generated examples of every shape, in the proportions of training times `scale`."""
    net = web(random.Random(SEED), held_out=held_out)
    asking = [field for field in every if field.tag not in ("music player", "smart home", "calendar", "philosophy", "pediatrics")]
    plans: list[tuple[int, Callable[[], Example]]] = [
        (330, lambda: independent(bank, rng, "compllm", count=2)),
        (190, lambda: independent(bank, rng, "compllm", count=3)),
        (80, lambda: independent(bank, rng, "compllm", count=4)),
        (60, lambda: independent(bank, rng, "compllm", count=5)),
        (260, lambda: shared_head(rng.choice(asking), rng)),
        (90, lambda: two_of_one(rng.choice(asking), rng)),
        (1050, lambda: bridge(net, rng, hops=1)),
        (420, lambda: bridge(net, rng, hops=2)),
        (100, lambda: bridge(net, rng, hops=3)),
        (420, lambda: comparison(net, rng)),
        (230, lambda: bridged_comparison(net, rng)),
        (170, lambda: framed("influence", rng)),
        (120, lambda: framed("intersection", rng)),
        (190, lambda: framed("howto", rng)),
        (130, lambda: framed("case", rng)),
        (80, lambda: framed("kinship", rng)),
        (260, lambda: framed("mixed", rng)),
    ]
    return [example for count, make in plans for example in many(max(1, round(count * scale)), make)]


def from_public(sets: dict[str, list[public.Row]], held: dict[str, list[Example]], rng: random.Random) -> list[Example]:
    """Return the training examples of the public sets; put those held out into `held`."""
    compound = public.examples(sets["compound_multi_expert"], "compound")
    rng.shuffle(compound)
    held["compound"], train = compound[: len(compound) // 3], compound[len(compound) // 3 :]
    forbidden = {normalised(s.text) for e in held["compound"] for s in e.plan.steps}
    forbidden |= {normalised(row["question"]) for row in sets["bench12"] if row["split"] == "test"}
    bank = public.without(public.singles([*sets["expert_short_qa"], *calibration(sets["bench12"])]), forbidden)
    bank = sane(bank)
    tagger = Tagger(OnnxEncoder(), known(bank, rng))
    bank = [s for s, tag in zip(bank, tagger.tags([s.question.text for s in bank]), strict=True) if tag == s.question.tag]
    bank = balanced(bank, rng)
    print("single questions by field:", Counter(s.question.tag for s in bank))
    held["whole"] = [whole(s.question, s.source) for s in bank[:200]]
    bank = bank[200:]
    train += composed(bank, rng)
    train += [whole(s.question, s.source) for s in rng.sample(bank, min(1150, len(bank)))]
    train += commands(sets["clinc150"], rng)
    return train + two_hops(sets, held, tagger, rng) + strategies(sets["strategyqa_train"], held, tagger, rng)


def calibration(rows: Iterable[public.Row]) -> list[public.Row]:
    """Return the rows that are not for testing."""
    return [row for row in rows if row["split"] != "test"]


def sane(bank: Iterable[Single]) -> list[Single]:
    """Return the questions that can be asked alone."""
    return [s for s in bank if not any(word in s.question.text for word in ("following", "TAT-QA", "___"))]


def known(bank: Sequence[Single], rng: random.Random) -> list[Question]:
    """Return questions of every broad field for the tagger to compare with."""
    broad = set(public.TAGS.values()) | {"cooking"}
    own_fields = [q for field in fields() if field.tag in broad for q in field.questions()]
    by_tag: dict[str, list[Question]] = {}
    for single in bank:
        by_tag.setdefault(single.question.tag, []).append(single.question)
    return own_fields + [q for questions in by_tag.values() for q in rng.sample(questions, min(170, len(questions)))]


def balanced(bank: Sequence[Single], rng: random.Random, most: int = 330) -> list[Single]:
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
    return made + public.letters(bank, rng, 480)


def commands(rows: Sequence[public.Row], rng: random.Random) -> list[Example]:
    """Return requests to an assistant, which stay whole."""
    fitting = [row for row in rows if row["domain"] in public.COMMAND_TAGS and row["split"] == "train"]
    return [
        whole(Question(row["question"], public.COMMAND_TAGS[row["domain"]]), "CLINC150")
        for row in rng.sample(fitting, 180)
    ]


def two_hops(
    sets: dict[str, list[public.Row]], held: dict[str, list[Example]], tagger: Tagger, rng: random.Random
) -> list[Example]:
    """Return comparisons of 2WikiMultihopQA and some categories of the celebrities; hold out the rest."""
    wiki = sets["2wiki_dev200"]
    chained = [row for row in wiki if row["type"] == "compositional" and row["sub_queries"][-1]["depends_on"]]
    celebrities = rng.sample(sets["compositional_celebrities_subset"], 1000)
    kept = [row for row in celebrities if row["category"] in HELD_CATEGORIES][:90]
    used = [row for row in celebrities if row["category"] not in HELD_CATEGORIES][:120]
    held["twohop"] = retag(public.examples([*chained, *kept], "bridge-2"), tagger)
    held["twohop"] += written(HERE / "heldout" / "twohop.txt")
    train = [made for row in wiki if "compar" in row["type"] and (made := public.compared(row))]
    return train + [public.by_subject(e) for e in public.examples(used, "compositional celebrities")]


def retag(examples: Sequence[Example], tagger: Tagger) -> list[Example]:
    """Return the examples with fields for their steps."""
    return public.tagged(examples, tagger.tags([s.text for e in examples for s in e.plan.steps]))


def strategies(
    rows: Sequence[public.Row], held: dict[str, list[Example]], tagger: Tagger, rng: random.Random
) -> list[Example]:
    """Return the rows of StrategyQA with two to six steps; hold out 240."""
    fitting = public.examples([row for row in rows if 2 <= len(row["sub_queries"]) <= 6], "StrategyQA")
    found = retag(rng.sample(fitting, len(fitting)), tagger)
    held["strategyqa"] = found[:240]
    return found[240:]


if __name__ == "__main__":
    main()
