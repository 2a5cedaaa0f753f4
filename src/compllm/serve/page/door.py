"""Lets visitors in: who they are, that a form is from this page, and what they see when it goes wrong."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from compllm.errors import AccessDeniedError, JournalError, TooManyRequestsError
from compllm.serve.callers import Access, Caller
from compllm.serve.page.render import Templates, protected
from compllm.serve.page.sessions import COOKIE, Sessions
from compllm.serve.service import Service

# Room for the longest question and plan that a team may take, as a form writes them.
_MOST_FORM_BYTES = 4_000_000
_MOST_FIELDS = 20
# Pages that may be followed at once, whoever looks at them.
_MOST_STREAMS = 256


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page, from somebody who may come in; `streams` are those of all pages that are followed."""

    request: Request
    caller: Caller
    service: Service
    templates: Templates
    streams: anyio.CapacityLimiter
    is_signed_in: bool

    def page(self, name: str, status: int = 200, **values: object) -> Response:
        """Return a page, with what is around every page."""
        team = self.service.team.file.config.name
        here = self.request.url.path
        return self.templates.page(name, status, team=team, here=here, is_signed_in=self.is_signed_in, **values)

    def problem(self, status: int, text: str) -> Response:
        """Return a page that says what went wrong."""
        return self.page("problem", status, text=text)


Page: TypeAlias = Callable[[Visit], Awaitable[Response]]


class Door:
    """Opens pages to those whom `access` admits, by the key that their browser has signed in with."""

    def __init__(self, service: Service, access: Access, templates: Templates) -> None:
        self._service = service
        self._access = access
        self._templates = templates
        self._sessions = Sessions()
        self._streams = anyio.CapacityLimiter(_MOST_STREAMS)

    def opens(self, page: Page) -> _Opened:
        """Return an endpoint that shows a page to those who may see it, and sends others to sign in."""
        return _Opened(self, page)

    async def answer(self, page: Page, scope: Scope, receive: Receive, send: Send) -> None:
        """Show a page; the visitor counts as in until it has been sent, so streams count while they last."""
        request = Request(scope, receive)
        if not _is_own(request):
            await self._foreign()(scope, receive, send)
            return
        key = self._sessions.key(request.cookies.get(COOKIE, ""))
        try:
            async with self._access.admit(key, _address(request)) as caller:
                shared = (self._service, self._templates, self._streams)
                shown = await self._show(page, Visit(request, caller, *shared, is_signed_in=bool(key)))
                await shown(scope, receive, send)
        except AccessDeniedError:
            await protected(RedirectResponse(f"/sign-in?next={quote(_back(request))}", 303))(scope, receive, send)
        except TooManyRequestsError as error:
            await self._too_many(error)(scope, receive, send)

    async def _show(self, page: Page, visit: Visit) -> Response:
        try:
            return await page(visit)
        except JournalError:
            return visit.problem(503, "The record of runs cannot be read at present.")

    async def ask_key(self, request: Request) -> Response:
        """Show the form that asks for a key."""
        return self._sign_in(request.query_params.get("next", "/"))

    async def sign_in(self, request: Request) -> Response:
        """Check a key and remember it for this browser."""
        if not _is_own(request):
            return self._foreign()
        form = await read_form(request)
        key, target = form.get("key", "").strip(), form.get("next", "/")
        try:
            async with self._access.admit(key, _address(request)):
                response = RedirectResponse(_local(target), 303)
        except AccessDeniedError:
            return self._sign_in(target, 401, "The server does not know this key.")
        except TooManyRequestsError as error:
            return self._too_many(error)
        is_secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, self._sessions.open(key), httponly=True, samesite="lax", secure=is_secure)
        return protected(response)

    async def sign_out(self, request: Request) -> Response:
        """Forget this browser's key."""
        if not _is_own(request):
            return self._foreign()
        self._sessions.close(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return protected(response)

    def _sign_in(self, target: str, status: int = 200, problem: str = "") -> Response:
        return self._outside("sign_in", status, next=_local(target), problem=problem)

    def _foreign(self) -> Response:
        return self._outside("problem", 403, text="This form was sent from another site.")

    def _too_many(self, error: TooManyRequestsError) -> Response:
        wait_s = math.ceil(error.retry_after_s)
        response = self._outside("problem", 429, text=f"That was one request too many; try again in {wait_s} s.")
        response.headers["Retry-After"] = str(wait_s)
        return response

    def _outside(self, name: str, status: int, **values: object) -> Response:
        """Return a page for somebody who is not in: it says nothing of the team."""
        return self._templates.page(name, status, team="", here="", is_signed_in=False, **values)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A page as an endpoint that sends its answer itself: one that returns it would let the visitor out before."""

    door: Door
    page: Page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.door.answer(self.page, scope, receive, send)


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form; one that is far too large, or no form, has none."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_FORM_BYTES:
            return {}
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}


def _is_own(request: Request) -> bool:
    """Whether what changes something comes from our own page: other sites can make a browser send forms, too."""
    if request.method in {"GET", "HEAD"}:
        return True
    if site := request.headers.get("sec-fetch-site"):
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or _split(origin).netloc == request.headers.get("host")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _back(request: Request) -> str:
    return request.url.path if request.method == "GET" else "/"


def _local(target: str) -> str:
    """Return a path of this server, so that signing in leads nowhere else."""
    parts = _split(target.replace("\\", "/"))
    is_local = target.startswith("/") and not parts.netloc and not parts.scheme
    return f"/{parts.path.lstrip('/')}" if is_local else "/"


def _split(url: str) -> SplitResult:
    """Return the parts of a URL; one that breaks the rules leads nowhere."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
