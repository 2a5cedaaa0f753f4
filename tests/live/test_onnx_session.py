"""What the encoder keeps on the disk: the same vectors, less memory, and no harm when it is missing or damaged."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from compllm.errors import RoutingError
from compllm.router.onnx_encoder import OnnxEncoder
from compllm.router.onnx_session import open_session

pytestmark = pytest.mark.live

TEXTS = ["What is the capital of France?", "", "Wie heißt die Hauptstadt von Frankreich?", "word " * 500]


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return OnnxEncoder(threads=1).encode(TEXTS)


def _prepared(folder: Path) -> list[Path]:
    return sorted(folder.glob("encoder-*/*"))


def test_the_first_load_and_those_that_follow_give_the_same_vectors(tmp_path: Path, expected: np.ndarray) -> None:
    first = OnnxEncoder(threads=1, cache_dir=tmp_path / "new").encode(TEXTS)
    files = _prepared(tmp_path / "new")
    assert [file.name for file in files] == ["matrices.bin", "model.onnx"]
    assert len(list((tmp_path / "new").iterdir())) == 1  # nothing half made is left
    second = OnnxEncoder(threads=1, cache_dir=tmp_path / "new").encode(TEXTS)
    assert _prepared(tmp_path / "new") == files
    np.testing.assert_allclose(first, expected, atol=1e-5)
    np.testing.assert_array_equal(first, second)


def test_processes_that_prepare_it_at_once_leave_one(tmp_path: Path, expected: np.ndarray) -> None:
    with ThreadPoolExecutor(2) as pool:
        encoders = [OnnxEncoder(threads=1, cache_dir=tmp_path) for _ in range(2)]
        for vectors in pool.map(lambda encoder: encoder.encode(TEXTS), encoders):
            np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damaged", ["matrices.bin", "model.onnx"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, expected: np.ndarray, damaged: str) -> None:
    OnnxEncoder(threads=1, cache_dir=tmp_path).encode(["x"])
    (file,) = tmp_path.glob(f"*/{damaged}")
    whole_bytes = file.stat().st_size
    file.write_bytes(file.read_bytes()[: whole_bytes // 2])
    np.testing.assert_allclose(OnnxEncoder(threads=1, cache_dir=tmp_path).encode(TEXTS), expected, atol=1e-5)
    assert [path.stat().st_size for path in tmp_path.glob(f"*/{damaged}")] == [whole_bytes]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_costs_memory_alone(tmp_path: Path, expected: np.ndarray) -> None:
    (tmp_path / "file").write_text("no folder")
    np.testing.assert_allclose(OnnxEncoder(threads=1, cache_dir=tmp_path / "file").encode(TEXTS), expected, atol=1e-5)


def test_a_model_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("not a model")
    with pytest.raises(RoutingError, match=r"model\.onnx cannot be loaded"):
        open_session(tmp_path / "model.onnx", 1, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_prepared_model_peaks_far_lower(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from compllm.router.onnx_encoder import OnnxEncoder
OnnxEncoder(threads=1, cache_dir=Path(sys.argv[1]) if len(sys.argv) > 1 else None).encode(["one"])
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""

    def peak_kib(*arguments: str) -> int:
        command = [sys.executable, "-c", script, *arguments]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    peak_kib(str(tmp_path))
    assert peak_kib(str(tmp_path)) < 0.7 * peak_kib()
