"""Inference sessions that share the weights with the disk.

When onnxruntime loads a quantized model it computes larger matrices from it, which cost time at every start and stay in
memory. So they are computed once and kept in a file of their own, of which the system maps in what is used.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from compllm.errors import RoutingError

_RECIPE = 1  # counts changes of what `_prepared` writes
_MODEL, _MATRICES = "model.onnx", "matrices.bin"
_MAPPED_BYTES = 1024  # smaller ones stay inside the model


def open_session(model: Path, threads: int, cache_dir: Path | None) -> Any:
    """Return a session of a model on the CPU; with a `cache_dir`, what loading computes is computed once.

    What is damaged is computed anew; what cannot be kept there costs memory and time and nothing else.

    Raises:
        RoutingError: the model cannot be loaded.
    """
    if cache_dir is not None:
        with suppress(OSError, RoutingError):
            prepared = _prepared(model, cache_dir)
            with suppress(RoutingError):
                return _load(prepared, threads, optimized=True)
            shutil.rmtree(prepared.parent, ignore_errors=True)
            return _load(_prepared(model, cache_dir), threads, optimized=True)
    return _load(model, threads)


def _prepared(model: Path, cache_dir: Path) -> Path:
    """Return the prepared model, made by the first call; of several processes that make it at once, one is kept."""
    import onnxruntime

    content = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    folder = cache_dir / f"encoder-{_RECIPE}-{onnxruntime.__version__}-{content}"
    if not folder.is_dir():
        cache_dir.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=cache_dir, prefix="building-"))
        try:
            _load(model, 1, written_to=part / _MODEL)
            with suppress(OSError):  # another process was faster
                part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder / _MODEL


def _load(model: Path, threads: int, *, optimized: bool = False, written_to: Path | None = None) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # They would keep what the largest batch took, and save no time (measured).
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    # Not more than that: the rest is for one kind of processor.
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if optimized else levels.ORT_ENABLE_EXTENDED
    if written_to is not None:
        options.optimized_model_filepath = str(written_to)
        entry = "session.optimized_model_external_initializers_"
        options.add_session_config_entry(f"{entry}file_name", _MATRICES)
        options.add_session_config_entry(f"{entry}min_size_in_bytes", str(_MAPPED_BYTES))
    try:
        return onnxruntime.InferenceSession(str(model), sess_options=options, providers=["CPUExecutionProvider"])
    except (  # they share no base but Exception
        errors.Fail,
        errors.InvalidProtobuf,
        errors.InvalidGraph,
        errors.NoSuchFile,
        errors.RuntimeException,
    ) as error:
        raise RoutingError(f"the encoder {model} cannot be loaded: {error}") from error
