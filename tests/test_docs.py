"""The samples of the documentation can be used as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from compllm.config import load_team

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("README.md"))]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SAMPLES = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), 1)
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("text", SAMPLES)
def test_every_sample_is_yaml_and_every_whole_team_is_one(text: str, tmp_path: Path) -> None:
    sample = yaml.safe_load(text)
    if {"models", "experts", "planner"} <= set(sample if isinstance(sample, dict) else ()):
        for path in _files(sample):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text("# Leave\n")
        (tmp_path / "compllm.yaml").write_text(text)
        load_team(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def _files(sample: dict[str, Any]) -> Iterator[str]:
    for expert in sample["experts"].values():
        yield from expert.get("documents", [])
    for model in sample["models"].values():
        if "file" in model:
            yield model["file"]
        yield from (path for path in model.get("adapters", {}).values() if path != "bundled")
