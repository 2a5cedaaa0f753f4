"""The server as a whole: what it answers, how it stops, and how it takes another team file in."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import anyio
import httpx
import pytest

from compllm.config import ServerConfig, load_team
from compllm.errors import ConfigError
from compllm.experts.base import ChatRequest, Chunk
from compllm.journal import Journal
from compllm.serve.keys import hash_of
from compllm.serve.metrics import Metrics
from compllm.serve.server import check_exposure, serve
from tests.serve.conftest import FILE, MakeTeam
from tests.serve.running import Log, Running, hang_up, running, terminate
from tests.wiring import GatedFake

pytestmark = pytest.mark.anyio
SERVED = FILE + "server: {port: 0}\n"
STREAM = {"model": "clinic", "messages": [{"role": "user", "content": "What is pulse?"}], "stream": True}


async def test_a_team_is_served_with_health_answers_and_metrics(make_team: MakeTeam, log: Log) -> None:
    metrics = Metrics()
    async with running(make_team(SERVED, observers=[metrics]), metrics) as server:
        assert (await server.client.get("/healthz")).status_code == 200
        assert (await server.client.get("/readyz")).status_code == 200
        for path in ("/healthz", "/readyz"):  # as `wget --spider` and many monitors look
            assert (await server.client.head(path)).status_code == 200
        answer = await server.ask()
        assert answer.json()["choices"][0]["message"]["content"] == "WHAT IS PULSE?"
        told = await server.client.get("/metrics")
        assert 'compllm_run_seconds_count{outcome="answered"} 1.0' in told.text
        assert told.headers["content-type"].startswith("text/plain")
        begun = await server.client.post("/v1/runs", json={"question": "What is pulse?"})
        on_page = await server.client.post("/ask", data={"question": "What is pulse?"})
    named = {entry["path"]: entry["run"] for entry in log.entries("request")}
    assert (named["/v1/runs"], named["/ask"]) == (begun.json()["id"], on_page.headers["location"].split("/")[-1])
    line = next(entry for entry in log.entries("request") if entry["path"] == "/v1/chat/completions")
    assert (line["method"], line["status"], line["run"]) == ("POST", 200, answer.headers["compllm-run"])
    assert isinstance(line["ms"], float)
    assert "pulse" not in log.text.lower()
    assert log.entries("stopped")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
async def test_without_keys_only_this_machine_may_be_listened_on(make_team: MakeTeam, host: str) -> None:
    team = make_team(FILE + f'server: {{port: 0, host: "{host}"}}\n')
    with pytest.raises(ConfigError, match="compllm keys new"):
        await serve(team, Metrics(), reread=load_team, announce=pytest.fail)
    check_exposure(ServerConfig.model_validate({"host": host, "keys": [{"name": "a", "hash": hash_of("a")}]}))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_needs_no_keys(host: str) -> None:
    check_exposure(ServerConfig(host=host))


async def test_a_port_that_is_taken_is_said(make_team: MakeTeam) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        team = make_team(FILE + f"server: {{port: {other.getsockname()[1]}}}\n")
        with pytest.raises(ConfigError, match="cannot listen on 127"):
            await serve(team, Metrics(), reread=load_team, announce=pytest.fail)


async def begin(stack: AsyncExitStack, server: Running) -> httpx.Response:
    """Begin to stream an answer; return once the run is under way."""
    response = await stack.enter_async_context(server.client.stream("POST", "/v1/chat/completions", json=STREAM))
    assert response.status_code == 200
    return response


def status_of(team_folder: Path, run: str) -> str:
    with Journal(team_folder / "data" / "runs.sqlite3") as journal:
        return journal.run(run).status


async def test_open_runs_end_before_the_server_does(make_team: MakeTeam, tmp_path: Path, log: Log) -> None:
    gated = GatedFake("What", answers=str.upper)
    async with running(make_team(SERVED, one=gated)) as server, AsyncExitStack() as stack:
        response = await begin(stack, server)
        terminate()
        await log.until("draining")
        assert (await server.client.get("/readyz")).status_code == 503
        refused = await server.ask()
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        gated.let("What")
        text = "".join([piece async for piece in response.aiter_text()])
        assert "WHAT IS PULSE?" in text
        assert text.rstrip().endswith("[DONE]")
        await server.stopped.wait()
    assert status_of(tmp_path, response.headers["compllm-run"]) == "answered"


@pytest.mark.parametrize(("drain_s", "signals"), [(0, 1), (600, 2)])
async def test_what_is_not_done_in_time_is_cancelled_and_its_stream_ends(
    make_team: MakeTeam, tmp_path: Path, log: Log, drain_s: int, signals: int
) -> None:
    team = make_team(FILE + f"server: {{port: 0, drain_s: {drain_s}}}\n", one=GatedFake("What"))
    async with running(team) as server, AsyncExitStack() as stack:
        response = await begin(stack, server)
        terminate()
        await log.until("draining")
        if signals == 2:
            terminate()
        text = "".join([piece async for piece in response.aiter_text()])
        assert "the server has stopped" in text
        assert "run_interrupted" in text
        assert text.rstrip().endswith("[DONE]")
        await server.stopped.wait()
    assert status_of(tmp_path, response.headers["compllm-run"]) == "cancelled"


async def test_whoever_waits_for_the_whole_is_told_that_the_server_stopped(make_team: MakeTeam) -> None:
    class Asked(GatedFake):
        asked = anyio.Event()

        async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
            self.asked.set()
            async with aclosing(super().stream(request)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def stop() -> None:
        await Asked.asked.wait()
        terminate()

    async with running(make_team(FILE + "server: {port: 0, drain_s: 0}\n", one=Asked("What"))) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            response = await server.ask()
        assert (response.status_code, response.json()["error"]["code"]) == (503, "run_interrupted")
        await server.stopped.wait()


NEW_EXPERT = "  skin: {model: one, description: An expert in skin who answers questions about skin and rashes.}\nrouter"


async def test_a_reload_adds_and_removes_experts_while_a_run_goes_on(
    make_team: MakeTeam, tmp_path: Path, log: Log
) -> None:
    gated = GatedFake("What", answers=str.upper)
    async with running(make_team(SERVED, one=gated)) as server, AsyncExitStack() as stack:
        response = await begin(stack, server)
        changed = SERVED.replace("router", NEW_EXPERT, 1).replace(SERVED[SERVED.index("  glands") :].split("\n")[0], "")
        (tmp_path / "compllm.yaml").write_text(changed)
        hang_up()
        told = await log.until("reloaded")
        assert (told["experts"], told["after_restart"]) == (["heart", "general", "skin"], [])
        gated.let("What")
        assert "WHAT IS PULSE?" in "".join([piece async for piece in response.aiter_text()])
        body = {"model": "skin", "messages": [{"role": "user", "content": "Is it?"}]}
        assert (await server.client.post("/v1/chat/completions", json=body)).status_code == 200
        gone = await server.client.post("/v1/chat/completions", json={**body, "model": "glands"})
        assert gone.status_code == 404


async def test_a_reload_changes_keys_and_says_what_waits_for_a_restart(
    make_team: MakeTeam, tmp_path: Path, log: Log
) -> None:
    def text(key: str, more: str = "") -> str:
        return FILE + f"server:\n  port: 0\n{more}  keys:\n    - {{name: alice, hash: {hash_of(key)}}}\n"

    async with running(make_team(text("old"))) as server:
        assert (await server.ask(key="old")).status_code == 200
        (tmp_path / "compllm.yaml").write_text(text("new", "  max_body: 4KiB\n"))
        hang_up()
        assert (await log.until("reloaded"))["after_restart"] == ["max_body"]
        assert (await server.ask(key="new")).status_code == 200
        assert (await server.ask(key="old")).status_code == 401


async def test_when_its_keys_are_taken_away_a_server_answers_to_its_own_name_only(
    make_team: MakeTeam, tmp_path: Path, log: Log
) -> None:
    keys = f"  keys:\n    - {{name: alice, hash: {hash_of('key')}}}\n"
    elsewhere = {"host": "evil.example"}
    async with running(make_team(FILE + "server:\n  port: 0\n" + keys)) as server:
        assert (await server.client.get("/healthz", headers=elsewhere)).status_code == 200
        (tmp_path / "compllm.yaml").write_text(SERVED)
        hang_up()
        await log.until("reloaded")
        assert (await server.ask()).status_code == 200
        assert (await server.client.get("/healthz", headers=elsewhere)).status_code == 400


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("models: [", "not valid YAML"),
        (SERVED.replace("slots: 3", "slots: 4"), "models.one"),
        (SERVED + "ruoter: {}\n", "unknown key"),
        (SERVED + "port: !!bool maybe\n", "a tag does not fit its value"),
    ],
)
async def test_a_file_that_cannot_be_used_changes_nothing(
    make_team: MakeTeam, tmp_path: Path, log: Log, broken: str, said: str
) -> None:
    async with running(make_team(SERVED)) as server:
        (tmp_path / "compllm.yaml").write_text(broken)
        hang_up()
        assert said in str((await log.until("reload refused"))["reason"])
        assert (await server.ask()).status_code == 200
