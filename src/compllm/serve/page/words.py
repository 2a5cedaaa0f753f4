"""How figures, states and reasons read on the page."""

from __future__ import annotations

from collections.abc import Iterable

from compllm.explain import Explanation, Wait

# A state is never told by its colour alone.
MARKS = {
    "waiting": "○",
    "running": "▶",
    "completed": "✓",
    "failed": "✗",
    "skipped": "–",
    "cancelled": "■",
    "answered": "✓",
    "gaps": "◐",
    "interrupted": "■",
}
_STATUS = {
    "running": "running",
    "answered": "answered",
    "gaps": "answered with gaps",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
}


def seconds(value_s: float) -> str:
    """Return seconds with as many decimals as say something."""
    return f"{value_s:.2f} s" if value_s < 10 else f"{value_s:.1f} s"


def span(started_s: float, ended_s: float | None) -> str:
    """Return when something was, or since when it is."""
    return f"since {seconds(started_s)}" if ended_s is None else f"{started_s:.2f}–{seconds(ended_s)}"


def size(value_bytes: int) -> str:
    """Return bytes in decimal units."""
    return f"{value_bytes / 1e9:.2f} GB" if value_bytes >= 1e9 else f"{value_bytes / 1e6:.0f} MB"


def count(number: int, thing: str) -> str:
    """Return how many there are of a thing."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def nodes(numbers: Iterable[int]) -> str:
    """Return node numbers as the plan language writes them."""
    return ", ".join(f"#{number}" for number in numbers)


def status(name: str) -> str:
    """Return what became of a run."""
    return _STATUS[name]


def took(run: Explanation) -> str:
    """Return how long it took until a run ended, or how long it has been going on."""
    how = "in" if run.status in {"answered", "gaps"} else "for" if run.status == "running" else "after"
    return f"{how} {seconds(run.elapsed_s)}"


def wait(each: Wait) -> str:
    """Return what kept a node from running, and how long."""
    what = {
        "parents": f"for {each.what}",
        "room": f"until {each.what} could be loaded",
        "load": f"for the load of {each.what}",
        "slot": "for a free slot or cores",
        "retry": "before another attempt",
    }[each.kind]
    return f"{seconds(each.ended_s - each.started_s)} {what}"
