"""What somebody with bad intentions sends to the server, and what it must never tell."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from compllm.errors import ExpertResponseError
from compllm.experts.fake import FakeExpert
from compllm.serve.keys import hash_of, new_key
from compllm.serve.metrics import Metrics
from tests.serve.conftest import FILE, MakeTeam
from tests.serve.running import Log, Running, bearer, running
from tests.wiring import GatedFake

pytestmark = pytest.mark.anyio
ALICE, BOB = new_key(), new_key()
CLOSED = f"""{FILE}server:
  port: 0
  keys:
    - {{name: alice, hash: {hash_of(ALICE)}, requests_per_minute: 100, concurrency: 1}}
    - {{name: bob, hash: {hash_of(BOB)}}}
"""
TIGHT = FILE + "server: {port: 0, max_body: 2KiB, head_timeout_s: 0.1, body_timeout_s: 0.1}\n"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
# Everything that a server with keys tells to those who have one.
GUARDED = [
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("GET", "/v1/runs"),
    ("GET", "/v1/runs/x"),
    ("GET", "/v1/runs/x/events"),
    ("POST", "/v1/runs/x/cancel"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/embeddings"),
]


async def read_all(stream: SocketStream) -> bytes:
    """Return everything until the server hangs up."""
    received = b""
    try:
        while True:
            received += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return received


NO_KEYS = [
    "",
    "Bearer",
    "Bearer wrong",
    f"Bearer {ALICE[:-1]}",
    f"Bearer {hash_of(ALICE)}",
    f"Basic {ALICE}",
    f"Bearer {ALICE},{BOB}",
    "Bearer \xe9",
]


async def test_without_a_key_of_the_server_nobody_gets_anything(make_team: MakeTeam, log: Log) -> None:
    body = {"model": "clinic", "messages": [{"role": "user", "content": "Hi?"}], "input": "Hi?"}
    async with running(make_team(CLOSED)) as server:
        for method, path in GUARDED:
            given = body if method == "POST" else None
            answers = [await server.client.request(method, path, json=given)]
            for header in NO_KEYS if path in {"/metrics", "/v1/chat/completions"} else ():
                headers = [(b"authorization", header.encode("latin-1"))]
                answers.append(await server.client.request(method, path, json=given, headers=headers))
            for answer in answers:
                assert (answer.status_code, path) == (401, path)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["error"]["code"] == "invalid_api_key"
        assert (await server.client.get("/healthz")).status_code == 200
    assert {entry["key"] for entry in log.entries("request")} == {""}


async def test_the_run_of_another_key_is_not_there(make_team: MakeTeam) -> None:
    async with running(make_team(CLOSED)) as server:
        run = (await server.ask(key=ALICE)).headers["compllm-run"]
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            theirs = await server.client.request(method, f"/v1/runs/{run}{path}", headers=bearer(BOB))
            nobodys = await server.client.request(method, f"/v1/runs/{run[:-6]}000000{path}", headers=bearer(BOB))
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.text.replace(run, "") == nobodys.text.replace(f"{run[:-6]}000000", "")
        assert run not in (await server.client.get("/v1/runs", headers=bearer(BOB))).text
        assert (await server.client.get(f"/v1/runs/{run}", headers=bearer(ALICE))).status_code == 200


async def test_limits_are_kept_by_key_and_say_when_to_come_again(make_team: MakeTeam) -> None:
    gated = GatedFake("What", answers=str.upper)
    body = {"model": "clinic", "messages": [{"role": "user", "content": "What is pulse?"}], "stream": True}
    async with running(make_team(CLOSED, one=gated)) as server:
        stream = server.client.stream("POST", "/v1/chat/completions", json=body, headers=bearer(ALICE))
        async with stream as response:
            refused = await server.client.get("/v1/models", headers=bearer(ALICE))
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(refused.headers["retry-after"]) >= 1
            assert (await server.client.get("/v1/models", headers=bearer(BOB))).status_code == 200
            gated.let("What")
            assert "WHAT IS PULSE?" in (await response.aread()).decode()
        assert (await server.client.get("/v1/models", headers=bearer(ALICE))).status_code == 200


async def test_runs_that_go_on_by_themselves_do_not_take_the_queue_from_other_keys(make_team: MakeTeam) -> None:
    gated = GatedFake("What", answers=str.upper)
    async with running(make_team(CLOSED, one=gated)) as server:
        begun = [await server.client.post("/v1/runs", json={"question": "What?"}, headers=bearer(ALICE))]
        begun.append(await server.client.post("/v1/runs", json={"question": "What?"}, headers=bearer(ALICE)))
        assert [answer.status_code for answer in begun] == [202, 429]
        assert begun[1].json()["error"]["code"] == "rate_limit_exceeded"
        assert int(begun[1].headers["retry-after"]) >= 1
        gated.let("What")
        assert (await server.ask(key=BOB)).status_code == 200


async def told(server: Running, *pieces: bytes) -> bytes:
    """Send bytes, each piece after an answer to the one before, and return what comes until the server hangs up."""
    async with await server.connect() as stream:
        await stream.send(pieces[0])
        received = b""
        for piece in pieces[1:]:
            received += await stream.receive()
            await stream.send(piece)
        return received + await read_all(stream)


TOO_LARGE = [
    b"content-length: 2049\r\n\r\n",
    b"content-length: 99999999999999999999\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n401\r\n" + b"x" * 1025 + b"\r\n",
]


async def test_a_body_too_large_is_refused_declared_or_in_chunks(make_team: MakeTeam) -> None:
    async with running(make_team(TIGHT)) as server:
        for body in TOO_LARGE:
            answer = await told(server, HEAD + body)
            assert answer.startswith(b"HTTP/1.1 413")
            assert b'"type":"invalid_request_error"' in answer
        assert (await server.ask()).status_code == 200


async def test_who_still_sends_what_is_far_too_large_sees_why_it_is_refused(make_team: MakeTeam) -> None:
    async with running(make_team(FILE + "server: {port: 0, max_body: 2KiB}\n")) as server:
        answer = await server.client.post("/v1/chat/completions", content=bytes(16_000_000))
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "invalid_request_error")


WHOLE = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
# What is sent before nothing more comes, and what is answered before the server hangs up.
SLOW: list[tuple[tuple[bytes, ...], bytes]] = [
    ((b"GET / HT",), b""),
    ((HEAD,), b""),
    ((WHOLE, b"GET /heal"), b"HTTP/1.1 200"),
    ((WHOLE + b"GET /heal",), b"HTTP/1.1 200"),
    ((HEAD + b"content-length: 9\r\n\r\n{",), b"HTTP/1.1 408"),
    ((HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",), b"HTTP/1.1 408"),
]


async def test_who_sends_nothing_more_is_hung_up_on(make_team: MakeTeam) -> None:
    async with running(make_team(TIGHT)) as server:
        async with await server.connect() as silent:
            assert await read_all(silent) == b""
        for pieces, status in SLOW:
            assert (await told(server, *pieces)).startswith(status)


async def test_who_leaves_before_the_whole_request_is_there_is_no_error_of_the_server(
    make_team: MakeTeam, log: Log
) -> None:
    async with running(make_team(FILE + "server: {port: 0}\n")) as server:
        async with await server.connect() as client:
            await client.send(HEAD + b"content-length: 100\r\n\r\n{")
        assert (await log.until("request"))["status"] == 499


async def test_a_byte_now_and_then_keeps_no_connection_open(make_team: MakeTeam) -> None:
    async with running(make_team(TIGHT)) as server, await server.connect() as stream:
        await stream.send(b"GET /healthz HTTP/1.1\r\n")
        sent = 0

        async def drip() -> None:
            nonlocal sent
            while True:
                await stream.send(b"a: b\r\n")
                sent += 1
                await anyio.sleep(0.01)  # as the attack does

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drip)
            assert await read_all(stream) == b""
            tasks.cancel_scope.cancel()
        assert 0 < sent < 100
        assert (await server.client.get("/healthz")).status_code == 200


async def test_a_slow_head_does_not_keep_a_busy_connection_from_working(make_team: MakeTeam) -> None:
    slow = FakeExpert(str.upper, first_token_s=0.3)
    async with running(make_team(TIGHT, one=slow)) as server:
        assert (await server.ask()).status_code == 200  # three times the patience with heads and bodies


async def test_other_sites_names_lead_nowhere_where_no_key_is_asked_for(make_team: MakeTeam) -> None:
    async with running(make_team(TIGHT)) as server:
        for host, status in (("evil.example", 400), ("localhost", 200), ("127.0.0.1:99", 200), ("[::1]:8321", 200)):
            assert (await server.client.get("/healthz", headers={"host": host})).status_code == status


async def test_a_second_key_does_not_hide_in_the_log_whose_request_it_was(make_team: MakeTeam, log: Log) -> None:
    async with running(make_team(CLOSED)) as server:
        for second in (f"Bearer {BOB}", "Bearer wrong", "Basic x"):
            headers = [("authorization", f"Bearer {ALICE}"), ("authorization", second)]
            assert (await server.client.get("/v1/models", headers=headers)).status_code == 200
    assert [entry["key"] for entry in log.entries("request")] == ["alice"] * 3


NASTY = '\r\nX-Injected: yes\r\n\r\n<script>\x1b[31m\n{"level": "error"}'


async def test_what_a_client_says_gets_into_no_header_and_no_line_of_its_own(make_team: MakeTeam, log: Log) -> None:
    async with running(make_team(TIGHT)) as server:
        body = {"model": NASTY, "messages": [{"role": "user", "content": NASTY}], "user": NASTY}
        answers = [
            await server.client.post("/v1/chat/completions", json=body),
            await server.client.post("/v1/chat/completions", json={**body, "model": "clinic"}),
            await server.client.get("/v1/runs/%0d%0aX-Injected:%20yes%0a%7B%22level%22:1%7D"),
            await server.client.get("/v1/runs", params={"search": NASTY, "after": NASTY}),
        ]
        assert not any("x-injected" in answer.headers for answer in answers)
        assert all(answer.status_code < 500 for answer in answers)
    assert len(log.entries("request")) == len(answers)
    assert log.text.isascii()
    assert "\x1b" not in log.text


NOT_HTTP = [
    b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: localhost\r\nx\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\r\n\r\n",
    HEAD + b"content-length: 3\r\ncontent-length: 5\r\n\r\n{}",
    HEAD + b"content-length: -1\r\n\r\n",
    b"GET /" + b"x" * 70_000,
]


async def test_heads_that_cannot_be_read_are_refused(make_team: MakeTeam) -> None:
    async with running(make_team(TIGHT)) as server:
        for head in NOT_HTTP:
            assert (await told(server, head)).startswith(b"HTTP/1.1 400"), head
        assert (await server.client.get("/healthz")).status_code == 200


def whole(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_secrets_are_nowhere(
    make_team: MakeTeam, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = "sk-upstream-0123456789"
    monkeypatch.setenv("UPSTREAM_KEY", upstream)
    text = CLOSED.replace("model: m, slots: 3", "model: m, slots: 3, api_key_env: UPSTREAM_KEY")
    told = FakeExpert(lambda question: f"the key is {upstream}")
    broken = FakeExpert(failures={n: ExpertResponseError(f"401: no {upstream}") for n in range(1, 9)})
    metrics = Metrics()
    async with running(make_team(text, one=told, two=broken, observers=[metrics]), metrics) as server:
        for question in ("What is pulse?", "What is insulin?", f"Is {upstream} mine?"):
            assert (await server.ask(question, ALICE)).status_code in {200, 502}
        wrong = await server.ask(key=f"{BOB}x")
        shown = (await server.client.get("/metrics", headers=bearer(ALICE))).text
    kept = whole(tmp_path / "data")
    for secret in (ALICE, BOB, upstream):
        assert secret.encode() not in kept
        assert secret not in log.text + shown + wrong.text
    assert {entry["key"] for entry in log.entries("request")} == {"alice", ""}
