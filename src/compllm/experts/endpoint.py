"""Any server that speaks the OpenAI chat protocol: hosted, Ollama, llama-server, vLLM, LM Studio."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin, urlsplit

import anyio
import anyio.to_thread

from compllm.errors import ConfigError, ExpertError, ExpertResponseError, ExpertTimeoutError
from compllm.experts.base import ChatRequest, Chunk, LoadReport
from compllm.experts.endpoint_reply import Reply, broken_off, passing, said_in

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, AsyncStream

Dialect = Literal["openai", "llama.cpp", "vllm"]

MAX_PAUSE_S = 60.0  # a server that asks for more is given up for now
_CHAT = "/chat/completions"  # what every request adds to the base URL
_MESSAGE_CHARS = 500
_CONNECT_S = 10.0
_DRAIN_S = 0.1
# What some servers or models refuse and an answer does not need.
_OPTIONAL = ("stream_options", "max_tokens", "temperature", "seed")


class EndpointBackend:
    """Reaches one model of a server over HTTP, always streaming; it takes no memory of ours.

    Requests that a server puts off (429) or fails (5xx) are repeated `max_retries` times, after its Retry-After if
    that is at most a minute; refused connections and timeouts are not, because another expert may answer sooner. The
    client's own retries are off: they repeat timeouts, and wait for up to two minutes.

    No message, `repr` or traceback shows the key.

    Args:
        base_url: up to and including the `/v1` that most servers have.
        model: the name the server knows it by.
        api_key: sent as bearer token, when there is one.
        key_name: where the key comes from, such as an environment variable, for messages.
        timeout_s: the longest silence, before the first piece and between two pieces.
        dialect: how a grammar is asked for; `openai` has none.
        extra_body: fields added to every request.

    Raises:
        ConfigError: the URL or the key cannot be used.
    """

    supports_json_schema = True

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        key_name: str = "api_key",
        timeout_s: float = 120.0,
        max_retries: int = 2,
        dialect: Dialect = "openai",
        extra_body: Mapping[str, object] | None = None,
    ) -> None:
        self.base_url = checked_url(base_url)
        self.model = model
        self.dialect = dialect
        self.supports_grammar = dialect != "openai"
        self._key = _checked_key(api_key, key_name)
        self._key_name = key_name
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        self._extra_body = dict(extra_body or {})
        self._client: AsyncOpenAI | None = None
        self._refused: frozenset[str] = frozenset()
        self._accepted_once = False

    def __repr__(self) -> str:
        return f"EndpointBackend({self.base_url!r}, {self.model!r}, dialect={self.dialect!r})"

    async def load(self) -> LoadReport:
        """Prepare the client; asks the server nothing, since that would tell nothing about the next minute."""
        await anyio.to_thread.run_sync(lambda: self._connected().chat.completions)  # imports take most of a second
        return LoadReport(0, 0.0)

    async def evict(self) -> None:
        """Close the open connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def crashed(self) -> str:
        """Never return: a server elsewhere fails request by request."""
        while True:
            await anyio.sleep_forever()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer piece by piece; closing or cancelling closes the connection, which stops the server's decoding.

        Raises:
            ExpertTimeoutError: nothing came for `timeout_s`.
            ExpertResponseError: the server refused, or what it sent is not an answer.
            ExpertError: it cannot be reached, or the connection was lost before the answer was whole.
        """
        import openai

        failures: tuple[type[Exception], ...] = (openai.OpenAIError, ssl.SSLError, anyio.EndOfStream)
        failures += _http_errors("RequestError")
        reply: Reply | None = None
        try:
            async with await self._answering(self._body(request)) as answer:
                reply = Reply(answer.response.headers.get("content-type", ""), request.max_tokens, self._error)
                pieces = answer.response.aiter_bytes()
                async for piece in pieces:
                    for chunk in reply.feed(piece):
                        yield chunk
                    if reply.done:
                        await _drain(pieces)
        except failures as error:
            if reply is None or not reply.whole:
                raise self._translated(error, begun=reply is not None) from None
        for chunk in reply.end():
            yield chunk

    def _translated(self, error: Exception, *, begun: bool) -> ExpertError:
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._status_error(error)
        if isinstance(error, (openai.APITimeoutError, *_http_errors("TimeoutException"))):
            return self._error(f"was silent for too long ({self._timeout_s:g} s)", ExpertTimeoutError, retryable=True)
        return broken_off(self._error) if begun else self._unreachable(error)

    def _error(
        self, message: str, kind: type[ExpertError] = ExpertResponseError, *, retryable: bool = False
    ) -> ExpertError:
        """Return an error about this endpoint, without the key should the message hold it."""
        if self._key:
            message = message.replace(self._key, "***")
        return kind(f"{self.model} at {self.base_url} {message[:_MESSAGE_CHARS]}", retryable=retryable)

    def _connected(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

        if self._client is None:
            timeout = Timeout(self._timeout_s, connect=min(self._timeout_s, _CONNECT_S))
            self._client = AsyncOpenAI(
                base_url=self.base_url,
                api_key=self._key or "none",  # else the client would send OPENAI_API_KEY to any server
                max_retries=0,
                # Where a server sends elsewhere, a request may arrive there as another one, or without its key.
                http_client=DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
            )
            # None as an argument would mean what OPENAI_ORG_ID and OPENAI_PROJECT_ID hold.
            self._client.organization = self._client.project = None
        return self._client

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        if request.grammar and not self.supports_grammar:
            raise self._error("takes no grammar")
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            "extra_body": {**_constraint(request, self.dialect), **self._extra_body},
        }
        return body | ({"stop": list(request.stop)} if request.stop else {})

    async def _answering(self, body: dict[str, Any]) -> AsyncStream[Any]:
        """Return the open reply, after the pauses that the server asks for."""
        from openai import APIStatusError

        for attempt in range(self._max_retries + 1):
            try:
                return await self._accepted(body)
            except APIStatusError as error:
                pause_s = _pause_s(error.status_code, error.response.headers.get("retry-after", ""), attempt)
                if pause_s is None or attempt == self._max_retries:
                    raise
            await anyio.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    async def _accepted(self, body: dict[str, Any]) -> AsyncStream[Any]:
        """Send the request; leave out, now and from now on, what the server refuses and an answer does not need."""
        from openai import APIStatusError

        refused = self._refused
        while True:
            try:
                answer: AsyncStream[Any] = await self._connected().chat.completions.create(**_without(body, refused))
            except APIStatusError as error:
                culprit = self._culprit(error, refused)
                if culprit is None:
                    raise
                refused |= {culprit}
            else:
                self._refused |= refused
                self._accepted_once = True
                return answer

    def _culprit(self, error: APIStatusError, refused: frozenset[str]) -> str | None:
        """Return the optional field that a 400 or 422 is about.

        The server may name it; if it does not, it is taken to be `stream_options`, until a first request was accepted.
        """
        if error.status_code not in (400, 422):
            return None
        named = error.param
        if named is None and not self._accepted_once:
            named = "stream_options"
        return named if named in _OPTIONAL and named not in refused else None

    def _status_error(self, error: APIStatusError) -> ExpertError:
        status = error.status_code
        if error.response.has_redirect_location:
            there = self._based(error.response.headers["location"])
            return self._error(f"sends requests elsewhere: name {there} as its URL (HTTP {status})")
        advice = {
            401: f"refused the key: check {self._key_name}" if self._key else f"wants a key: set {self._key_name}",
            403: f"does not allow this: check what the key in {self._key_name} may do",
            404: f"is not there: check the model's name and the URL{self._suggestion()}",
            429: "is asked too often",
        }.get(status, "failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused the request")
        said = said_in(error.body)
        return self._error(f"{advice} (HTTP {status}){said and f'; it says: {said}'}", retryable=passing(status))

    def _suggestion(self) -> str:
        return "" if urlsplit(self.base_url).path.endswith("/v1") else f", perhaps {self.base_url}/v1"

    def _based(self, place: str) -> str:
        """Return the base URL that would lead to where a redirect leads."""
        with suppress(ValueError):  # it is no URL
            place = urljoin(f"{self.base_url}{_CHAT}", place)
        return place.partition("?")[0].removesuffix(_CHAT)

    def _unreachable(self, error: BaseException) -> ExpertError:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            return self._error("offers no secure connection: check its certificate and the URL", ExpertError)
        return ExpertError(f"nothing answers at {self.base_url}: is the server running?", retryable=True)


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read what comes after the last event: only then can the connection serve the next request."""
    with anyio.move_on_after(_DRAIN_S):
        async for _ in pieces:
            pass


def _http_errors(name: str) -> tuple[type[Exception], ...]:
    """Return an error of the library below the client (httpx, later httpx2): they pass through while a body is read."""
    import openai  # noqa: F401 - brings one of them

    return tuple(getattr(sys.modules[library], name) for library in ("httpx", "httpx2") if library in sys.modules)


def checked_url(base_url: str) -> str:
    """Return the URL without a slash or line end at its end; a key in it would be shown, so it is refused."""
    base_url = base_url.strip()
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        usable = usable and base_url.isprintable() and " " not in base_url
    except ValueError:
        usable = False
    if not usable:
        shown = base_url.rpartition("@")[2].partition("?")[0]
        raise ConfigError(f"{shown!r} is no URL of a server: it looks like http://host:port/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"the URL of {parts.hostname} may hold no user, password or query: the key has its own place")
    if parts.path.rstrip("/").endswith(_CHAT):
        raise ConfigError(f"the URL of {parts.hostname} ends too late: leave out {_CHAT}, which every request adds")
    return base_url.rstrip("/")


def _checked_key(api_key: str | None, key_name: str) -> str | None:
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"{key_name} holds no key: it has spaces, line ends or other characters that a key cannot have"
        )
    return key or None


def _without(body: dict[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """Return the body without the refused fields; newer models call `max_tokens` `max_completion_tokens`."""
    kept = {field: value for field, value in body.items() if field not in refused}
    return kept | ({"max_completion_tokens": body["max_tokens"]} if "max_tokens" in refused else {})


def _constraint(request: ChatRequest, dialect: Dialect) -> dict[str, object]:
    """Return the field that holds the answer to a form; a grammar goes before a schema, servers refuse both at once."""
    if request.grammar and dialect == "vllm":  # its older `guided_grammar` is ignored without a word
        return {"structured_outputs": {"grammar": request.grammar}}
    if request.grammar:
        return {"grammar": request.grammar}
    if request.json_schema:
        schema = {"name": "answer", "strict": True, "schema": json.loads(request.json_schema)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {}


def _pause_s(status: int, retry_after: str, attempt: int) -> float | None:
    """Return how long to wait before the next attempt (from 0), or None if it is not worth it."""
    if not passing(status):
        return None
    try:
        asked_s = float(retry_after) if retry_after else 0.5 * 2**attempt
    except ValueError:
        asked_s = _until_s(retry_after)
    return max(0.0, asked_s) if asked_s <= MAX_PAUSE_S else None


def _until_s(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time()
    except (ValueError, OverflowError):
        return 0.0
