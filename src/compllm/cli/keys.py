"""`compllm keys`: API keys for the server."""

from __future__ import annotations

from typing import Annotated

import typer

from compllm.cli.common import readable, reported_errors

app = typer.Typer(help="API keys for `compllm serve`.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """API keys for `compllm serve`."""


@app.command("new")
def new(name: Annotated[str, typer.Argument(callback=readable, help="Whose key it will be.")]) -> None:
    """Make a key: show it this once, and what goes into the team file in its place."""
    from pydantic import ValidationError

    from compllm.config import KeyConfig
    from compllm.serve.keys import hash_of, new_key

    key = new_key()
    try:
        entry = KeyConfig(name=name, hash=hash_of(key))
    except ValidationError:
        raise typer.BadParameter("a name is letters, digits, `_`, `-` and `.`, 64 at most") from None
    with reported_errors():
        typer.echo(
            f"{key}\n\nThis is the key; keep it, it is written nowhere. The team file gets:\n\n"
            f'server:\n  keys:\n    - name: "{entry.name}"\n      hash: "{entry.hash}"'
        )
