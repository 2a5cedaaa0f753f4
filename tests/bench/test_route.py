"""The routing bench on small invented data, and what its files and its command refuse."""

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from compllm.bench.route import run_route_bench
from compllm.bench.route_data import BenchExpert, BenchRow, OodRow, read_experts, read_ood, read_rows
from compllm.cli.main import app
from compllm.errors import ConfigError
from compllm.router.base import Vectors

WORDS = {"cats": "purr whiskers kittens paws", "cars": "engine wheels brakes gears", "tea": "leaves kettle cup steep"}


class WordEncoder:
    """Sums one random direction for each word, and counts what it encodes."""

    name = "words"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        vectors = np.array([np.sum([_direction(word) for word in re.findall(r"\w+", text)], axis=0) for text in texts])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _direction(word: str) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(word.lower().encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(64).astype(np.float32)


def team(examples: int = 2) -> list[BenchExpert]:
    return [
        BenchExpert(
            name,
            name,
            f"An expert in {name} who answers questions about {', '.join(words.split())}.",
            tuple(f"{word} {name}" for word in words.split()[:examples]),
            tuple(words.split()[:2]),
        )
        for name, words in WORDS.items()
    ]


def questions(name: str, count: int) -> list[str]:
    pairs = [f"{a} {b}" for a, b in product(WORDS[name].split(), repeat=2)]
    return [f"{pairs[number % len(pairs)]} n{number}" for number in range(count)]


def rows(example: int = 20, calib: int = 20, test: int = 20) -> list[BenchRow]:
    splits = ["example"] * example + ["calib"] * calib + ["test"] * test
    return [BenchRow(q, name, s) for name in WORDS for q, s in zip(questions(name, len(splits)), splits, strict=True)]


def foreign(count: int = 40) -> list[OodRow]:
    return [OodRow(f"moon{number} jazz{number % 7} tulip", "far" if number % 2 else "near") for number in range(count)]


def names(report: dict[str, object], table: str, column: str) -> list[object]:
    found = report[table]
    assert isinstance(found, list)
    return [row[column] for row in found]


def test_every_table_has_its_rows_and_figures() -> None:
    report = run_route_bench(rows(), team(), WordEncoder(), foreign())
    assert names(report, "representations", "representation") == [
        "label",
        "about sentence",
        "description",
        "description + 2 invented questions",
        "description + 20 real questions",
        "20 real questions, mean",
        "20 real questions, max",
        "20 real questions, top-3",
        "logistic head on 40 questions an expert",
    ]
    assert names(report, "representations", "argmax_accuracy")[4:] == [1.0] * 5
    assert names(report, "tag_forms", "tags") == [3, 3, 3, 6, 6, 6]
    assert names(report, "calibrated", "rule") == ["softmax"] * 3 + ["logistic gate"] * 2
    for table, rows_from in (("representations", 4), ("calibrated", 1)):
        measured = report[table][rows_from:]  # type: ignore[index]
        assert all(row["auroc_near"] > 0.8 and row["auroc_far"] > 0.8 for row in measured if "head" not in str(row))
        assert all(row.get("precision", 1.0) > 0.9 for row in measured)
    assert json.loads(json.dumps(report)) == report


def test_the_same_input_gives_the_same_report_and_no_text_is_encoded_twice() -> None:
    encoder = WordEncoder()
    first = run_route_bench(rows(), team(), encoder, foreign())
    assert len(encoder.encoded) == len(set(encoder.encoded))
    assert first == run_route_bench(rows(), team(), WordEncoder(), foreign())


def test_rows_without_a_split_are_split_within_each_expert() -> None:
    loose = [BenchRow(q, name) for name in WORDS for q in questions(name, 60)]
    report = run_route_bench(loose, team(), WordEncoder(), foreign())
    assert report["questions"] == {"example": 30, "calib": 60, "test": 90}
    assert "split at random" in str(report["notes"])


def test_rows_of_nobody_count_as_out_of_domain() -> None:
    extra = [BenchRow("moon jazz", None, "test"), BenchRow("tulip bulbs", "gardening", "test")]
    report = run_route_bench([*rows(), *extra], team(), WordEncoder())
    assert report["ood"] == {"no_expert": 2}
    assert "2 rows belong to no expert" in str(report["notes"])


def test_what_cannot_be_measured_is_left_out_with_a_note() -> None:
    report = run_route_bench(rows(example=0, calib=0), team(examples=0), WordEncoder())
    assert names(report, "representations", "representation") == ["label", "about sentence", "description"]
    assert report["calibrated"] == []
    assert report["shipped"] is None
    notes = str(report["notes"])
    for expected in ("not every expert has examples", "fewer than 20", "no calibration questions", "no calibration is"):
        assert expected in notes


def test_a_single_expert_and_a_single_foreign_question_can_be_measured() -> None:
    only = [row for row in rows() if row.domain == "cats"]
    report = run_route_bench(only, team()[:1], WordEncoder(), [OodRow("moon")])
    assert names(report, "representations", "argmax_accuracy")[0] == 1.0
    assert run_route_bench(rows(), team(), WordEncoder(), [OodRow("moon")])["ood"] == {"ood": 1}


def test_no_test_question_of_an_expert_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no test question"):
        run_route_bench([BenchRow("q", "gardening", "test")], team(), WordEncoder())


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('{"question": "q", "domain": "cats", "split": "test"}\n\n{"question": "r"}\n')
    assert read_rows(tmp_path / "rows") == [BenchRow("q", "cats", "test"), BenchRow("r")]
    (tmp_path / "ood").write_text('{"question": "q", "kind": "near", "sub": "x"}\n{"question": "r"}')
    assert read_ood(tmp_path / "ood") == [OodRow("q", "near"), OodRow("r", "ood")]
    (tmp_path / "experts").write_text('[{"name": "a", "description": "d", "subfields": ["s"]}]')
    assert read_experts(tmp_path / "experts") == [BenchExpert("a", "a", "d", (), ("s",))]


def test_the_well_known_fields_have_subfields(tmp_path: Path) -> None:
    (tmp_path / "experts").write_text('[{"name": "med", "label": "medicine", "description": "d"}]')
    assert "cardiology" in read_experts(tmp_path / "experts")[0].subfields


@pytest.mark.parametrize(
    "line", ["{", "3", "{}", '{"question": " "}', '{"question": "q", "domain": 3}', '{"question": "q", "split": "dev"}']
)
def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "rows").write_text('{"question": "q"}\n' + line)
    with pytest.raises(ConfigError, match="rows:2"):
        read_rows(tmp_path / "rows")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[3]",
        '[{"name": "a"}]',
        '[{"name": "a", "description": "d", "examples": "e"}]',
        '[{"name": "a", "description": "d"}, {"name": "a", "description": "d"}]',
    ],
)
def test_bad_experts_are_refused_with_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "experts").write_text(text)
    with pytest.raises(ConfigError, match="experts"):
        read_experts(tmp_path / "experts")


@pytest.mark.parametrize("missing", ["rows", "experts", "ood"])
def test_the_command_refuses_files_that_are_not_there(tmp_path: Path, missing: str) -> None:
    (tmp_path / "rows").write_text('{"question": "q"}')
    (tmp_path / "ood").write_text('{"question": "q"}')
    (tmp_path / "experts").write_text('[{"name": "a", "description": "d"}]')
    (tmp_path / missing).unlink()
    files = [str(tmp_path / "rows"), "--experts", str(tmp_path / "experts"), "--ood", str(tmp_path / "ood")]
    result = CliRunner().invoke(app, ["bench", "route", *files, "--json"])
    assert result.exit_code == 2
    assert str(tmp_path / missing) in result.stderr
