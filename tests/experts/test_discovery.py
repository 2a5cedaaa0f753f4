"""Model servers are found on their ports, and what is found but unusable is said to be so."""

import threading
from urllib.parse import urlsplit

import anyio
import pytest

from compllm.experts.discovery import PORTS, FoundEndpoint, Kind, discover
from tests.experts.misbehaving import (
    Answer,
    closing,
    failing,
    html,
    model_list,
    plain,
    refused_port,
    serving,
    silent,
    stream_of,
    waiting_for,
)

pytestmark = pytest.mark.anyio


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


async def found(answer: Answer, kind: Kind = "ollama", timeout_s: float = 5.0) -> FoundEndpoint:
    with serving(answer) as server:
        (endpoint,) = await discover({port_of(server.url): kind}, timeout_s=timeout_s)
        assert endpoint.base_url == server.url
        assert server.seen[0].path == "/v1/models"
        assert "authorization" not in server.seen[0].headers
        return endpoint


def test_the_well_known_ports() -> None:
    assert dict(PORTS) == {11434: "ollama", 8080: "llama.cpp", 8000: "vllm", 1234: "lm-studio"}


async def test_models_come_sorted() -> None:
    endpoint = await found(model_list(["qwen", "gemma", "llama"]))
    assert (endpoint.kind, endpoint.models, endpoint.problem) == ("ollama", ("gemma", "llama", "qwen"), None)


@pytest.mark.parametrize(
    ("port_kind", "owner", "kind"),
    [
        ("llama.cpp", "llamacpp", "llama.cpp"),
        ("vllm", "llamacpp", "llama.cpp"),
        ("llama.cpp", "vllm", "vllm"),
        ("vllm", "somebody", "openai"),
        ("llama.cpp", "somebody", "openai"),
        ("lm-studio", "organization_owner", "lm-studio"),
    ],
)
async def test_a_server_that_says_who_it_is_is_believed(port_kind: Kind, owner: str, kind: Kind) -> None:
    assert (await found(model_list(["m"], owner), port_kind)).kind == kind


async def test_a_chunked_list_is_read() -> None:
    body = b'{"data": [{"id": "m"}]}'
    assert (await found(stream_of(body[:9], body[9:]))).models == ("m",)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (html(200), "not with a list of models"),
        (html(502), "HTTP 502"),
        (failing(401, "no"), "wants a key"),
        (failing(404, "no"), "no list of models"),
        (plain(200, b'{"data": ['), "not with a list of models"),
        (plain(200, b'{"data": [1]}'), "not with a list of models"),
        (plain(200, b"[" * 100_000), "not with a list of models"),
        (plain(200, b'{"data": []}'), "no model yet"),
        (plain(200, b'{"data": null}'), "no model yet"),
        (lambda connection: connection.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not speak HTTP"),
        (lambda connection: connection.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "not whole"),
        (closing(b"x" * 3_000_000), "not with a list of models"),
    ],
)
async def test_anything_else_is_reported(answer: Answer, problem: str) -> None:
    def hanging_up(connection: object) -> None:
        answer(connection)  # type: ignore[arg-type]
        connection.close_connection = True  # type: ignore[attr-defined]

    endpoint = await found(hanging_up)
    assert endpoint.models == ()
    assert endpoint.problem is not None
    assert problem in endpoint.problem


async def test_silence_costs_no_more_than_the_timeout() -> None:
    begin = anyio.current_time()
    endpoint = await found(silent, timeout_s=0.1)
    assert endpoint.problem == "it does not answer in time"
    assert anyio.current_time() - begin < 2


async def test_a_free_port_is_left_out() -> None:
    assert await discover({refused_port(): "vllm"}) == []


async def test_ports_are_asked_at_once_and_listed_in_order() -> None:
    both = threading.Barrier(2)
    gate = threading.Event()

    def meeting(connection: object) -> None:
        both.wait(5)
        gate.set()

    def answer(name: str) -> Answer:
        def meet_and_answer(connection: object) -> None:
            meeting(connection)
            waiting_for(gate, model_list([name]))(connection)  # type: ignore[arg-type]

        return meet_and_answer

    with serving(answer("a")) as one, serving(answer("b")) as two:
        endpoints = await discover({port_of(two.url): "ollama", port_of(one.url): "lm-studio"}, timeout_s=10)
    assert [endpoint.models for endpoint in endpoints] == [("b",), ("a",)]
