"""The server under load: its latency beside LiteLLM's, many streams at once, and a stop in the middle of it."""

from __future__ import annotations

import signal
import statistics
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from compllm.bench.figures import Figures, rounded
from compllm.bench.serving.load import Load, Target, connected, put_load, send_one
from compllm.bench.serving.processes import Server, asked_of, endpoint_of, litellm_before, team_of
from compllm.journal import Journal

DELAY_S = 0.02
_ROUNDS = 3
_STOP_S = 60.0


async def compare(requests: int, at_once: int, litellm: Path | None) -> list[Figures]:
    """Return latencies, alone and `at_once`, of the endpoint itself, of LiteLLM before it, and of two teams.

    A team's models are fakes in its own process, or that endpoint. A request to a team is a plan of four sub-queries;
    one to the others is one call. `litellm` is its command.

    Raises:
        ConfigError: a server did not start.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = await stack.enter_async_context(endpoint_of(folder, DELAY_S))
        asked = [("the endpoint itself, 1 call", endpoint, endpoint.target("fake"))]
        if litellm is not None:
            proxy = await stack.enter_async_context(litellm_before(endpoint, litellm, folder))
            asked.append(("LiteLLM proxy, 1 call", proxy, proxy.target("fake")))
        for name, more in {"fakes": (), "endpoint": ("--base-url", endpoint.base_url)}.items():
            team = await stack.enter_async_context(team_of(folder / name, DELAY_S, *more))
            asked.append((f"compllm on {name}, plan of 4", team, asked_of(team)))
        return [row for each in asked for row in await _measured(*each, requests, at_once)]


async def _measured(name: str, server: Server, target: Target, requests: int, at_once: int) -> list[Figures]:
    """Return a row for requests one after another, and one for many at once."""
    await put_load(target, at_once, at_once)  # what is lazy, gets ready
    rows: list[Figures] = []
    for crowd, count in ((1, max(1, requests // 10)), (at_once, requests)):
        began_s = server.cpu_s
        load = await put_load(target, count, crowd)
        cpu_ms = rounded((server.cpu_s - began_s) * 1000 / count)
        rows.append({"server": name, "at_once": crowd, **load.figures(DELAY_S), "cpu_ms_each": cpu_ms})
    return rows


async def many_streams(streams: int) -> Figures:
    """Open so many streams at once, some rounds of it, and return errors and the memory after each round.

    Raises:
        ConfigError: the server did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with team_of(Path(folder) / "team", DELAY_S) as team:
            target = asked_of(team, stream=True)
            before_mib, after_mib, loads = team.rss_mib, [], []
            for _ in range(_ROUNDS):
                loads.append(await streams_at_once(target, streams))
                after_mib.append(rounded(team.rss_mib))
    replies = [reply for load in loads for reply in load.replies]
    whole = [reply.body.rstrip().endswith(b"[DONE]") for reply in replies]
    return {
        "streams_at_once": streams,
        "rounds": _ROUNDS,
        "whole": sum(whole),
        "errors": sum(len(load.errors) for load in loads) + whole.count(False),
        "p50_s": rounded(statistics.median([reply.elapsed_s for reply in replies])) if replies else None,
        "rss_before_mib": rounded(before_mib),
        "rss_after_mib": after_mib,
    }


async def streams_at_once(target: Target, streams: int) -> Load:
    """Connect so many times, then ask on all connections together and read until the last stream has ended."""
    load = Load()
    began_s = time.perf_counter()
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        connections = [await stack.enter_async_context(connected(target)) for _ in range(streams)]
        for connection in connections:
            tasks.start_soon(send_one, connection, target, load)
    load.elapsed_s = time.perf_counter() - began_s
    return load


async def stop_under_load(streams: int) -> Figures:
    """Send SIGTERM while so many clients ask again and again; return what the journal says of their runs.

    Raises:
        ConfigError: the server did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with team_of(Path(folder) / "team", 10 * DELAY_S) as team:
            load = Load()
            async with anyio.create_task_group() as tasks:
                asking = _Asking(asked_of(team, stream=True), load, enough=streams // 5)
                for _ in range(streams):
                    tasks.start_soon(asking.ask_until_refused)
                await asking.has_enough.wait()
                under_way = asking.under_way
                began_s = time.perf_counter()
                team.process.send_signal(signal.SIGTERM)
                code = await anyio.to_thread.run_sync(team.process.wait, _STOP_S)
                elapsed_s = time.perf_counter() - began_s
        with Journal(Path(folder) / "team" / "data" / "runs.sqlite3") as journal:
            statuses = {row.id: row.status for row in journal.runs(limit=1_000_000)}
    received = [reply.headers["compllm-run"] for reply in load.replies]
    has_end = [status in {"answered", "gaps", "failed", "cancelled"} for status in statuses.values()]
    return {
        "requests_under_way_at_sigterm": under_way,
        "runs_in_journal": len(statuses),
        "runs_by_status": dict(Counter(statuses.values())),
        "runs_lost": has_end.count(False) + sum(run not in statuses for run in received),
        "answers_received": len(received),
        "refused_or_not_accepted": dict(Counter(error[:3] for error in load.errors)),
        "exit_code": code,
        "stopped_after_s": rounded(elapsed_s),
    }


@dataclass(slots=True)
class _Asking:
    """Clients that ask again and again until one of them is refused; `enough` replies are told of, or a refusal."""

    target: Target
    load: Load
    enough: int
    under_way: int = 0
    has_enough: anyio.Event = field(default_factory=anyio.Event)

    async def ask_until_refused(self) -> None:
        """Be one of the clients."""
        try:
            async with connected(self.target) as connection:
                while not self.load.errors:
                    self.under_way += 1
                    await send_one(connection, self.target, self.load)
                    self.under_way -= 1
                    if len(self.load.replies) >= self.enough:
                        self.has_enough.set()
        except OSError as error:
            self.load.errors.append(type(error).__name__)
        finally:
            self.has_enough.set()  # whoever waits would wait for ever if the first ones are refused
