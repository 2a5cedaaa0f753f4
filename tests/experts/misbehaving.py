"""A real HTTP server on a loopback port that answers its requests by a script, well or badly."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Seen:
    """A request that arrived; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: Any
    connection: tuple[str, int]


@dataclass
class Server:
    """What a test reads: the URL, the requests, whether the client hung up on a `stall`; `release` ends all stalls."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


class Connection(BaseHTTPRequestHandler):
    """One connection to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    told: Server
    script: list[Answer]

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.told.seen.append(Seen(self.path, headers, body, self.client_address))
        try:
            answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.told.disconnected.set()
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass

    def head(self, status: int, content_type: str, *, length: int | None = None, **headers: str) -> None:
        """Send status and headers; without a length the body ends when the connection does."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def chunked_head(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def stall(self) -> None:
        """Stay silent until the client hangs up or the test ends."""
        self.told.stalled.set()
        self.connection.settimeout(0.01)
        while not self.told.release.is_set():
            try:
                if not self.connection.recv(1):
                    self.told.disconnected.set()
                    break
            except TimeoutError:
                continue
            except ConnectionResetError:
                self.told.disconnected.set()
                break
        self.close_connection = True


Answer = Callable[[Connection], None]


@contextmanager
def serving(*script: Answer) -> Iterator[Server]:
    """Serve the script's answers one after another, the last one for ever."""
    told = Server(url="")
    connection = type("Scripted", (Connection,), {"told": told, "script": list(script)})
    with ThreadingHTTPServer(("127.0.0.1", 0), connection) as server:
        server.daemon_threads = True
        told.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield told
        finally:
            told.release.set()
            server.shutdown()
            thread.join()


def refused_port() -> int:
    """Return a port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def delta(content: object = None, finish_reason: str | None = None, **more: object) -> bytes:
    inner = {**more} if content is None else {"content": content, **more}
    return event({"choices": [{"index": 0, "delta": inner, "finish_reason": finish_reason}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}})
DONE = b"data: [DONE]\n\n"
ROLE = delta(role="assistant")


def stream_of(*pieces: bytes) -> Answer:
    """Send the pieces as a chunked stream that ends properly."""

    def answer(connection: Connection) -> None:
        connection.chunked_head()
        for piece in pieces:
            connection.chunk(piece)
        connection.wfile.write(b"0\r\n\r\n")

    return answer


def good(*words: str) -> Answer:
    return stream_of(ROLE, *(delta(word) for word in words), delta(finish_reason="stop"), USAGE, DONE)


def closing(*pieces: bytes) -> Answer:
    """Send the pieces as a stream that ends with the connection."""

    def answer(connection: Connection) -> None:
        connection.head(200, "text/event-stream")
        for piece in pieces:
            connection.wfile.write(piece)

    return answer


def cut_of(*pieces: bytes) -> Answer:
    """Send the pieces as a chunked stream and close the connection without its end."""

    def answer(connection: Connection) -> None:
        connection.chunked_head()
        for piece in pieces:
            connection.chunk(piece)
        connection.close_connection = True

    return answer


def stalling(*pieces: bytes) -> Answer:
    """Send the pieces, then nothing."""

    def answer(connection: Connection) -> None:
        connection.chunked_head()
        for piece in pieces:
            connection.chunk(piece)
        connection.stall()

    return answer


def silent(connection: Connection) -> None:
    """Send nothing at all."""
    connection.stall()


def waiting_for(gate: threading.Event, then: Answer) -> Answer:
    """Answer only once the gate is open."""

    def answer(connection: Connection) -> None:
        gate.wait(10)
        then(connection)

    return answer


def plain(status: int, body: bytes, content_type: str = "application/json", **headers: str) -> Answer:
    def answer(connection: Connection) -> None:
        connection.head(status, content_type, length=len(body), **headers)
        connection.wfile.write(body)

    return answer


def failing(status: int, message: str = "", *, param: str | None = None, **headers: str) -> Answer:
    """Refuse as the OpenAI protocol has it."""
    return plain(status, json.dumps({"error": {"message": message, "param": param}}).encode(), **headers)


def html(status: int) -> Answer:
    return plain(status, b"<html><body>It works!</body></html>", "text/html; charset=utf-8")


def model_list(ids: Sequence[str], owner: str = "library") -> Answer:
    data = [{"id": name, "object": "model", "owned_by": owner} for name in ids]
    return plain(200, json.dumps({"object": "list", "data": data}).encode())
