"""`compllm bench serving`: the server under load, beside LiteLLM's proxy."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console

from compllm.bench.serving.measure import compare, many_streams, stop_under_load
from compllm.cli.tables import figures_table


async def bench_serving(requests: int, at_once: int, streams: int, litellm: Path | None, *, as_json: bool) -> None:
    """Compare latencies, open many streams, and stop in the middle of it.

    Raises:
        ConfigError: a server did not start.
    """
    reports = {
        "latency": await compare(requests, at_once, litellm),
        "streams": [await many_streams(streams)],
        "stop": [await stop_under_load(streams)],
    }
    if as_json:
        typer.echo(json.dumps(reports))
        return
    titles = {
        "latency": "20 ms of work for each sub-query or call",
        "streams": "Streams open at once",
        "stop": "SIGTERM under load",
    }
    for name, rows in reports.items():
        Console(markup=False).print(figures_table(titles[name], rows))
