"""`compllm simulate`: the scheduler on virtual time, for hardware and traffic that one does not have yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compllm.cli.common import JsonOption, reported_errors, say
from compllm.errors import ConfigError

if TYPE_CHECKING:
    from compllm.core.simulation import SimulationResult
    from compllm.core.workload import Workload
    from compllm.simulation.scenario import Scenario


def simulate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Simulation file or team file; default: as `compllm ask`.")
    ] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Workload: a file that --record has written.")] = None,
    runs: Annotated[int | None, typer.Option("--random", min=1, help="Workload: so many random runs.")] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1e-6, help="For --random: runs per second; default: 1.")
    ] = None,
    skew: Annotated[
        float | None,
        typer.Option(
            "--skew", min=0, max=10, help="For --random: popularity of experts (Zipf); 0: all alike, default: 1."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same simulation.")] = 0,
    capacity: Annotated[
        list[str] | None, typer.Option("--capacity", help="What if, like cpu=48GiB; each adds a column.")
    ] = None,
    speed: Annotated[list[str] | None, typer.Option("--speed", help="What if, like cpu=2; each adds a column.")] = None,
    noise: Annotated[
        float | None, typer.Option("--noise", min=0, max=3, help="Spread of durations around their estimates.")
    ] = None,
    fail_rate: Annotated[
        float | None, typer.Option("--fail-rate", min=0, max=1, help="Share of attempts and of loads that fail.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw it, as .svg or .png.")] = None,
    record: Annotated[
        Path | None, typer.Option("--record", help="Write the journal's runs as a trace instead.")
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="For --record: the latest runs.")] = 1000,
    scale: Annotated[bool, typer.Option("--scale", help="Time the scheduler on up to 100,000 nodes instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a workload: how long runs wait, what is loaded and evicted, and what other hardware would change.

    What decides is the scheduler that runs a team, on a clock that need not wait.
    """
    with reported_errors():
        if record is not None:
            _record(record, last)
        elif scale:
            _scale(plot, as_json=as_json)
        else:
            if trace is not None and (rate is not None or skew is not None):
                raise ConfigError("--rate and --skew are for --random; a trace has its own times and experts")
            scenarios = _scenarios(file, rate, skew, noise, fail_rate, capacity or [], speed or [])
            results = _results(scenarios, trace, runs, seed, plot)
            _show(results, as_json=as_json)


def _scenarios(
    file: Path | None,
    rate: float | None,
    skew: float | None,
    noise: float | None,
    fail_rate: float | None,
    capacities: list[str],
    speeds: list[str],
) -> dict[str, Scenario]:
    """Read the file, put what the command line says in its place, and add a variant for every what-if."""
    from compllm.simulation.scenario import load_scenario
    from compllm.simulation.whatif import vary

    scenario = load_scenario(file)
    mix, truth = scenario.mix, scenario.truth
    if fail_rate is not None:
        truth = replace(truth, failures=replace(truth.failures, nodes=fail_rate, loads=fail_rate))
    scenario = replace(
        scenario,
        mix=replace(mix, rate_per_s=mix.rate_per_s if rate is None else rate, skew=mix.skew if skew is None else skew),
        truth=truth if noise is None else replace(truth, noise=noise),
    )
    return vary(scenario, capacities, speeds)


def _results(
    scenarios: Mapping[str, Scenario], trace: Path | None, runs: int | None, seed: int, plot: Path | None
) -> dict[str, SimulationResult]:
    from compllm.simulation import plot as plots
    from compllm.simulation.whatif import simulate_all

    if plot is not None:
        plots.check_plot(plot)
    results = simulate_all(scenarios, _workload(next(iter(scenarios.values())), trace, runs, seed), seed)
    if plot is not None:
        plots.plot_simulations(plot, results)
    return results


def _workload(scenario: Scenario, trace: Path | None, runs: int | None, seed: int) -> Workload:
    from compllm.core.workload import random_workload
    from compllm.simulation.trace import read_trace

    if trace is not None and runs is None:
        return read_trace(trace)
    if runs is not None and trace is None:
        return random_workload(runs, scenario.experts, scenario.mix, seed)
    raise ConfigError(
        "a simulation needs one workload; give --trace FILE (see --record) or --random N"
        if trace is None
        else "--trace and --random are two workloads; give one"
    )


def _show(results: Mapping[str, SimulationResult], *, as_json: bool) -> None:
    from compllm.core.simulation import summarise
    from compllm.simulation.report import as_plain, render_report

    summaries = {name: summarise(result) for name, result in results.items()}
    typer.echo(json.dumps(as_plain(summaries)) if as_json else render_report(summaries))


def _record(path: Path, last: int) -> None:
    from compllm.journal import Journal
    from compllm.settings import load_settings
    from compllm.simulation.record import record_workload
    from compllm.simulation.trace import write_trace

    with Journal(load_settings().journal_path) as journal:
        workload = record_workload(journal, last)
    write_trace(path, workload)
    say(f"{path}: {len(workload.runs)} runs with {workload.size} nodes")


def _scale(plot: Path | None, *, as_json: bool) -> None:
    from compllm.bench.scale import SIZES, measure_scale, plot_scale, render_scale
    from compllm.simulation.plot import check_plot

    if plot is not None:
        check_plot(plot)
    figures = [measure_scale(nodes) for nodes in SIZES]
    typer.echo(json.dumps([asdict(figure) for figure in figures]) if as_json else render_scale(figures))
    if plot is not None:
        plot_scale(plot, figures)
