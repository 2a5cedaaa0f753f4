"""`compllm bench plan`: plans against gold ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import typer
from rich.console import Console

from compllm.bench.plan import plan_figures, planned, warm_up
from compllm.bench.plan_data import read_gold_files
from compllm.bench.route_data import read_experts
from compllm.bench.rows import for_each
from compllm.cli.tables import figures_table, progress_bar
from compllm.pipeline import Team
from compllm.planner.rules import RulePlanner
from compllm.router.onnx_encoder import OnnxEncoder

Choice = Literal["team", "rules"]


async def bench_plan(
    files: Sequence[Path],
    planner: Choice,
    team: Path | None,
    experts: Path | None,
    limit: int | None,
    *,
    at_once: int,
    as_json: bool,
) -> None:
    """Plan every question of the files and show how the plans agree with the gold ones.

    Raises:
        ConfigError: a file is missing or malformed; the message names file and line.
        RoutingError: the encoder failed.
    """
    golds = read_gold_files(files, limit)
    known = read_experts(experts) if experts else []
    async with Team.load(team) as opened:
        name = opened.planner_name if planner == "team" else RulePlanner.name
        make = opened.make_planner if planner == "team" else RulePlanner
        await warm_up(make())
        with progress_bar(len(golds), "Planning") as advance:
            done = await for_each(golds, lambda gold: planned(make(), gold), at_once=at_once, advance=advance)
    rows = plan_figures(done, OnnxEncoder(), known)
    if as_json:
        typer.echo(json.dumps({"planner": name, "rows": rows}, indent=1, ensure_ascii=False))
    else:
        Console(markup=False).print(figures_table(f"Plans by {name}", rows))
