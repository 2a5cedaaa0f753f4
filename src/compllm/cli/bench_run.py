"""`compllm bench run`: systems on the questions of a set."""

from __future__ import annotations

import json
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from compllm.bench.evidence.external import read_set
from compllm.bench.evidence.judge import Judge
from compllm.bench.evidence.plots import check_plots
from compllm.bench.evidence.records import read_records
from compllm.bench.evidence.report import write_report
from compllm.bench.evidence.run import Work, remaining, run_system
from compllm.bench.evidence.summary import summaries
from compllm.bench.evidence.systems.autogen import AUTOGEN
from compllm.bench.evidence.systems.base import Endpoint, Setting, fingerprint
from compllm.bench.evidence.systems.table import named
from compllm.bench.figures import Figures
from compllm.cli.tables import figures_table, progress_bar
from compllm.config import load_team
from compllm.experts.endpoint import EndpointBackend
from compllm.settings import Settings, load_settings, read_secret


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server as it is named on the command line; `variable` holds its key."""

    option: str
    url: str | None
    model: str
    variable: str | None

    def endpoint(self) -> Endpoint | None:
        """Return it with its key, or None if it is not named.

        Raises:
            ConfigError: the variable is not set.
        """
        return Endpoint(self.url, self.model, read_secret(self.variable, self.option)) if self.url else None


async def bench_run(
    source: str,
    systems: str,
    out: Path,
    *,
    team: Path | None,
    limit: int | None,
    report: Path | None,
    server: Server,
    judge: Server,
    as_json: bool,
) -> None:
    """Answer what the file of results lacks, then show its figures.

    Raises:
        ConfigError: a file is missing or malformed, there is no such system, or something is not installed.
        PlanError: an oracle misses what it needs.
        ExpertError: the judge failed.
    """
    if report is not None:
        check_plots()
    rows = read_set(source, limit)
    chosen = named([name.strip() for name in systems.split(",")])
    file, ids = load_team(team), {row.id for row in rows}
    left = [
        work
        for name, factory in chosen.items()
        for asked_with in [fingerprint(file, judge.endpoint(), server.endpoint() if name in AUTOGEN else None)]
        for work in remaining(rows, {name: factory}, out, asked_with)
    ]
    with tempfile.TemporaryDirectory(prefix="compllm-bench-") as folder:
        for place, work in enumerate(left):
            settings = Settings(load_settings().cache_dir, Path(folder, str(place)))
            await _run(work, Setting(file, settings, server.endpoint()), out, judge.endpoint())
    found = [each for each in read_records(out) if each.system in chosen and each.id in ids]
    records = sorted(found, key=lambda each: list(chosen).index(each.system))
    if report is not None:
        write_report(report, records, f"{Path(source).stem}: {', '.join(chosen)}")
    _show(summaries(records), as_json=as_json)


async def _run(work: Work, setting: Setting, out: Path, judged_by: Endpoint | None) -> None:
    async with AsyncExitStack() as stack:
        judge = None
        if judged_by is not None:
            backend = EndpointBackend(judged_by.base_url, judged_by.model, api_key=judged_by.api_key)
            await backend.load()
            stack.push_async_callback(backend.evict)
            judge = Judge(backend)
        advance = stack.enter_context(progress_bar(len(work.rows), work.system))
        await run_system(work, setting, out, judge, advance)


def _show(figures: list[Figures], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"rows": figures}, indent=1, ensure_ascii=False))
    else:
        quality, cost = zip(*map(_parted, figures), strict=True)
        Console(markup=False).print(figures_table("Quality", quality))
        Console(markup=False).print(figures_table("Cost", cost))


def _parted(row: Figures) -> tuple[Figures, Figures]:
    """Return what is said of a system's answers, and what of their cost."""
    names, at = ("set", "system", "questions"), list(row).index("calls")
    cost = {key: row[key] for key in list(row)[at:]}
    return {key: row[key] for key in row if key not in cost}, {key: row[key] for key in names} | cost
