"""The servers of the serving bench, each in a process of its own, on loopback, for as long as a context lasts."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

import anyio
import anyio.to_thread
import httpx
import psutil

from compllm.bench.serving.fakes import PLAN, TEAM
from compllm.bench.serving.load import KEY, Target
from compllm.errors import ConfigError

_STARTUP_S = 180.0
_FAKES = (sys.executable, "-m", "compllm.bench.serving.fakes")
_LISTENS = re.compile(r"listens on http://([0-9.]+):(\d+)")
_Process: TypeAlias = "subprocess.Popen[str]"


@dataclass(frozen=True, slots=True)
class Server:
    """A server in a process of its own."""

    process: _Process
    host: str
    port: int

    @property
    def base_url(self) -> str:
        """What clients of the OpenAI API are given."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def rss_mib(self) -> float:
        """Memory that the process holds, in MiB."""
        return float(psutil.Process(self.process.pid).memory_info().rss / (1 << 20))

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU that the process has used; of its children, too, if it has any."""
        process = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def target(self, model: str, **more: object) -> Target:
        """Return what asks it a question."""
        body = {"model": model, "messages": [{"role": "user", "content": "What are the four?"}], **more}
        return Target(self.host, self.port, "/v1/chat/completions", body)


def asked_of(team: Server, **more: object) -> Target:
    """Return what asks a team a question with a plan of four independent sub-queries."""
    return team.target(TEAM, compllm={"plan": PLAN}, **more)


@asynccontextmanager
async def endpoint_of(folder: Path, delay_s: float) -> AsyncIterator[Server]:
    """Start an OpenAI-compatible endpoint that takes `delay_s` for an answer.

    Raises:
        ConfigError: it did not start.
    """
    async with _announced([*_FAKES, "endpoint", str(delay_s)], folder / "endpoint.log") as server:
        yield server


@asynccontextmanager
async def team_of(folder: Path, delay_s: float, *more: str) -> AsyncIterator[Server]:
    """Start a server with a team, in a folder of its own that is not there yet.

    Raises:
        ConfigError: it did not start.
    """
    log = folder.with_suffix(".log")
    async with _announced([*_FAKES, "team", str(folder), str(delay_s), *more], log) as server:
        yield server


@asynccontextmanager
async def litellm_before(endpoint: Server, command: Path, folder: Path) -> AsyncIterator[Server]:
    """Start a LiteLLM proxy that forwards the model `fake` to an endpoint; `command` is its program.

    Raises:
        ConfigError: it did not start.
    """
    forwarded = {"model": "openai/fake", "api_base": endpoint.base_url, "api_key": "sk-fake"}
    config = folder / "litellm.yaml"
    settings = {"master_key": KEY}  # it does not start without one
    models = [{"model_name": "fake", "litellm_params": forwarded}]
    config.write_text(json.dumps({"model_list": models, "general_settings": settings}))
    port = _free_port()
    arguments = [str(command), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "litellm.log"
    with _running(arguments, log) as process:
        await _until_alive(f"http://127.0.0.1:{port}/health/liveliness", process, log)
        yield Server(process, "127.0.0.1", port)


async def _until_alive(url: str, process: _Process, log: Path) -> None:
    with anyio.move_on_after(_STARTUP_S):
        async with httpx.AsyncClient() as client:
            while process.poll() is None:
                try:
                    if (await client.get(url)).is_success:
                        return
                except httpx.TransportError:
                    pass  # not yet
                await anyio.sleep(0.25)
    raise ConfigError(f"LiteLLM did not start: {_tail(log)}")


@asynccontextmanager
async def _announced(command: Sequence[str], log: Path) -> AsyncIterator[Server]:
    """Start a server that prints where it listens."""
    with _running(command, log, subprocess.PIPE) as process:
        found = await anyio.to_thread.run_sync(_address, process)
        if found is None:
            raise ConfigError(f"{' '.join(command[1:4])} did not start: {_tail(log)}")
        yield Server(process, *found)


def _address(process: _Process) -> tuple[str, int] | None:
    """Return what the server prints; None if it ends before."""
    for line in process.stdout or ():
        if found := _LISTENS.search(line):
            return found[1], int(found[2])
    return None


@contextmanager
def _running(command: Sequence[str], log: Path, stdout: int | IO[str] | None = None) -> Iterator[_Process]:
    # A LiteLLM that is asked to look for its table of prices elsewhere would leave this machine.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S603 - the user's own commands
            command, stdout=stdout or errors, stderr=errors, env=environment, text=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_STARTUP_S)
            if process.stdout is not None:
                process.stdout.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-500:].strip() or "it said nothing"
