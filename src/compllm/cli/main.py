"""The command line: one small file per command, gathered here.

Exit codes: 0 answered, 1 failed, 2 wrong usage or configuration, 3 answered with gaps, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from compllm._version import __version__
from compllm.cli import ask, bench, experts, init, keys, mcp, plan, route, runs, serve, simulate
from compllm.cli.common import reported_errors
from compllm.cli.streams import prepare_streams


class _Commands(TyperGroup):
    """All commands; output that nobody can take ends in a message, also that of `--help` and `--version`."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with reported_errors():
                return super().main(*args, **kwargs)
        except typer.Exit as ended:
            sys.exit(ended.exit_code)


app = typer.Typer(
    name="compllm",
    cls=_Commands,
    help="A team of small language models that answers like a big one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 answered, 1 failed, 2 wrong usage or configuration, 3 answered with gaps, 130 interrupted.",
)
app.command("ask")(ask.ask)
app.command("serve")(serve.serve)
app.command("mcp")(mcp.mcp)
app.command("plan")(plan.plan)
app.command("route")(route.route)
app.command("simulate")(simulate.simulate)
app.add_typer(runs.app, name="runs")
app.add_typer(experts.app, name="experts")
app.add_typer(keys.app, name="keys")
app.command("init")(init.init)
app.add_typer(bench.app, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"compllm {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A team of small language models that answers like a big one."""
    del version  # its callback has shown it
    with reported_errors():
        prepare_streams()
