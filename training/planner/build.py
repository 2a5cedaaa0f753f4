"""Builds the rows that train the planner, and the files that measure it.

    python -m training.planner.build --out planner.jsonl --heldout heldout/ [FILES...]

FILES are public sets by their file names: strategyqa_train, 2wiki_dev200, compositional_celebrities_subset,
compound_multi_expert, break_highlevel_dev (decompositions); expert_short_qa, bench12, clinc150 (single questions).
Without them the rows are those of this project alone. The rows of the second to the eighth pass are written beside
the first, to `planner.second.jsonl` and so on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from training.planner import public
from training.planner.eighth import eighth_pass
from training.planner.examples import Example, is_writable, normalised
from training.planner.fifth import fifth_pass
from training.planner.fourth import fourth_pass
from training.planner.own import SEED, by_hand, own
from training.planner.second import second_pass
from training.planner.sets import from_public
from training.planner.seventh import seventh_pass
from training.planner.sixth import sixth_pass
from training.planner.third import third_pass


def main() -> None:
    """Build, report and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the training rows, JSON lines")
    parser.add_argument("--heldout", type=Path, required=True, help="the directory of the held-out decompositions")
    parser.add_argument("files", type=Path, nargs="*", help="public sets")
    arguments = parser.parse_args()
    sets = {path.stem: public.read(path) for path in arguments.files}
    train, held = build(sets)
    passes = later_passes(train, sets, held)
    arguments.heldout.mkdir(parents=True, exist_ok=True)
    for name, examples in held.items():
        write(arguments.heldout / f"{name}.jsonl", [decomposition(e, f"{name}-{n}") for n, e in enumerate(examples)])
    rows = [example.row() for examples in held.values() for example in spread(examples, 60)]
    write(arguments.out.with_suffix(".heldout.jsonl"), rows)
    for number, examples in {"": train, **passes}.items():
        path = arguments.out.with_suffix(f".{number}.jsonl" if number else ".jsonl")
        write(path, [example.row() for example in examples])
        report(path.name, examples)
    print("held out:", {name: len(examples) for name, examples in held.items()})


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


def report(name: str, train: Sequence[Example]) -> None:
    """Print the counts by source and by shape."""
    print(f"{name}: {len(train)} rows")
    for title, key in (("shape", lambda e: e.shape), ("source", lambda e: e.source.split(" (")[0])):
        for each, count in Counter(map(key, train)).most_common(45):
            print(f"  {title} {each}: {count}")


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
    return repeated(kept, rng, lambda example: example.shape == "StrategyQA"), held


def later_passes(
    first: list[Example], sets: dict[str, list[public.Row]], held: dict[str, list[Example]]
) -> dict[str, list[Example]]:
    """Return the rows of every pass after the first, by its name; each is made from those before."""
    second = deduplicated(second_pass(first, sets, held), held)
    third = deduplicated(third_pass(second, sets, held), held)
    fourth = deduplicated(fourth_pass(second, third, sets, held), held)
    fifth = deduplicated(fifth_pass(first, fourth), held)
    written = set(by_hand("sixth"))
    sixth = repeated(deduplicated(sixth_pass(fifth), held), random.Random(SEED), lambda example: example in written)
    seventh = deduplicated(seventh_pass(fourth, fifth), held)
    eighth = deduplicated(eighth_pass(fourth, fifth), held)
    passes = {"second": second, "third": third, "fourth": fourth, "fifth": fifth}
    return passes | {"sixth": sixth, "seventh": seventh, "eighth": eighth}


def repeated(examples: list[Example], rng: random.Random, hard: Callable[[Example], bool]) -> list[Example]:
    """Return the examples with the hard ones twice: once in each half of the training."""
    half = len(examples) // 2
    placed = list(enumerate(examples))
    again = [(n, example) for n, example in placed if hard(example)]
    again = [(rng.randrange(half) + (half if n < half else 0), example) for n, example in again]
    return [example for _, example in sorted(placed + again, key=lambda pair: pair[0])]


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


if __name__ == "__main__":
    main()
