from __future__ import annotations

from pathlib import Path

import pytest

from compllm.bench.evidence.reply import EVERYTHING
from compllm.bench.evidence.team import monolithic, patient, unlimited
from compllm.config import EmbeddedModelConfig
from tests.bench.evidence.lab import clinic
from tests.clinic import CLINIC

READERS = """
devices: {cpu: {capacity: 1GiB, cores: 2}}
models:
  small: {backend: embedded, adapters: {reader: bundled}}
experts:
  a: {model: small, adapter: reader, documents: [a.md], max_tokens: 300}
  b: {model: small, adapter: reader, documents: [b.md, a.md]}
  general: {model: small}
router: {mode: tag, fallback: general}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / f"{name}.md").write_text(f"# {name}\nText of {name}.\n")
    return tmp_path


def test_a_monolith_has_one_expert_with_every_document(folder: Path) -> None:
    config = monolithic(clinic(folder, READERS), adapted=True).config
    (name, expert), *others = config.experts.items()
    assert (name, others, config.router.fallback) == (EVERYTHING, [], EVERYTHING)
    assert [path.name for path in expert.documents] == ["a.md", "b.md"]
    assert (expert.model, expert.adapter, expert.max_tokens) == ("small", "reader", 300)
    assert monolithic(clinic(folder, READERS), adapted=False).config.experts[EVERYTHING].adapter is None


def test_without_limits_the_threads_stay(folder: Path) -> None:
    config = unlimited(clinic(folder, READERS)).config
    device, model = config.devices["cpu"], config.models["small"]
    assert device.capacity_bytes > 2**40
    assert device.core_count > 1000
    assert isinstance(model, EmbeddedModelConfig)
    assert model.threads == 2


def test_a_bench_is_patient(folder: Path) -> None:
    assert patient(clinic(folder)).config.limits.deadline_s >= 1800
    assert patient(clinic(folder, CLINIC + "limits: {deadline_s: 9999}\n")).config.limits.deadline_s == 9999
