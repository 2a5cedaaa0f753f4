"""What the commands share: the team option, and how errors and interruptions end a command."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import anyio
import typer

from compllm.errors import CompLLMError, ConfigError, ModelTooLargeError, PlanError, RunError

P = ParamSpec("P")
T = TypeVar("T")

ANSWERED, FAILED, USAGE, GAPS, INTERRUPTED = 0, 1, 2, 3, 130

TeamOption = Annotated[
    Path | None,
    typer.Option("--team", "-t", help="Team file or its folder; default: ./compllm.yaml, else the starter team."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn an error that a user can mend into a message and an exit code."""
    try:
        yield
    except (ConfigError, PlanError, ModelTooLargeError) as error:
        _fail(str(error), USAGE)
    except RunError as error:
        _fail(f"{error}\nwhat happened: compllm runs show {error.run}", FAILED)
    except CompLLMError as error:
        _fail(str(error), FAILED)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left; there is nobody to tell
        raise typer.Exit(FAILED) from None


def _fail(message: str, code: int) -> None:
    typer.echo(f"compllm: {message}", err=True)
    raise typer.Exit(code)


def synchronous(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a command of a coroutine function: run it, and report its errors."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with reported_errors():
            return anyio.run(functools.partial(command, *args, **kwargs))
        raise AssertionError("reported_errors always exits")

    return run
