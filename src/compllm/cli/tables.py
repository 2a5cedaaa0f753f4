"""What the benches show: figures as tables, and how far they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table


def figures_table(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    """Return a table with a column for every name that a row has; what a row lacks or does not know is empty."""
    table = Table(title=title, title_justify="left")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(key) is None else str(row[key]) for key in columns))
    return table


@contextmanager
def progress_bar(total: int, doing: str) -> Iterator[Callable[[], object]]:
    """Show on standard error how far a bench is; what is given counts one more."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield partial(progress.advance, progress.add_task(escape(doing), total=total))
