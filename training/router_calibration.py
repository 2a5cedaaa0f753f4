"""Fits the calibration that ships for the bundled encoder; prints the report and writes the file.

    python training/router_calibration.py --bench bench12.jsonl --experts bench12_experts.json \
        --held-out ood.jsonl --trivia opentriviaqa.jsonl --exams mmlu_test.jsonl --commands clinc150.jsonl OUT

The questions of experts are the `calib` split of --bench; the questions for nobody are drawn from fields that no expert
has, without those in --held-out, which stay for measuring (`compllm bench route --ood`). Data and licences: NOTICE.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from compllm.core.routing import ExpertProfile, Gate
from compllm.router.calibration import LabelledQuestion, calibrate
from compllm.router.onnx_encoder import OnnxEncoder

Row = dict[str, Any]
TRIVIA_FIELDS = ("animals", "religion-faith", "video-games", "hobbies")
EXAM_FIELDS = ("business", "philosophy_religion", "psychology_sociology")
MAX_CHARACTERS = 400
CARD = (
    "Fitted on 1,200 questions of twelve general fields (history, geography, literature, music, film and television, "
    "sports, science, medicine, law, finance and economics, computer science, mathematics; 100 each) and {foreign} "
    "questions for none of them (trivia about animals, faith, games and hobbies; business, philosophy and psychology "
    "exams; assistant commands), against experts with a one-sentence description and five invented example questions. "
    "The figures are two-fold cross-fitted at the threshold 0.7."
)


def read(path: Path) -> list[Row]:
    """Return the objects of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def draw(rows: list[Row], count: int, seen: set[str], rng: random.Random) -> list[str]:
    """Return at most `count` random questions that are short and not among those seen."""
    fitting = [r["question"] for r in rows if r["question"] not in seen and len(r["question"]) < MAX_CHARACTERS]
    return rng.sample(fitting, min(count, len(fitting)))


def foreign_questions(arguments: argparse.Namespace, seen: set[str]) -> list[str]:
    """Return 900 questions that fit no expert: near ones by field, and commands to an assistant."""
    rng = random.Random(0)
    trivia, exams, commands = read(arguments.trivia), read(arguments.exams), read(arguments.commands)
    drawn: list[str] = []
    for field in TRIVIA_FIELDS:
        drawn += draw([row for row in trivia if row["domain"] == field], 100, seen, rng)
    for field in EXAM_FIELDS:
        drawn += draw([row for row in exams if field in json.dumps(row)], 40, seen, rng)
    return drawn + draw(commands, 380, seen, rng)


def main() -> None:
    """Fit, report and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bench", "experts", "held-out", "trivia", "exams", "commands"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    bench = read(arguments.bench)
    seen = {row["question"] for row in bench} | {row["question"] for row in read(arguments.held_out)}
    foreign = foreign_questions(arguments, seen)
    experts = json.loads(arguments.experts.read_text(encoding="utf-8"))
    profiles = [ExpertProfile(e["name"], "any", e["description"], tuple(e["examples"])) for e in experts]
    known = [LabelledQuestion(row["question"], row["domain"]) for row in bench if row["split"] == "calib"]
    report = calibrate(OnnxEncoder(), profiles, known + [LabelledQuestion(q, None) for q in foreign])
    print(report)
    fitted = report.calibration
    replace(
        fitted,
        temperature=float(f"{fitted.temperature:.5g}"),
        gate=Gate(**{name: float(f"{value:.5g}") for name, value in asdict(fitted.gate).items()}),
        figures={name: round(value, 3) for name, value in fitted.figures.items()},
        card=CARD.format(foreign=len(foreign)),
    ).save(arguments.out)


if __name__ == "__main__":
    main()
