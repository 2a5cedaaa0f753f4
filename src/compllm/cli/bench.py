"""`compllm bench`: measurements that anyone can repeat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from compllm.cli.common import JsonOption, reported_errors, synchronous

app = typer.Typer(help="Measurements that anyone can repeat.", no_args_is_help=True)


@app.command("route")
def route_command(
    file: Annotated[Path, typer.Argument(help="JSON lines with question, domain and (optional) split.")],
    experts: Annotated[Path, typer.Option("--experts", help="JSON list of experts: name, description, examples.")],
    ood: Annotated[Path | None, typer.Option("--ood", help="JSON lines with questions for no expert.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure routing on labelled questions: representations, tag forms, calibrated scores."""
    from compllm.cli import bench_route

    with reported_errors():
        bench_route.route(file, experts, ood, as_json=as_json)


@app.command("schedule")
def schedule_command(
    psplib: Annotated[Path, typer.Option("--psplib", help="Folder with PSPLIB sets: *.sm files and optimum.csv.")],
    sets: Annotated[
        list[str] | None, typer.Option("--sets", help="Only this set, such as j30; may be repeated.")
    ] = None,
    schedules: Annotated[int, typer.Option("--schedules", min=1, help="Schedules that a search may build.")] = 1000,
    budget_ms: Annotated[float, typer.Option("--budget-ms", min=0, help="CPU time of a search, per instance.")] = 100.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the searches.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure schedules of projects with known optima: single passes and searches."""
    from compllm.cli import bench_schedule

    with reported_errors():
        bench_schedule.psplib(psplib, sets or (), schedules=schedules, budget_ms=budget_ms, seed=seed, as_json=as_json)


@app.command("engine")
@synchronous
async def engine(
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Medians are over this many.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure what the engine itself costs, with fake experts."""
    from compllm.bench.engine import run_engine_bench

    _show(await run_engine_bench(repeats), as_json=as_json)


@app.command("speedup")
@synchronous
async def speedup(
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Medians are over this many.")] = 5,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Length of each answer.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Measure four independent sub-queries composed and one after another: on one model, and on four models."""
    from compllm.bench.speedup import run_speedup_bench

    _show(await run_speedup_bench(repeats, tokens), as_json=as_json)


def _show(figures: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        typer.echo(f"{name:<32} {value:.4g}" if isinstance(value, float) else f"{name:<32} {value}")
