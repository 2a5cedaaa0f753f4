"""The endpoint encoder against a real server on loopback."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import numpy as np
import pytest

from compllm.errors import RoutingError
from compllm.router.endpoint_encoder import EndpointEncoder

Reply = tuple[int, str, str]


def vectors(rows: list[object]) -> Reply:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    return 200, "application/json", json.dumps({"object": "list", "model": "m", "data": data})


@contextmanager
def served(reply: Callable[[dict[str, object], dict[str, str]], Reply]) -> Iterator[str]:
    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, kind, text = reply(body, {key.lower(): value for key, value in self.headers.items()})
            payload = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(payload)))
            with suppress(ConnectionError):  # a client that gave up
                self.end_headers()
                self.wfile.write(payload)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def encode(url: str, texts: list[str], **given: object) -> np.ndarray:
    encoder = EndpointEncoder(url, "m", api_key="key", retries=0, **given)  # type: ignore[arg-type]
    try:
        return encoder.encode(texts)
    finally:
        encoder.close()


def lengths(body: dict[str, object], _: object) -> Reply:
    return vectors([[float(len(text)), 1.0, 0.0] for text in body["input"]])  # type: ignore[attr-defined]


def test_vectors_are_normalised_in_order_and_batched() -> None:
    seen: list[tuple[int, str, object]] = []

    def reply(body: dict[str, object], headers: dict[str, str]) -> Reply:
        seen.append((len(body["input"]), headers["authorization"], body["model"]))  # type: ignore[arg-type]
        return lengths(body, headers)

    with served(reply) as url:
        found = encode(url, ["x" * (number % 7 + 1) for number in range(100)])
    assert found.shape == (100, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[:, 0] / found[:, 1], [number % 7 + 1 for number in range(100)], rtol=1e-5)
    assert seen == [(count, "Bearer key", "m") for count in (32, 32, 32, 4)]


def test_the_index_decides_the_order() -> None:
    def reply(body: dict[str, object], _: object) -> Reply:
        status, kind, text = vectors([[1.0, 0.0], [0.0, 1.0]])
        data = json.loads(text)
        data["data"].reverse()
        return status, kind, json.dumps(data)

    with served(reply) as url:
        assert encode(url, ["a", "b"]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_no_texts_ask_nobody() -> None:
    assert encode("http://127.0.0.1:9/v1", []).shape == (0, 0)


def test_who_the_user_is_elsewhere_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def noted(body: dict[str, object], headers: dict[str, str]) -> Reply:
        seen.append(headers)
        return lengths(body, headers)

    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "mine")
    with served(noted) as url:
        encode(url, ["a"])
    assert "mine" not in seen[0].values()


def test_empty_texts_and_lone_surrogates_can_be_sent() -> None:
    with served(lengths) as url:
        assert encode(url, ["", "a\ud800b"]).shape == (2, 3)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, "text/html", "<html>hello</html>"), "/v1"),
        ((200, "application/json", "{broken"), "no JSON"),
        ((200, "application/json", "[]"), "answered with"),
        ((200, "application/json", "{}"), "answered with"),
        ((401, "application/json", '{"error": {"message": "no"}}'), "API key"),
        ((404, "application/json", '{"error": {"message": "no such model"}}'), "404"),
        ((500, "text/plain", "oops"), "500"),
        (vectors([[1.0, 2.0]]), "shape"),
        (vectors([[1.0, 2.0], [1.0]]), "one length"),
        (vectors([[], []]), "shape"),
        (vectors([1.0, 2.0]), "shape"),
        (vectors([["a"], ["b"]]), "one length"),
        (vectors([[1.0, float("nan")], [1.0, 1.0]]), "finite"),
        (vectors([[0.0, 0.0], [1.0, 1.0]]), "zeros"),
        (vectors([None, None]), "answered with"),
    ],
)
def test_what_is_no_vectors_is_refused_with_a_reason(answer: Reply, message: str) -> None:
    with served(lambda *_: answer) as url, pytest.raises(RoutingError, match=message) as caught:
        encode(url, ["a", "b"])
    assert "encoder m" in str(caught.value)


def test_a_server_that_repeats_the_key_does_not_have_it_shown() -> None:
    said = json.dumps({"error": {"message": f"{'x' * 50} key {'y' * 80} key"}})
    with served(lambda *_: (500, "application/json", said)) as url, pytest.raises(RoutingError) as caught:
        encode(url, ["a"])
    assert "key" not in str(caught.value)
    assert "[redacted]" in str(caught.value)


def test_without_a_key_nothing_of_an_error_is_hidden() -> None:
    said = '{"error": {"message": "none of the models is m"}}'
    with served(lambda *_: (404, "application/json", said)) as url, pytest.raises(RoutingError, match="none of the"):
        EndpointEncoder(url, "m", retries=0).encode(["a"])


def test_repeated_indices_are_refused() -> None:
    status, kind, text = vectors([[1.0, 0.0], [0.0, 1.0]])
    twice = text.replace('"index": 1', '"index": 0')
    with served(lambda *_: (status, kind, twice)) as url, pytest.raises(RoutingError):
        encode(url, ["a", "b"])


def test_lengths_that_change_between_batches_are_refused() -> None:
    def reply(body: dict[str, object], _: object) -> Reply:
        count = len(body["input"])  # type: ignore[arg-type]
        return vectors([[1.0] * (2 if count == 32 else 3)] * count)

    with served(reply) as url, pytest.raises(RoutingError, match="different lengths"):
        encode(url, ["a"] * 65)


def test_a_server_that_is_not_there_is_a_routing_error() -> None:
    with served(lengths) as url:
        pass
    with pytest.raises(RoutingError, match="cannot be reached"):
        encode(url, ["a"])


def test_a_server_that_does_not_answer_in_time_is_a_routing_error() -> None:
    released = Event()

    def reply(body: dict[str, object], headers: dict[str, str]) -> Reply:
        released.wait(10)
        return lengths(body, headers)

    with served(reply) as url:
        try:
            with pytest.raises(RoutingError, match="in time"):
                encode(url, ["a"], timeout_s=0.2)
        finally:
            released.set()


def test_an_encoder_that_nobody_has_any_more_closes_its_connections() -> None:
    with served(lambda body, headers: vectors([[1.0, 0.0]])) as url:
        encoder = EndpointEncoder(url, "m")
        encoder.encode(["a"])
        client = encoder._client
        assert not client.is_closed()
        del encoder
        assert client.is_closed()
