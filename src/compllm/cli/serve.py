"""`compllm serve`: the team behind an OpenAI-compatible API."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from compllm.cli.common import TeamOption, needing, synchronous

if TYPE_CHECKING:
    from compllm.executor import Observer


@synchronous
async def serve(
    team: TeamOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on, in place of the file's.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=65_535, help="Port, in place of the file's; 0: a free one.")
    ] = None,
) -> None:
    """Serve the team: the OpenAI API, the web page and metrics on one port.

    Logs go to standard error, a line of JSON each. SIGTERM ends open runs first, SIGHUP reads the team file again.
    """
    from compllm.assembly import secrets_of
    from compllm.config import TeamFile, load_team
    from compllm.pipeline import Team

    def read() -> TeamFile:
        return load_team(team).at(host, port)

    with needing("serve"):
        from compllm.serve import server
        from compllm.serve.logs import write_logs
        from compllm.serve.metrics import Metrics
    file, metrics = read(), Metrics()
    with _traced() as traces:
        opened = Team(file, observers=[metrics, *traces])
        write_logs(sys.stderr, secrets_of(file))
        await server.serve(opened, metrics, reread=read, announce=_announce)


@contextmanager
def _traced() -> Iterator[Sequence[Observer]]:
    """Yield the observer that sends traces, if a collector is named."""
    from compllm.settings import wants_traces

    if not wants_traces():
        yield ()
        return
    with needing("traces"):
        from compllm.serve.traces import exported_traces
    with exported_traces() as traces:
        yield (traces,)


def _announce(url: str) -> None:
    typer.echo(f"compllm listens on {url} (the page: {url}/, the API: {url}/v1)")
    sys.stdout.flush()
