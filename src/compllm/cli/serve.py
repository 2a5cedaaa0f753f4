"""`compllm serve`: the team behind an OpenAI-compatible API."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from compllm.cli.common import TeamOption, synchronous
from compllm.errors import ConfigError


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

    try:
        from compllm.serve import server
        from compllm.serve.logs import write_logs
        from compllm.serve.metrics import Metrics
        from compllm.serve.traces import exported_traces
    except ModuleNotFoundError as error:
        raise ConfigError(f"the server needs the package {error.name}; pip install 'compllm[serve]'") from None

    def read() -> TeamFile:
        return load_team(team).at(host, port)

    file, metrics = read(), Metrics()
    with exported_traces() as traces:
        opened = Team(file, observers=[metrics, *traces])
        write_logs(sys.stderr, secrets_of(file))
        await server.serve(opened, metrics, reread=read, announce=_announce)


def _announce(url: str) -> None:
    typer.echo(f"compllm listens on {url} (the API: {url}/v1)")
    sys.stdout.flush()
