"""Memory arithmetic on headers written by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compllm.errors import ConfigError
from compllm.experts.embedded.footprint import (
    GgufHeader,
    f16_file_bytes,
    footprint_bytes,
    growth_reserve_bytes,
    kv_bytes_per_token,
    model_files,
    read_header,
    read_headers,
)

SMOLLM2 = GgufHeader(
    {
        "general.architecture": "llama",
        "llama.block_count": 30,
        "llama.embedding_length": 576,
        "llama.feed_forward_length": 1536,
        "llama.attention.head_count": 9,
        "llama.attention.head_count_kv": 3,
        "tokenizer.ggml.tokens": 49152,
    },
    {"token_embd.weight": (49152, 576), "output_norm.weight": (576,)},
    header_bytes=1_785_600,
)
MIB = 2**20


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf_bytes() -> bytes:
    number = text("llama.block_count") + struct.pack("<II", 4, 30)
    name = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    heads = text("llama.attention.head_count_kv") + struct.pack("<IIQ3i", 9, 5, 3, 2, 4, 0)
    words = text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 5000) + text("ab") * 5000
    scores = text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 5000) + bytes(4 * 5000)
    flag = text("tokenizer.ggml.add_bos_token") + struct.pack("<IB", 7, 1)
    tensor = text("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 64, 4, 3, 0)
    return struct.pack("<4sIQQ", b"GGUF", 3, 1, 6) + number + name + heads + words + scores + flag + tensor


@contextmanager
def temporary_file(content: bytes) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        path.write_bytes(content)
        yield path


def test_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes())
    header = read_header(path)
    assert header.metadata == {
        "llama.block_count": 30,
        "general.architecture": "llama",
        "llama.attention.head_count_kv": [2, 4, 0],
        "tokenizer.ggml.tokens": 5000,
        "tokenizer.ggml.scores": 5000,
        "tokenizer.ggml.add_bos_token": True,
    }
    assert header.shapes == {"blk.0.attn_q.weight": (64, 4)}
    assert header.header_bytes >= len(gguf_bytes())
    assert header.number("block_count") == 30
    assert header.number("attention.head_count_kv") == 4
    assert header.number("absent", 7) == 7


@settings(deadline=None)
@given(st.integers(0, 400) | st.integers(20_000, len(gguf_bytes()) - 1))
def test_cut_off_header_is_refused(length: int) -> None:
    with temporary_file(gguf_bytes()[:length]) as path, pytest.raises(ConfigError, match=r"m\.gguf"):
        read_header(path)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_content_breaks_the_reader(content: bytes) -> None:
    with temporary_file(b"GGUF\3\0\0\0" + content) as path, suppress(ConfigError):  # and nothing else
        assert read_header(path).header_bytes >= 24


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_header(tmp_path / "absent.gguf")


def test_a_split_model_is_all_its_parts(tmp_path: Path) -> None:
    parts = [tmp_path / f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for number, part in enumerate(parts):
        part.write_bytes(gguf_bytes().replace(b"blk.0", f"blk.{number}".encode()))
    assert model_files(parts[0]) == tuple(parts)
    header = read_headers(parts)
    assert sorted(header.shapes) == [f"blk.{number}.attn_q.weight" for number in range(3)]
    assert header.number("block_count") == 30


def test_the_footprint_and_the_identity_of_a_split_model_count_all_its_parts(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from compllm.experts.embedded.backend import EmbeddedBackend

    names = ["big.gguf", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]
    for name in names:
        (tmp_path / name).write_bytes(gguf_bytes() + bytes(5000))
    whole, split = (EmbeddedBackend(tmp_path / name, cache_dir=tmp_path, threads=1) for name in names[:2])
    size_bytes = (tmp_path / names[0]).stat().st_size
    assert split.estimated_footprint_bytes() - whole.estimated_footprint_bytes() == size_bytes
    before = split.identity
    (tmp_path / names[2]).write_bytes(gguf_bytes())
    assert split.identity != before


@pytest.mark.parametrize(
    ("name", "beside", "says"),
    [
        ("big-00001-of-00003.gguf", ["big-00003-of-00003.gguf"], "lacks big-00002-of-00003.gguf:"),
        ("big-00001-of-00003.gguf", [], "lacks big-00002-of-00003.gguf and 1 more"),
        ("big-00002-of-00003.gguf", ["big-00001-of-00003.gguf"], "not the first part"),
    ],
)
def test_a_part_that_is_missing_is_named(name: str, beside: list[str], says: str, tmp_path: Path) -> None:
    for each in (name, *beside):
        (tmp_path / each).touch()
    with pytest.raises(ConfigError, match=says):
        model_files(tmp_path / name)


@pytest.mark.parametrize("name", ["big.gguf", "big-1-of-2.gguf", "big-00001-of-00001.gguf"])
def test_one_file_is_a_model(name: str, tmp_path: Path) -> None:
    assert model_files(tmp_path / name) == (tmp_path / name,)


def test_keys_and_values_of_a_token() -> None:
    assert kv_bytes_per_token(SMOLLM2) == 30 * 3 * (64 + 64) * 2


def test_widths_given_by_the_file_win() -> None:
    wide = GgufHeader(SMOLLM2.metadata | {"llama.attention.key_length": 128}, {}, 0)
    assert kv_bytes_per_token(wide) == 30 * 3 * (128 + 64) * 2


def test_f16_size_counts_matrices_and_vectors() -> None:
    assert f16_file_bytes(SMOLLM2) == 1_785_600 + 49152 * 576 * 2 + 576 * 4


@pytest.mark.parametrize(
    ("context_tokens", "slots", "loaded_mib"),
    [(256, 1, 317), (2048, 4, 492), (8192, 8, 1753)],  # measured right after the load
)
def test_bound_is_above_what_was_measured_but_not_far(context_tokens: int, slots: int, loaded_mib: int) -> None:
    bound = footprint_bytes(SMOLLM2, 270_885_888, context_tokens=context_tokens, slots=slots, batch_tokens=128)
    assert loaded_mib * 1.01 < bound / MIB < loaded_mib * 1.18


@given(st.integers(1, 8192), st.integers(1, 16), st.integers(1, 512))
def test_more_context_or_slots_never_take_less(context_tokens: int, slots: int, batch_tokens: int) -> None:
    def sized(context: int, count: int) -> int:
        return footprint_bytes(SMOLLM2, 1, context_tokens=context, slots=count, batch_tokens=batch_tokens)

    here = sized(context_tokens, slots)
    assert sized(context_tokens + 256, slots) - here >= slots * 256 * kv_bytes_per_token(SMOLLM2)
    assert sized(context_tokens, slots + 1) - here >= context_tokens * kv_bytes_per_token(SMOLLM2)
    growth = growth_reserve_bytes(SMOLLM2, context_tokens=context_tokens, slots=slots, batch_tokens=batch_tokens)
    assert 0 < growth < here
