"""The sets that are shipped: small, consistent with their documents, and answerable."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compllm.bench.evidence.external import read_set
from compllm.bench.evidence.scores import contains
from compllm.config import load_team
from compllm.router.calibration import read_json_lines

FOLDER = Path(__file__).parents[3] / "examples" / "multiexpertqa"


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.*") if path.suffix != ".gguf") < 1_500_000


@pytest.mark.parametrize(("name", "count"), [("P", 60), ("D", 20), ("J", 20)])
def test_every_gold_answer_stands_in_its_experts_document(name: str, count: int) -> None:
    team = load_team(FOLDER)
    texts = {
        expert: {
            row["id"]: str(row["text"]) for path in config.documents for _, row in read_json_lines(team.resolve(path))
        }
        for expert, config in team.config.experts.items()
    }
    rows = read_set(str(FOLDER / f"{name}.jsonl"))
    assert len(rows) == count
    for row in rows:
        assert row.set == name
        assert row.licence
        for step in row.plan:
            assert step.expert in team.config.experts
            assert not step.passage or contains(texts[step.expert][step.passage], step.answers)


def test_all_is_all() -> None:
    parts = [row for name in "PDJ" for row in read_set(str(FOLDER / f"{name}.jsonl"))]
    assert read_set(str(FOLDER / "All.jsonl")) == parts


def test_the_monolith_of_twice_the_size_reads_all_that_the_experts_read(tmp_path: Path) -> None:
    # Its weights are not part of the repository; the file is only looked for here.
    folder = tmp_path / "gemma"
    shutil.copytree(FOLDER / "gemma", folder, ignore=shutil.ignore_patterns("gemma3*"))
    (folder / "gemma3-270m.gguf").touch()
    (tmp_path / "documents").symlink_to(FOLDER / "documents")
    team, monolith = load_team(FOLDER), load_team(folder)
    (reader,) = monolith.config.experts.values()
    read = {team.resolve(path) for expert in team.config.experts.values() for path in expert.documents}
    assert {monolith.resolve(path).resolve() for path in reader.documents} == {path.resolve() for path in read}
