"""An endpoint's good answers arrive whole; each of its bad ones becomes the right error, and never shows the key."""

import json
import threading
import traceback
from contextlib import aclosing
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import anyio
import pytest

from compllm.assembly import make_backend
from compllm.config import TeamFile, load_team
from compllm.errors import ConfigError, ExpertError, ExpertResponseError, ExpertTimeoutError
from compllm.experts.base import Backend, ChatRequest, Chunk, LoadReport, Message
from compllm.experts.endpoint import MAX_PAUSE_S, EndpointBackend, _pause_s
from compllm.experts.endpoint_reply import MAX_REPLY_BYTES
from compllm.settings import Settings
from tests.experts.misbehaving import (
    DONE,
    ROLE,
    Answer,
    Server,
    closing,
    cut_of,
    delta,
    event,
    failing,
    good,
    html,
    plain,
    refused_port,
    serving,
    silent,
    stalling,
    stream_of,
    waiting_for,
)

pytestmark = pytest.mark.anyio

KEY = "sk-secret-0123456789"
ASK = ChatRequest((Message("system", "Be brief."), Message("user", "Capital of France?")), max_tokens=9, seed=3)


def backend_of(server: Server, **options: Any) -> EndpointBackend:
    return EndpointBackend(server.url, "m", **{"api_key": KEY, **options})


async def chunks_of(backend: EndpointBackend, request: ChatRequest = ASK) -> list[Chunk]:
    try:
        return [chunk async for chunk in backend.stream(request)]
    finally:
        await backend.evict()


async def text_of(backend: EndpointBackend, request: ChatRequest = ASK) -> str:
    return "".join(chunk.text for chunk in await chunks_of(backend, request))


async def failure_of(backend: EndpointBackend, request: ChatRequest = ASK) -> ExpertError:
    """Return the error, after looking for the key in all that a log would show of it."""
    with pytest.raises(ExpertError) as caught:
        await chunks_of(backend, request)
    error = caught.value
    assert KEY not in "".join(traceback.format_exception(error)) + str(error) + repr(error) + repr(backend)
    assert backend.base_url in str(error)
    return error


# --- good answers ----------------------------------------------------------------------------------------------------


async def test_an_answer_arrives_in_pieces_with_its_counts() -> None:
    with serving(good("Par", "is.")) as server:
        chunks = await chunks_of(backend_of(server))
    assert chunks == [Chunk("Par"), Chunk("is."), Chunk("", 7, 2, "stop")]
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Capital of France?"},
        ],
        "max_tokens": 9,
        "temperature": 0.0,
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_it_is_a_backend_that_loads_without_asking() -> None:
    backend: Backend = EndpointBackend(f"http://127.0.0.1:{refused_port()}/v1/", "m")
    assert isinstance(backend, Backend)
    assert await backend.load() == LoadReport(0, 0.0)
    await backend.evict()
    await backend.evict()
    with anyio.move_on_after(0.01) as scope:
        await backend.crashed()
    assert scope.cancelled_caught


async def test_who_the_user_is_elsewhere_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    with serving(good("a")) as server:
        await chunks_of(backend_of(server, api_key=None))
    assert KEY not in str(server.seen[0].headers)
    assert not {"openai-organization", "openai-project"} & set(server.seen[0].headers)


async def test_one_connection_serves_many_requests_until_evicted() -> None:
    with serving(good("a")) as server:
        backend = backend_of(server)
        for _ in range(3):
            assert [chunk.text async for chunk in backend.stream(ASK)] == ["a", ""]
        assert len({seen.connection for seen in server.seen}) == 1
        await text_of(backend)
        assert await text_of(backend) == "a"
        assert len({seen.connection for seen in server.seen}) == 2


async def test_unicode_may_be_split_anywhere() -> None:
    text = "Zoë – Ωμέγα 🧭 L’Étoile"
    raw = delta(text) + delta(finish_reason="stop") + DONE
    with serving(stream_of(*(raw[at : at + 1] for at in range(len(raw))))) as server:
        assert await text_of(backend_of(server)) == text


async def test_halves_of_a_character_in_two_events_make_one() -> None:
    halves = [
        b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % half
        for half in (rb"a\ud83d", rb"\ude00b", rb"\ud83d")
    ]
    with serving(stream_of(*halves, delta(finish_reason="stop"), DONE)) as server:
        assert await text_of(backend_of(server)) == "a😀b\ufffd"


@pytest.mark.parametrize("count", [-1, True, "3", 1.5, 10**400])
async def test_a_count_that_counts_nothing_is_unknown(count: object) -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": 2}})
    with serving(stream_of(delta("Paris."), delta(finish_reason="stop"), usage, DONE)) as server:
        assert await chunks_of(backend_of(server)) == [Chunk("Paris."), Chunk("", None, 2, "stop")]


async def test_thoughts_roles_and_nulls_are_no_part_of_the_answer() -> None:
    null = event({"choices": [{"index": 0, "delta": {"content": None, "reasoning_content": "Hm."}}]})
    odd = (ROLE, null, event({"choices": [], "usage": None}), event({"choices": [{"delta": None}]}), delta(""))
    with serving(stream_of(*odd, delta("Paris."), delta(finish_reason="length"), DONE)) as server:
        assert await chunks_of(backend_of(server)) == [Chunk("Paris."), Chunk("", None, None, "length")]


async def test_thoughts_that_the_server_leaves_in_the_text_are_no_part_of_the_answer() -> None:
    thoughts = delta("<think>France? ") + delta("Rome") + delta("?</th") + delta("ink>\n\n")
    with serving(stream_of(ROLE, thoughts, delta("Par"), delta("is."), delta(finish_reason="stop"), DONE)) as server:
        assert await chunks_of(backend_of(server)) == [Chunk("Par"), Chunk("is."), Chunk("", None, None, "stop")]


@pytest.mark.parametrize(
    "answer",
    [
        closing(delta("Paris."), delta(finish_reason="stop")),
        closing(delta("Paris."), DONE),
        closing(delta("Paris."), delta(finish_reason="stop").rstrip()),
        cut_of(delta("Paris."), delta(finish_reason="stop")),
        stalling(delta("Paris."), delta(finish_reason="stop"), DONE),
        stalling(delta("Paris."), delta(finish_reason="stop")),
    ],
)
async def test_a_whole_answer_counts_however_the_connection_ends(answer: Answer) -> None:
    with serving(answer) as server:
        assert await text_of(backend_of(server, timeout_s=1.0)) == "Paris."


async def test_a_slow_first_piece_is_waited_for() -> None:
    gate = threading.Event()
    with serving(waiting_for(gate, good("a"))) as server:
        texts: list[str] = []

        async def ask() -> None:
            texts.append(await text_of(backend_of(server)))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.sleep(0.05)
            assert texts == []
            gate.set()
        assert texts == ["a"]


# --- forms -----------------------------------------------------------------------------------------------------------


async def sent_for(request: ChatRequest, **options: Any) -> dict[str, Any]:
    with serving(good("a")) as server:
        await chunks_of(backend_of(server, **options), request)
    body: dict[str, Any] = server.seen[0].body
    return body


async def test_each_dialect_asks_for_a_grammar_in_its_way() -> None:
    request = ChatRequest(ASK.messages, grammar='root ::= "a"')
    assert (await sent_for(request, dialect="llama.cpp"))["grammar"] == 'root ::= "a"'
    assert (await sent_for(request, dialect="vllm"))["structured_outputs"] == {"grammar": 'root ::= "a"'}
    with serving(good("a")) as server:
        backend = backend_of(server)
        assert not backend.supports_grammar
        assert not (await failure_of(backend, request)).retryable
    assert server.seen == []


async def test_a_schema_is_a_response_format() -> None:
    schema = {"type": "object", "properties": {}}
    sent = await sent_for(ChatRequest(ASK.messages, json_schema=json.dumps(schema)))
    assert sent["response_format"]["json_schema"]["schema"] == schema


async def test_stops_and_extra_fields_are_sent() -> None:
    sent = await sent_for(ChatRequest(ASK.messages, stop=("\n",)), extra_body={"top_k": 1})
    assert (sent["stop"], sent["top_k"]) == (["\n"], 1)


def team_with(folder: Path, base_url: str, extra_body: str) -> TeamFile:
    model = f"{{backend: endpoint, base_url: '{base_url}', model: x, extra_body: {{{extra_body}}}}}"
    (folder / "team.yaml").write_text(f"models: {{m: {model}}}\nexperts: {{e: {{model: m, description: An expert}}}}\n")
    return load_team(folder / "team.yaml")


async def test_a_team_file_adds_fields_to_every_request(tmp_path: Path) -> None:
    with serving(good("a")) as server:
        team = team_with(tmp_path, server.url, "chat_template_kwargs: {enable_thinking: false}, top_k: 1")
        backend = make_backend(team, "m", Settings(tmp_path, tmp_path))
        assert isinstance(backend, EndpointBackend)
        assert await text_of(backend) == "a"
    sent = server.seen[0].body
    assert (sent["chat_template_kwargs"], sent["top_k"]) == ({"enable_thinking": False}, 1)


@pytest.mark.parametrize(
    ("dialect", "form"),
    [
        ("openai", {"json_schema": "{}"}),
        ("llama.cpp", {"grammar": 'root ::= "a"'}),
        ("vllm", {"grammar": 'root ::= "a"'}),
    ],
)
async def test_a_team_file_may_not_add_what_requests_say(tmp_path: Path, dialect: str, form: dict[str, Any]) -> None:
    for field in await sent_for(ChatRequest(ASK.messages, stop=("\n",), **form), dialect=dialect):
        with pytest.raises(ConfigError, match=rf"extra_body\.{field}: every request says this by itself"):
            team_with(tmp_path, "http://127.0.0.1:9/v1", f"{field}: 1")


# --- retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "least_s"),
    [
        (failing(429, Retry_After="0"), 0.0),
        (failing(429, Retry_After="1"), 1.0),
        (failing(500), 0.5),
        (html(503), 0.5),
    ],
)
async def test_a_passing_failure_is_tried_again_when_the_server_says(answer: Answer, least_s: float) -> None:
    with serving(answer, good("a")) as server:
        begin = anyio.current_time()
        assert await text_of(backend_of(server)) == "a"
        assert anyio.current_time() - begin >= least_s
    assert len(server.seen) == 2


async def test_retries_are_bounded() -> None:
    with serving(failing(429, "slow down", Retry_After="0")) as server:
        error = await failure_of(backend_of(server, max_retries=3))
    assert len(server.seen) == 4
    assert isinstance(error, ExpertResponseError)
    assert error.retryable
    assert "slow down" in str(error)


async def test_a_long_pause_is_not_waited_for() -> None:
    with serving(failing(429, Retry_After=str(MAX_PAUSE_S + 1))) as server:
        assert (await failure_of(backend_of(server))).retryable
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "retry_after", "attempt", "pause_s"),
    [
        (429, "60", 0, 60.0),
        (429, "61", 0, None),
        (429, "inf", 0, None),
        (429, "nan", 0, None),
        (429, "-3", 0, 0.0),
        (429, "soon", 0, 0.0),
        (429, "Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 0, 0.0),
        (429, "Thu, 01 Jan 2020 00:00:00 +999999999999999", 0, 0.0),
        (503, "", 0, 0.5),
        (503, "", 2, 2.0),
        (429, formatdate(time() + 3600, usegmt=True), 0, None),
        (429, formatdate(time() - 3600, usegmt=True), 0, 0.0),
        (400, "0", 0, None),
        (401, "", 0, None),
    ],
)
def test_the_pause_is_what_the_server_asks_for(
    status: int, retry_after: str, attempt: int, pause_s: float | None
) -> None:
    assert _pause_s(status, retry_after, attempt) == pause_s


@pytest.mark.parametrize("status", [400, 422])
async def test_a_refused_usage_option_is_left_out_from_then_on(status: int) -> None:
    with serving(failing(status, "unknown field"), good("a")) as server:
        backend = backend_of(server)
        for _ in range(2):
            assert [chunk.text async for chunk in backend.stream(ASK)] == ["a", ""]
        await backend.evict()
    assert ["stream_options" in seen.body for seen in server.seen] == [True, False, False]


async def test_an_option_that_was_not_to_blame_is_sent_again() -> None:
    with serving(failing(400, "context is full"), failing(400, "context is full"), good("a")) as server:
        backend = backend_of(server)
        await failure_of(backend)
        assert await text_of(backend) == "a"
    assert ["stream_options" in seen.body for seen in server.seen] == [True, False, True]


async def test_a_named_field_is_left_out_or_renamed() -> None:
    script = (failing(400, param="max_tokens"), failing(400, param="temperature"), good("a"))
    with serving(*script) as server:
        assert await text_of(backend_of(server)) == "a"
    last = server.seen[-1].body
    assert last["max_completion_tokens"] == ASK.max_tokens
    assert not {"max_tokens", "temperature"} & set(last)
    assert "stream_options" in last


async def test_a_bad_request_is_an_error_at_once_when_the_option_is_known_to_work() -> None:
    with serving(good("a"), failing(400, "context is full")) as server:
        backend = backend_of(server)
        await anext(backend.stream(ASK))
        error = await failure_of(backend)
    assert len(server.seen) == 2
    assert not error.retryable
    assert "context is full" in str(error)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "says", "retryable"),
    [
        (html(200), "does not speak the OpenAI protocol", False),
        (plain(200, b'{"choices": [{"mess'), "does not speak the OpenAI protocol", False),
        (stream_of(delta("Par"), b"data: {not json\n\n"), "not JSON", False),
        (stream_of(delta("Par"), b'data: "\xff"\n\n'), "not JSON", False),
        (stream_of(b"data: " + b"[" * 100_000 + b"\n\n"), "not JSON", False),
        (stream_of(b"data: [1]\n\n"), "not an object", False),
        (stream_of(event({"choices": "no"})), "another shape", False),
        (stream_of(event({"choices": {"0": 1}})), "another shape", False),
        (stream_of(delta(5)), "another shape", False),
        (stream_of(event({"choices": [{"finish_reason": 5}]})), "another shape", False),
        (plain(422, b'{"detail": "no such field"}'), "it says: no such field", False),
        (plain(400, b'{"error": "no VRAM is left"}'), "it says: no VRAM is left", False),
        (plain(404, b"no such model\n", "text/plain"), "it says: no such model", False),
        (plain(422, b'{"detail": [{"loc": ["body", "seed"], "msg": "no such field"}]}'), "body.seed: no such", False),
        (plain(307, b"", Location="/v2/chat/completions"), "/v2 as its URL (HTTP 307)", False),
        (
            plain(301, b"", Location="https://other.example/v1/chat/completions?k=1"),
            "name https://other.example/v1 as",
            False,
        ),
        (plain(302, b"", Location="http://[::bad/"), "name http://[::bad/ as its URL", False),
        (plain(304, b""), "refused the request (HTTP 304)", False),
        (html(502), "HTTP 502", True),
        (failing(401, f"Incorrect API key provided: {KEY}"), "check TEAM_KEY", False),
        (failing(403, KEY), "TEAM_KEY", False),
        (failing(404, "model not found"), "model not found", False),
        (failing(400, "bad"), "refused the request (HTTP 400); it says: bad", False),
        (cut_of(delta("Par")), "lost the connection", True),
        (closing(delta("Par")), "lost the connection", True),
        (cut_of(), "lost the connection", True),
        (stream_of(delta("Par"), event({"error": {"message": KEY, "code": 503}})), "in the middle", True),
        (stream_of(delta("Par"), event({"error": {"message": "x", "code": 400}})), "in the middle", False),
        (stream_of(delta("Par"), event({"error": "oh"})), "in the middle of its answer: oh", True),
        (stream_of(delta("Par"), event({"object": "error", "message": "no", "code": 500})), "its answer: no", True),
        (stream_of(delta("Par"), event({"object": "error", "message": "no", "code": 400})), "its answer: no", False),
        (good(), "empty answer", True),
        (good(" ", "\n"), "empty answer", True),
        (stream_of(DONE), "empty answer", True),
        (stream_of(delta("<think>Hm."), delta(finish_reason="stop"), DONE), "empty answer", True),
        (stream_of(delta("<think>Hm."), delta(finish_reason="length"), DONE), "spent its 9 tokens before it", False),
        (stream_of(delta(reasoning_content="Hm."), delta(finish_reason="length"), DONE), "raise `max_tokens`", False),
    ],
)
async def test_what_is_no_answer_is_an_error(answer: Answer, says: str, retryable: bool) -> None:
    with serving(answer) as server:
        error = await failure_of(backend_of(server, key_name="TEAM_KEY", max_retries=0))
    assert says in str(error)
    assert error.retryable is retryable
    assert isinstance(error, ExpertResponseError) is ("lost the connection" not in says)
    assert len(server.seen) <= 2
    assert {seen.path for seen in server.seen} == {"/v1/chat/completions"}


async def test_a_missing_key_is_asked_for_by_name() -> None:
    with serving(failing(401)) as server:
        error = await failure_of(backend_of(server, api_key=None, key_name="TEAM_KEY"))
    assert "wants a key: set TEAM_KEY" in str(error)


@pytest.mark.parametrize(("end", "suggested"), [("", False), ("/api", True)])
async def test_a_wrong_address_suggests_v1(end: str, suggested: bool) -> None:
    with serving(html(404)) as server:
        url = server.url.removesuffix("/v1") + end if end else server.url
        error = await failure_of(EndpointBackend(url, "m", api_key=KEY))
    assert (f"perhaps {url}/v1" in str(error)) is suggested


async def test_a_refused_connection_asks_for_the_server() -> None:
    error = await failure_of(EndpointBackend(f"http://127.0.0.1:{refused_port()}/v1", "m", api_key=KEY))
    assert "is the server running?" in str(error)
    assert error.retryable


async def test_a_plain_server_behind_https_is_not_retried() -> None:
    with serving(good("a")) as server:
        error = await failure_of(EndpointBackend(server.url.replace("http", "https"), "m", api_key=KEY))
    assert "no secure connection" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("answer", [silent, stalling(), stalling(delta("Par"))])
async def test_silence_is_a_timeout(answer: Answer) -> None:
    with serving(answer) as server:
        error = await failure_of(backend_of(server, timeout_s=0.6))
    assert isinstance(error, ExpertTimeoutError)
    assert error.retryable
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [delta("x" * 60_000)] * (MAX_REPLY_BYTES // 60_000 + 1),
        [b"data: " + b"x" * 10**6] * (MAX_REPLY_BYTES // 10**6 + 1),
        [b": still alive\n" * 10_000] * (MAX_REPLY_BYTES // 140_000 + 1),
    ],
)
async def test_a_reply_without_end_is_cut_off(pieces: list[bytes]) -> None:
    with serving(stream_of(*pieces, DONE)) as server:
        error = await failure_of(backend_of(server))
    assert f"more than {MAX_REPLY_BYTES} bytes" in str(error)
    assert not error.retryable


# --- leaving ---------------------------------------------------------------------------------------------------------


async def disconnected(server: Server) -> bool:
    return await anyio.to_thread.run_sync(server.disconnected.wait, 5)


@pytest.mark.parametrize("answer", [silent, stalling(), stalling(delta("Par"))])
async def test_cancelling_hangs_up(answer: Answer) -> None:
    with serving(answer) as server:
        backend = backend_of(server)
        await backend.load()

        async def ask() -> None:
            await chunks_of(backend)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.to_thread.run_sync(server.stalled.wait, 5)
            assert not server.disconnected.is_set()
            group.cancel_scope.cancel()
        assert await disconnected(server)


async def test_closing_hangs_up() -> None:
    with serving(stalling(delta("Par"))) as server:
        backend = backend_of(server)
        async with aclosing(backend.stream(ASK)) as stream:
            assert (await anext(stream)).text == "Par"
        assert await disconnected(server)
        await backend.evict()


async def test_others_go_on_when_one_is_cancelled() -> None:
    with serving(stalling(delta("Par")), good("a")) as server:
        backend = backend_of(server)
        async with aclosing(backend.stream(ASK)) as stream:
            await anext(stream)
            assert [chunk.text async for chunk in backend.stream(ASK)] == ["a", ""]
        assert [chunk.text async for chunk in backend.stream(ASK)] == ["a", ""]
        await backend.evict()


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080/v1",
        "ftp://host/v1",
        "http://",
        "http://host:99999/v1",
        "http://[::1/v1",
        "",
        f"http://me:{KEY}@host/v1",
        f"ftp://me:{KEY}@host/v1",
        f"ftp://host/v1?key={KEY}",
        f"http://host/v1?key={KEY}",
        "http://host/v 1",
        "http://my host/v1",
        "http://host/\u2028/v1",
        "http://ho\nst/v1",
        "http://host/v1/chat/completions",
        "http://host/v1/chat/completions/",
    ],
)
def test_an_unusable_url_is_refused_without_showing_its_secrets(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointBackend(url, "m")
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_a_line_end_after_the_url_is_forgiven() -> None:
    with serving(good("a")) as server:
        assert await text_of(EndpointBackend(f"{server.url}/\n", "m", api_key=KEY)) == "a"


@pytest.mark.parametrize("key", [f"{KEY}\nX-Other: 1", f"Bearer {KEY}", f"{KEY}é"])
def test_an_unusable_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match="TEAM_KEY") as caught:
        EndpointBackend("http://host/v1", "m", api_key=key, key_name="TEAM_KEY")
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_a_line_end_after_the_key_is_forgiven() -> None:
    with serving(good("a")) as server:
        await chunks_of(backend_of(server, api_key=KEY + "\n"))
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
