"""The server: a team's API, page and metrics on one port, until a signal ends it.

SIGTERM and SIGINT drain it: no more questions are taken, open runs may end, then it stops; a second one cancels what is
left. SIGHUP reads the team file again. One process serves a team, because the team's memory is budgeted in one place.
"""

from __future__ import annotations

import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import anyio
import uvicorn
from anyio.abc import TaskGroup, TaskStatus
from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from compllm.config import ServerConfig, TeamFile
from compllm.errors import AccessDeniedError, CompLLMError, ConfigError
from compllm.pipeline import Team
from compllm.serve.app import create_app
from compllm.serve.entry import Admitted
from compllm.serve.guards import BodyLimit, timed_heads
from compllm.serve.keys import KeyedAccess
from compllm.serve.logs import AccessLog
from compllm.serve.metrics import Metrics
from compllm.serve.page.mount import mount_page
from compllm.serve.service import Service, open_service

_log = logging.getLogger("compllm.serve")
_BACKLOG = 2048
_KEEP_ALIVE_S = 30
# How long answers whose runs have ended may take to reach their readers when the server stops.
_FAREWELL_S = 5
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1", "[::1]")
# What a reload can change while the server runs.
_RELOADED = {"keys", "concurrency", "drain_s"}


async def serve(
    team: Team, metrics: Metrics, *, reread: Callable[[], TeamFile], announce: Callable[[str], None]
) -> None:
    """Serve a team, that `metrics` observes, until a signal ends it; `announce` gets the address once it listens.

    Raises:
        ConfigError: the address cannot be listened on, or can be reached from elsewhere and there are no keys.
        JournalError: the journal cannot be opened.
    """
    config = team.file.config.server
    check_exposure(config)
    access = KeyedAccess(config)
    _allow_many_connections()
    with _listening(config) as listener:
        async with open_service(team) as service, anyio.create_task_group() as tasks:
            app = _guarded(_application(service, access, metrics), config, access)
            server = _Uvicorn(_settings(app, config))
            await tasks.start(_Signals(service, access, server, reread, tasks).heed)
            host, port = listener.getsockname()[:2]
            announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            _log.info("listening", extra={"fields": {"host": host, "port": port, "team": team.file.config.name}})
            await server.serve(sockets=[listener])
            tasks.cancel_scope.cancel()
    _log.info("stopped")


def check_exposure(config: ServerConfig) -> None:
    """Check that nobody from elsewhere may ask without a key.

    Raises:
        ConfigError: somebody could.
    """
    if not config.keys and not _is_loopback(config.host):
        raise ConfigError(
            f"server.host: {config.host} can be reached from other machines, and there are no API keys; "
            "make one with `compllm keys new NAME`, or listen on 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _listening(config: ServerConfig) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"server: cannot listen on {config.host} port {config.port}: {error.strerror or error}; "
            "choose another with --host or --port"
        ) from None
    with listener:
        yield listener


def _allow_many_connections() -> None:
    """Use as many file descriptors as this process may: the usual soft limit is less than a thousand streams need."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _settings(app: ASGIApp, config: ServerConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=timed_heads(config.head_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_FAREWELL_S,
    )


def _application(service: Service, access: KeyedAccess, metrics: Metrics) -> FastAPI:
    """Return the API, the page and `/metrics`, which wants a key as everything does once there are keys."""
    app = create_app(service, access)
    mount_page(app, service, access)

    async def show_metrics(caller: Admitted) -> Response:
        del caller
        return Response(metrics.render(service.team.snapshot()), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/metrics", show_metrics, include_in_schema=False)
    return app


def _guarded(app: ASGIApp, config: ServerConfig, access: KeyedAccess) -> ASGIApp:
    """Put the bounds on requests, and the log of them, before the application."""
    bounded = BodyLimit(app, config.max_body, config.body_timeout_s)
    by_own_name = TrustedHostMiddleware(bounded, (*_THIS_MACHINE, config.host))

    async def enter(scope: Scope, receive: Receive, send: Send) -> None:
        # Without keys, the browser of somebody at this machine must not be led here by the name of another site.
        await (by_own_name if access.is_open else bounded)(scope, receive, send)

    def name_of(scope: Scope) -> str:
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")  # of several, the one that counts
        try:
            return access.caller_of(key.strip()).name if scheme.lower() == "bearer" else ""
        except AccessDeniedError:
            return ""

    return AccessLog(enter, name_of)


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@dataclass(slots=True, eq=False)
class _Signals:
    """Does what signals ask for."""

    service: Service
    access: KeyedAccess
    server: uvicorn.Server
    reread: Callable[[], TeamFile]
    tasks: TaskGroup
    started: ServerConfig = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.service.team.file.config.server

    async def heed(self, *, task_status: TaskStatus[None]) -> None:
        """Heed signals until this is cancelled."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    self._reload()
                else:
                    now = self.service.runs.is_draining
                    self.tasks.start_soon(self._drain, 0.0 if now else self.service.team.file.config.server.drain_s)

    async def _drain(self, within_s: float) -> None:
        """Let open runs end, then have the server stop."""
        runs = self.service.runs
        _log.info("draining", extra={"fields": {"open_runs": len(list(runs.open)), "within_s": within_s}})
        await runs.drain(within_s)
        self.server.should_exit = True

    def _reload(self) -> None:
        """Read the team file again; if it cannot be used, say so and go on as before."""
        try:
            file = self.reread()
            check_exposure(self.started.model_copy(update={"keys": file.config.server.keys}))
            self.service.team.reload(file)
        except CompLLMError as error:
            _log.error("reload refused", extra={"fields": {"reason": str(error)}})
            return
        except Exception as error:  # noqa: BLE001 - the boundary of a signal: open runs must not end for it
            _log.error("reload refused", extra={"fields": {"reason": f"unexpected {type(error).__name__}"}})
            return
        server = file.config.server
        self.access.use(server)
        changed = [name for name in ServerConfig.model_fields if getattr(server, name) != getattr(self.started, name)]
        fields = {"experts": list(file.config.experts), "after_restart": sorted(set(changed) - _RELOADED)}
        _log.info("reloaded", extra={"fields": fields})
