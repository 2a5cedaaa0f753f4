"""What is an adapter for a model, told from headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from compllm.errors import ConfigError
from compllm.experts.embedded.adapters import check_adapter
from compllm.experts.embedded.footprint import GgufHeader
from tests.adapters import write_adapter

pytest.importorskip("gguf")

BASE = GgufHeader(
    {"general.architecture": "llama"},
    {"blk.0.attn_q.weight": (64, 32), "blk.0.attn_norm.weight": (64,), "token_embd.weight": (64, 100)},
    header_bytes=0,
)


def test_an_adapter_of_the_model_is_taken(tmp_path: Path) -> None:
    check_adapter(write_adapter(tmp_path / "a.gguf", BASE, 0.1), BASE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "model"}, "is not a LoRA adapter; convert one with"),
        ({"architecture": "gemma3"}, "is for the architecture 'gemma3', its model has 'llama'"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, options: dict[str, str], said: str) -> None:
    path = write_adapter(tmp_path / "a.gguf", BASE, 0.1, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=said):
        check_adapter(path, BASE)


@pytest.mark.parametrize("shape", [(96, 32), (64, 48)])
def test_an_adapter_of_another_size_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = write_adapter(tmp_path / "a.gguf", GgufHeader({}, {"blk.0.attn_q.weight": shape}, 0), 0.1)
    with pytest.raises(ConfigError, match=r"for another model: blk\.0\.attn_q\.weight\.lora_[ab] has no matrix"):
        check_adapter(path, BASE)


def test_an_adapter_of_more_layers_is_refused(tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", GgufHeader({}, {"blk.1.attn_q.weight": (64, 32)}, 0), 0.1)
    with pytest.raises(ConfigError, match="for another model"):
        check_adapter(path, BASE)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"PK\3\4")
    with pytest.raises(ConfigError, match="is not a GGUF file"):
        check_adapter(path, BASE)
