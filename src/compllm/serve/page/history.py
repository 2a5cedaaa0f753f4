"""The page of earlier runs, with a search in their questions and answers."""

from __future__ import annotations

from functools import partial

import anyio.to_thread
from starlette.responses import Response

from compllm.serve.page.door import Visit

_SHOWN, _MOST = 50, 5_000


async def show_history(visit: Visit) -> Response:
    """List the visitor's runs, latest first; `search` keeps some, `show` says how many."""
    query = visit.request.query_params
    search, shown = query.get("search", "").strip(), _number(query.get("show", ""))
    runs = partial(visit.service.team.journal.runs, shown + 1, search or None, visit.caller.name or None)
    rows = await anyio.to_thread.run_sync(runs)
    more = min(shown + _SHOWN, _MOST) if len(rows) > shown else 0
    return visit.page("history", rows=rows[:shown], search=search, more=more)


def _number(text: str) -> int:
    """Return how many runs to list; what is no number is the usual one."""
    return min(max(int(text), 1), _MOST) if text.isdecimal() and len(text) < 10 else _SHOWN
