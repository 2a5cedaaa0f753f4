"""A report of one page that needs nothing from outside: figures, plots, and all answers."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from compllm.bench.evidence.plots import funnel_svg, latency_svg, quality_svg
from compllm.bench.evidence.records import Record
from compllm.bench.evidence.summary import by_system, compare, summaries
from compllm.errors import ConfigError

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: 0.2rem 0.6rem; text-align: right; vertical-align: top; }
th:nth-child(-n+2), td:nth-child(-n+2), table.answers td { text-align: left; }
svg { max-width: 100%; height: auto; } details { margin: 0.3rem 0; } .low { color: #a00; }
"""
_LOW = 0.5


def write_report(path: Path, records: Sequence[Record], title: str) -> None:
    """Write the report of some records; to a file `.svg` the plot of their F1 alone.

    Raises:
        ConfigError: the file cannot be written.
    """
    page = quality_svg(by_system(records)) if path.suffix == ".svg" else "\n".join(_page(records, title))
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def _page(records: Sequence[Record], title: str) -> Iterator[str]:
    systems = by_system(records)
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    yield f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
    yield f"<p>{len({record.id for record in records})} questions, {len(systems)} systems.</p>"
    yield "<h2>Figures</h2>" + _table(summaries(records))
    yield "<h2>Quality</h2>" + quality_svg(systems)
    yield "<h2>Where answers are lost</h2><p>The gold experts were asked; the answers stood in what was read; "
    yield "they are in the sub-answers; they are in the answer.</p>" + funnel_svg(systems)
    yield "<h2>Latency</h2>" + latency_svg(systems)
    if compared := list(_comparisons(systems)):
        yield "<h2>Paired differences</h2><p>Against the first system, with 95 % intervals and the p-value of a "
        yield "sign-flip randomisation test.</p>" + _table(compared)
    yield "<h2>Answers</h2>"
    yield from _answers(records)
    yield "</html>"


def _comparisons(systems: Mapping[str, Sequence[Record]]) -> Iterator[Mapping[str, object]]:
    first, *others = systems
    for other in others:
        if {record.id for record in systems[first]} & {record.id for record in systems[other]}:
            yield from compare(systems[other], systems[first]).figures()


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f"<th>{html.escape(column.replace('_', ' '))}</th>" for column in columns)
    body = (_line("" if row.get(column) is None else row[column] for column in columns) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def _line(cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in cells)}</tr>"


def _answers(records: Sequence[Record]) -> Iterator[str]:
    questions: dict[str, list[Record]] = {}
    for record in records:
        questions.setdefault(record.id, []).append(record)
    for found in questions.values():
        gold = "; ".join(part[0] for part in found[0].gold)
        yield f"<details><summary>{html.escape(found[0].question)}</summary><p>Gold: {html.escape(gold)}</p>"
        yield f'<table class="answers">{"".join(map(_answer, found))}</table></details>'


def _answer(record: Record) -> str:
    low = ' class="low"' if record.scores.contained < _LOW else ""
    steps = "".join(f"<li>{html.escape(' | '.join(step))}</li>" for step in record.steps)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in record.notes)
    told = f"{html.escape(record.answer) or '(no answer)'}<ul>{steps}{notes}</ul>"
    share = json.dumps(round(record.scores.f1, 2))
    return f"<tr><td>{html.escape(record.system)}</td><td{low}>{share}</td><td>{told}</td></tr>"
