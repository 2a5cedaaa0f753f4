"""What the commands share: the team option, and how errors and interruptions end a command."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from compllm.cli.streams import drop_output
from compllm.errors import CompLLMError, ConfigError, ModelTooLargeError, PlanError, RunError

P = ParamSpec("P")
T = TypeVar("T")
Given = TypeVar("Given")

ANSWERED, FAILED, USAGE, GAPS, INTERRUPTED = 0, 1, 2, 3, 130

TeamOption = Annotated[
    Path | None,
    typer.Option("--team", "-t", help="Team file or its folder; default: ./compllm.yaml, else the starter team."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
EventsOption = Annotated[bool, typer.Option("--json", help="Print every event as one line of JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer alone.")]


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
    except OSError as error:
        drop_output()
        if isinstance(error, BrokenPipeError):  # the reader of our output has left, as `head` does
            raise typer.Exit(FAILED) from None
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", FAILED)


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Import what comes with an extra of the package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"this needs the package {error.name}; pip install 'compllm[{extra}]'") from None


def _fail(message: str, code: int) -> None:
    say(message)
    raise typer.Exit(code)


def say(message: str) -> None:
    """Tell the user something on standard error; nothing in the message can steer the terminal."""
    from compllm.explain import clean

    typer.echo(clean(f"compllm: {message}"), err=True)


def readable(given: Given) -> Given:
    """Return an argument, or a list of them, if it is text; bytes that are no characters cannot be sent to a model.

    Raises:
        BadParameter: it is not text.
    """
    texts: list[object] = given if isinstance(given, list) else [given]
    if any("\ud800" <= character <= "\udfff" for text in texts if isinstance(text, str) for character in text):
        raise typer.BadParameter("it is not text in UTF-8")
    return given


def synchronous(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a command of a coroutine function: run it, and report its errors."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        import anyio

        # A run makes many small objects that live until it ends; with the default thresholds the garbage collector
        # visits them again and again.
        gc.set_threshold(50_000, 20, 50)
        with reported_errors():
            return anyio.run(functools.partial(command, *args, **kwargs))
        raise AssertionError("reported_errors always exits")

    return run
