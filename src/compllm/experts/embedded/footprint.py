"""What a GGUF model will take in memory, from the header of its file alone."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from compllm.errors import ConfigError

Value: TypeAlias = "int | float | bool | str | list[Value] | None"

# Codes of the GGUF format: scalars as `struct` formats, then the two that have a length.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST_KEPT = 4096  # longer arrays are vocabularies, of which only the number of entries matters here
_LONGEST_STRING = 2**24  # a chat template is far shorter
_MOST_DIMENSIONS = 4
_ALIGNMENT_BYTES = 32
_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")  # llama.cpp's names for the files of a model that was split

_CONTEXT_STEP = 256  # llama.cpp rounds the context of a slot up to this
_KV_ITEM_BYTES = 2
# Measured: beside file and cache, a worker holds 53 MiB with a vocabulary of 49,152, and grows a little with use.
_WORKER_BYTES = 48 * 2**20
_TOKEN_BYTES = 400
# Measured: once a token was chosen under a grammar that forbids most, a worker keeps 26 MiB with the same vocabulary.
_GRAMMAR_TOKEN_BYTES = 540
_SLOT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata (long arrays as their length) and shapes of the tensors by name; `header_bytes` is where data begins."""

    metadata: dict[str, Value]
    shapes: Mapping[str, tuple[int, ...]]
    header_bytes: int

    def number(self, name: str, default: int = 0) -> int:
        """Return a number of this architecture, such as `block_count`; an array counts as its largest entry."""
        value = self.metadata.get(f"{self.metadata.get('general.architecture')}.{name}", default)
        numbers = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, int)]
        return max(numbers, default=default)


def model_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a model: of one that is split all its parts, which lie beside the first, else the one.

    Raises:
        ConfigError: it is a part, but not the first, or others are missing.
    """
    name = _PART.fullmatch(path.name)
    if name is None:
        return (path,)
    count = int(name[3])
    parts = tuple(path.with_name(f"{name[1]}-{number:05}-of-{name[3]}.gguf") for number in range(1, count + 1))
    if parts[:1] != (path,):
        raise ConfigError(
            f"{path} is not the first part of its model: name the one with 00001, which leads to the others"
        )
    if missing := [part.name for part in parts[1:] if not part.is_file()]:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ConfigError(
            f"the model {path} is split and lacks {missing[0]}{more}: put all its parts beside each other"
        )
    return parts


def read_headers(files: Sequence[Path]) -> GgufHeader:
    """Return the header of a model that may be split: the first file's, with the shapes of all; see `read_header`."""
    headers = [read_header(path) for path in files]
    return replace(headers[0], shapes={name: shape for header in headers for name, shape in header.shapes.items()})


def read_header(path: Path) -> GgufHeader:
    """Return the header of a GGUF file; linear in the vocabulary, some 50 ms.

    Raises:
        ConfigError: there is no such file, or it is not GGUF.
    """
    try:
        with path.open("rb") as file:
            return _header(file)
    except OSError as error:
        raise ConfigError(f"the file {path} cannot be read: {error.strerror or error}") from error
    except (struct.error, ValueError, KeyError, OverflowError) as error:
        raise ConfigError(f"the file {path} is not a GGUF file, or is cut off") from error


def footprint_bytes(header: GgufHeader, file_bytes: int, *, context_tokens: int, slots: int, batch_tokens: int) -> int:
    """Return an upper bound of what a worker holds with every context full.

    File, KV cache, compute buffers and the worker itself. Within 15 % for plain transformers (checked with
    SmolLM2-135M); too high for models whose layers look at a window only.
    """
    cache_bytes = slots * _rounded(context_tokens) * kv_bytes_per_token(header)
    growth_bytes = growth_reserve_bytes(header, context_tokens=context_tokens, slots=slots, batch_tokens=batch_tokens)
    return file_bytes + cache_bytes + growth_bytes + _TOKEN_BYTES * _vocabulary(header) + _WORKER_BYTES


def growth_reserve_bytes(header: GgufHeader, *, context_tokens: int, slots: int, batch_tokens: int) -> int:
    """Return what a loaded worker may still grow by: compute buffers, a grammar, what each slot keeps of its prompt.

    The KV cache is not part of it: it is cleared, so touched, during the load.
    """
    activations = 4 * header.number("feed_forward_length") + 8 * header.number("embedding_length")
    mask_and_scores = 2 * _rounded(context_tokens)
    buffer_bytes = 4 * batch_tokens * (activations + mask_and_scores) + 8 * 2**20
    return buffer_bytes + _GRAMMAR_TOKEN_BYTES * _vocabulary(header) + slots * (_SLOT_BYTES + 64 * context_tokens)


def kv_bytes_per_token(header: GgufHeader) -> int:
    """Return the bytes of keys and values, as F16, that one token takes in all layers."""
    heads = max(1, header.number("attention.head_count", 1))
    head_width = header.number("embedding_length") // heads
    width = header.number("attention.key_length", head_width) + header.number("attention.value_length", head_width)
    return header.number("block_count") * header.number("attention.head_count_kv", heads) * width * _KV_ITEM_BYTES


def f16_file_bytes(header: GgufHeader) -> int:
    """Return the size of the file with its matrices as F16 and its vectors as F32."""
    sizes = (prod(shape) * (2 if len(shape) > 1 else 4) for shape in header.shapes.values())
    return header.header_bytes + sum(size + -size % _ALIGNMENT_BYTES for size in sizes)


def _vocabulary(header: GgufHeader) -> int:
    vocabulary = header.metadata.get("tokenizer.ggml.tokens")
    return vocabulary if isinstance(vocabulary, int) else 0


def _rounded(context_tokens: int) -> int:
    return context_tokens + -context_tokens % _CONTEXT_STEP


def _header(file: BinaryIO) -> GgufHeader:
    magic, _version, tensors, pairs = _unpack(file, "4sIQQ")
    if magic != b"GGUF":
        raise ValueError(magic)
    metadata = {_string(file): _value(file, _unpack(file, "I")[0]) for _ in range(pairs)}
    shapes = dict(_tensor(file) for _ in range(tensors))
    return GgufHeader(metadata, shapes, file.tell() + -file.tell() % _ALIGNMENT_BYTES)


def _tensor(file: BinaryIO) -> tuple[str, tuple[int, ...]]:
    name = _string(file)
    (dimensions,) = _unpack(file, "I")
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(dimensions)
    shape = _unpack(file, f"{dimensions}Q")
    _unpack(file, "IQ")  # type and offset
    return name, shape


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        scalar: Value = _unpack(file, _SCALARS[kind])[0]
        return scalar
    item_kind, length = _unpack(file, "IQ")
    if length <= _LONGEST_KEPT:
        return [_value(file, item_kind) for _ in range(length)]
    if item_kind in _SCALARS:
        file.seek(length * struct.calcsize(_SCALARS[item_kind]), 1)
    else:
        for _ in range(length):
            _value(file, item_kind)
    return int(length)


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    if length > _LONGEST_STRING:
        raise ValueError(length)
    return file.read(length).decode("utf-8", "replace")


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    layout = "<" + layout
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
