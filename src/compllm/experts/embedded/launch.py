"""The parent's side of a worker process: start it, talk to it, see it end."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import anyio
import httpx
import psutil
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from compllm.experts.embedded.protocol import death_error, exit_reason, load_error

_WORKER_FILE = Path(__file__).with_name("worker.py")
_REPORT_BYTES = 65_536
_LOG_TAIL_BYTES = 2_000
_SLOT_POLL_S = 0.05
_LAST_WORDS_S = 1.0


class Worker:
    """A running worker process; `dismissed` says that we ended it, so that its end is no crash.

    Its errors go to an unnamed file, not to a pipe that somebody would have to read: nothing is lost when it dies.
    """

    def __init__(self, process: Process, log: IO[bytes], slots: int) -> None:
        self.process = process
        self.dismissed = False
        self._log = log
        self._key = secrets.token_urlsafe(32)
        self._client = httpx.AsyncClient()
        self._room = anyio.Semaphore(slots)
        self._streams = 0
        self._complaint = ""

    @classmethod
    async def start(cls, slots: int) -> Worker:
        """Start a process that waits for its settings, in a session of its own: Ctrl-C is for the parent to decide."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        command = [sys.executable, "-P", str(_WORKER_FILE)]
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        return cls(process, log, slots)

    async def load(self, model: str, settings: Mapping[str, Any]) -> None:
        """Send the settings and wait until the worker serves.

        Raises:
            ExpertLoadError: it failed or died.
            ExpertOutOfMemoryError: for want of memory.
        """
        line = json.dumps({**settings, "parent_pid": os.getpid(), "api_key": self._key}) + "\n"
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101, PT018 - both are pipes
        try:
            await self.process.stdin.send(line.encode())
            report = json.loads(
                await BufferedByteReceiveStream(self.process.stdout).receive_until(b"\n", _REPORT_BYTES)
            )
        except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self.process.wait()
            raise death_error(model, self.process.returncode, self.log_tail()) from None
        if "error" in report:
            raise load_error(model, report, self.log_tail())
        self._client = httpx.AsyncClient(
            base_url=report["address"],
            headers={"Authorization": f"Bearer {self._key}"},
            trust_env=False,  # a proxy has no business here
            # The server closes idle connections after some seconds, perhaps just when one is used again.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    @asynccontextmanager
    async def answering(
        self, body: Mapping[str, Any], silence_s: float, grace_s: float
    ) -> AsyncIterator[httpx.Response]:
        """Give the streamed response; on the way out, wait until a request that was left early has freed its slot.

        More requests than slots wait here, where they can be cancelled at once.

        Raises:
            httpx.TimeoutException: the worker is silent for `silence_s`.
            httpx.TransportError: it is gone.
        """
        async with self._room, self._sent(body, silence_s, grace_s) as response:
            yield response

    @asynccontextmanager
    async def _sent(self, body: Mapping[str, Any], silence_s: float, grace_s: float) -> AsyncIterator[httpx.Response]:
        request = self._client.build_request("POST", "/v1/chat/completions", json=body, timeout=silence_s)
        self._streams += 1
        whole = False
        try:
            response = await self._answered(request, grace_s)
            try:
                yield response
                whole = True
            finally:
                await _closed(response)
        finally:
            self._streams -= 1
            if not whole:
                await self._slot_freed(grace_s)

    async def _answered(self, request: httpx.Request, grace_s: float) -> httpx.Response:
        """Send a request and return the response when its head is there.

        Whoever cancels waits for the head too, for `grace_s` at most: before that the server does not show the request
        as running, and nobody could see it end.
        """
        outcome: list[httpx.Response | httpx.TransportError] = []
        shield, ended = anyio.CancelScope(shield=True), anyio.Event()

        async def send() -> None:
            with shield:
                try:
                    outcome.append(await self._client.send(request, stream=True))
                except httpx.TransportError as error:
                    outcome.append(error)
            ended.set()

        try:
            async with anyio.create_task_group() as sending:
                sending.start_soon(send)
                try:
                    await ended.wait()
                finally:
                    shield.deadline = anyio.current_time() + grace_s
        except anyio.get_cancelled_exc_class():
            for response in outcome:
                if isinstance(response, httpx.Response):
                    await _closed(response)
            raise
        (answer,) = outcome
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer

    def resident_bytes(self) -> int:
        """Return what the process holds in memory, mapped pages of the model file included."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    async def epitaph(self) -> str:
        """Say how it ended, waiting a moment for an end that is only just happening."""
        with anyio.move_on_after(_LAST_WORDS_S):
            await self.process.wait()
        return f"the worker {exit_reason(self.process.returncode)} {self._complaint} {self.log_tail()}".rstrip()

    def log_tail(self) -> str:
        """Return the last of what it complained about, without the key."""
        if self._log.closed:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        return self._log.read().decode("utf-8", "replace").replace(self._key, "***").strip()

    async def end(self) -> None:
        """Kill the process and return when it is gone and its memory free.

        SIGKILL, since llama.cpp cannot be closed or interrupted. Not to be cancelled: it takes some milliseconds.
        """
        self.dismissed = True
        with anyio.CancelScope(shield=True):
            self._kill()
            await self.process.aclose()
            await self._client.aclose()
        self._log.close()

    def _kill(self) -> None:
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def _slot_freed(self, grace_s: float) -> None:
        with anyio.move_on_after(grace_s, shield=True) as scope, suppress(httpx.TransportError):
            while await self._busy_slots() > self._streams:  # noqa: ASYNC110 - it is another process that knows
                await anyio.sleep(_SLOT_POLL_S)
        if scope.cancelled_caught:
            self._complaint = f"because it did not give back a slot within {grace_s:g} s"
            self._kill()

    async def _busy_slots(self) -> int:
        response = await self._client.get("/slots", timeout=None)
        return sum(slot["is_processing"] for slot in response.json())


async def _closed(response: httpx.Response) -> None:
    with anyio.CancelScope(shield=True):
        await response.aclose()
