"""The server under load: its latency beside LiteLLM's, many streams at once, and a stop in the middle of it."""

from __future__ import annotations

import signal
import statistics
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from compllm.bench.figures import Figures, rounded
from compllm.bench.serving.load import Load, Target, connected, put_load, send_one
from compllm.bench.serving.processes import asked_of, endpoint_of, litellm_before, team_of
from compllm.journal import Journal

DELAY_S = 0.02
_ROUNDS = 3
_STOP_S = 60.0


async def compare(requests: int, at_once: int, litellm: Path | None) -> list[Figures]:
    """Return latencies, alone and `at_once`, of the endpoint itself, of LiteLLM before it, and of two teams.

    A request to a team is a plan of four sub-queries; one to the others is one call. `litellm` is its command.

    Raises:
        ConfigError: a server did not start.
    """
    rows = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = await stack.enter_async_context(endpoint_of(folder, DELAY_S))
        targets = {"the endpoint itself, 1 call": endpoint.target("fake")}
        if litellm is not None:
            proxy = await stack.enter_async_context(litellm_before(endpoint, litellm, folder))
            targets["LiteLLM proxy, 1 call"] = proxy.target("fake")
        for name, more in {"fakes": (), "endpoint": ("--base-url", endpoint.base_url)}.items():
            team = await stack.enter_async_context(team_of(folder / name, DELAY_S, *more))
            targets[f"compllm, 4-node plan on {name}"] = asked_of(team)
        for name, target in targets.items():
            await put_load(target, at_once, at_once)  # what is lazy, gets ready
            for crowd in (1, at_once):
                load = await put_load(target, requests if crowd > 1 else max(1, requests // 10), crowd)
                rows.append({"server": name, "at_once": crowd, **load.figures(DELAY_S)})
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
    whole = [reply.body.rstrip().endswith(b"[DONE]") for load in loads for reply in load.replies]
    return {
        "streams_at_once": streams,
        "rounds": _ROUNDS,
        "whole": sum(whole),
        "errors": sum(len(load.errors) for load in loads) + whole.count(False),
        "p50_s": rounded(statistics.median([reply.elapsed_s for load in loads for reply in load.replies])),
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
    """Send SIGTERM while so many runs are under way; return what the journal says of those that were accepted.

    Raises:
        ConfigError: the server did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with team_of(Path(folder) / "team", 10 * DELAY_S) as team:
            load = Load()
            began_s = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_keep_asking, asked_of(team, stream=True), streams, load, tasks)
                await anyio.sleep(20 * DELAY_S)
                team.process.send_signal(signal.SIGTERM)
                code = await anyio.to_thread.run_sync(team.process.wait, _STOP_S)
            elapsed_s = time.perf_counter() - began_s
        accepted = [reply.headers["compllm-run"] for reply in load.replies]
        with Journal(Path(folder) / "team" / "data" / "runs.sqlite3") as journal:
            statuses = {row.id: row.status for row in journal.runs(limit=1_000_000)}
    told = Counter(statuses.get(run, "unknown") for run in accepted)
    ended = {"answered", "gaps", "failed", "cancelled"}
    return {
        "runs_in_journal": len(statuses),
        "answers_received": len(accepted),
        "received_by_status": dict(told),
        "journal_by_status": dict(Counter(statuses.values())),
        "lost": sum(status not in ended for status in statuses.values()) + told["unknown"],
        "refused_or_cut": dict(Counter(error[:3] for error in load.errors)),
        "exit_code": code,
        "elapsed_s": rounded(elapsed_s),
    }


async def _keep_asking(target: Target, at_once: int, load: Load, tasks: TaskGroup) -> None:
    """Ask again and again on so many connections, each until it breaks or is refused."""

    async def ask() -> None:
        try:
            async with connected(target) as connection:
                while not load.errors:
                    await send_one(connection, target, load)
        except OSError as error:
            load.errors.append(type(error).__name__)

    for _ in range(at_once):
        tasks.start_soon(ask)
