"""What the serving bench serves, in processes of their own: `python -m compllm.bench.serving.fakes endpoint|team ...`.

The endpoint speaks OpenAI's chat API and takes a fixed time for every answer. The team has four experts in four fields;
their models are fakes in its own process, or that endpoint.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import numpy as np
import typer
import uvicorn
from starlette.types import Receive, Scope, Send

from compllm.config import load_team
from compllm.experts.base import ChatRequest, Chunk
from compllm.experts.fake import FakeExpert
from compllm.pipeline import Team
from compllm.router.base import Vectors
from compllm.settings import Settings

FIELDS = ("alpha", "beta", "gamma", "delta")
TEAM = "bench"
ANSWER = "It is one of the four."
PLAN = "\n".join(f"{number}. [{name}] What is {name}?" for number, name in enumerate(FIELDS, start=1))
_SLOTS = 256

app = typer.Typer()


class FieldEncoder:
    """Counts the four fields in a text; costs next to nothing, so that what is measured is the server."""

    name = "fields"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return vectors of shape `(len(texts), 4)`."""
        counts = np.array([[text.lower().count(name) + 0.01 for name in FIELDS] for text in texts], dtype=np.float32)
        return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), dtype=np.float32)


class Forgetful(FakeExpert):
    """A fake expert that keeps no record, so that memory tells of the server alone."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer."""
        async with aclosing(super().stream(request)) as chunks:
            async for chunk in chunks:
                yield chunk
        self.calls.clear()
        self.cancelled.clear()


def team_file(base_url: str) -> str:
    """Return the team file: one model and one expert for each field."""
    models = {name: {"backend": "endpoint", "base_url": base_url, "model": "fake", "slots": _SLOTS} for name in FIELDS}
    experts = {
        name: {"model": name, "description": f"An expert in {name} who answers questions about {name}."}
        for name in FIELDS
    }
    limits = {"runs": 5_000, "deadline_s": 60}
    server = {"port": 0, "concurrency": 5_000, "drain_s": 30}
    router = {"mode": "tag", "threshold": 0.5, "fallback": FIELDS[0]}
    file = {"name": TEAM, "models": models, "experts": experts, "router": router, "limits": limits, "server": server}
    return json.dumps(file)  # JSON is YAML


@app.command()
def team(folder: Path, delay_s: float, base_url: str = "") -> None:
    """Serve the team from a folder: fakes that take `delay_s`, or the endpoint at `base_url`."""
    from compllm.serve.logs import write_logs
    from compllm.serve.metrics import Metrics
    from compllm.serve.server import serve

    folder.mkdir()
    path = folder / "compllm.yaml"
    path.write_text(team_file(base_url or "http://127.0.0.1:9/v1"))
    fakes = {} if base_url else {name: Forgetful(lambda _: ANSWER, first_token_s=delay_s) for name in FIELDS}
    file, metrics = load_team(path), Metrics()
    settings = Settings(folder / "cache", folder / "data")
    opened = Team(file, settings, backends=fakes, encoder=FieldEncoder(), observers=[metrics])
    write_logs(sys.stderr)
    gc.set_threshold(50_000, 20, 50)

    async def run() -> None:
        await serve(opened, metrics, reread=lambda: load_team(path), announce=_announce)

    anyio.run(run)


@app.command()
def endpoint(delay_s: float) -> None:
    """Serve an endpoint that answers every chat after `delay_s`."""
    config = uvicorn.Config(Endpoint(delay_s), lifespan="off", ws="none", log_level="error")
    with config.bind_socket() as listener:
        host, port = listener.getsockname()
        _announce(f"http://{host}:{port}")
        uvicorn.Server(config).run([listener])


class Endpoint:
    """An ASGI application that answers every chat after `delay_s`, in one piece or as a stream."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        del scope
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await anyio.sleep(self._delay_s)
        asked = json.loads(body or b"{}")
        kind, reply = ("text/event-stream", _streamed()) if asked.get("stream") else ("application/json", _whole())
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(reply)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})


_USAGE = {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    return json.dumps(_completion("chat.completion", [choice], usage=_USAGE)).encode()


def _streamed() -> bytes:
    said = {"index": 0, "delta": {"role": "assistant", "content": ANSWER}, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks = [
        _completion("chat.completion.chunk", [said]),
        _completion("chat.completion.chunk", [last]),
        _completion("chat.completion.chunk", [], usage=_USAGE),
    ]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


def _completion(kind: str, choices: Sequence[object], **more: object) -> dict[str, object]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "fake", "choices": choices, **more}


def _announce(url: str) -> None:
    typer.echo(f"listens on {url}")
    sys.stdout.flush()


if __name__ == "__main__":
    app()
