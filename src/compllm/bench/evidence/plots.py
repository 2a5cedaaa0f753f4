"""Plots of a report as inline SVG; needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from compllm.bench.evidence.records import Record
from compllm.bench.evidence.summary import f1_interval
from compllm.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH_INCHES = 7.5
_ROW_INCHES = 0.34
_FUNNEL = ("asked", "read", "answered", "contained")


def check_plots() -> None:
    """Do nothing if plots can be drawn.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigError('reports need matplotlib; install it with: pip install "compllm[plots]"') from None


def quality_svg(systems: Mapping[str, Sequence[Record]]) -> str:
    """Draw the mean F1 of each system with its 95 % interval."""
    figure = _figure(len(systems))
    axes = figure.subplots()
    names = list(systems)[::-1]
    bounds = [f1_interval(systems[name]) for name in names]
    errors = [[each.mean - each.low for each in bounds], [each.high - each.mean for each in bounds]]
    axes.barh(names, [each.mean for each in bounds], xerr=errors, color="0.6", ecolor="0.2", capsize=3)
    axes.set_xlabel("token F1, 95 % confidence interval")
    axes.set_xlim(0, 1)
    return _svg(figure)


def latency_svg(systems: Mapping[str, Sequence[Record]]) -> str:
    """Draw how the latencies of each system are spread: median, quartiles, and the 5th and 95th percentiles."""
    figure = _figure(len(systems))
    axes = figure.subplots()
    names = list(systems)[::-1]
    seconds = [[record.cost.latency_s for record in systems[name]] for name in names]
    axes.boxplot(seconds, orientation="horizontal", tick_labels=names, whis=(5, 95), showfliers=False)
    axes.set_xlabel("seconds to the whole answer")
    axes.set_xlim(left=0)
    return _svg(figure)


def funnel_svg(systems: Mapping[str, Sequence[Record]]) -> str:
    """Draw where each system loses the answer: expert asked, passage read, step answered, part in the answer."""
    figure = _figure(2 * len(systems))
    axes = figure.subplots()
    names = list(systems)[::-1]
    height = 0.8 / len(_FUNNEL)
    for place, measure in enumerate(reversed(_FUNNEL)):
        shares = [_mean(systems[name], measure) for name in names]
        axes.barh([row + place * height for row in range(len(names))], shares, height=height, label=measure)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(names))], names)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=len(_FUNNEL), frameon=False)
    return _svg(figure)


def _mean(records: Sequence[Record], measure: str) -> float:
    values = [getattr(record.scores, measure) for record in records]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def _figure(rows: int) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH_INCHES, 1.0 + _ROW_INCHES * rows), layout="constrained")


def _svg(figure: Figure) -> str:
    """Return the figure as an SVG element: its text as text, and the same bytes for the same figure."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "compllm"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
