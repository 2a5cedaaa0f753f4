"""`compllm bench`: measurements that anyone can repeat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compllm.cli.common import JsonOption, TeamOption, reported_errors, synchronous


class Planner(StrEnum):
    """Whose plans are measured."""

    TEAM = "team"
    RULES = "rules"


class ProjectedGpu(StrEnum):
    """Whose data sheet a projection goes by."""

    H100 = "h100"
    A100 = "a100"


LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Rows of each file, spread evenly; default: all.")
]

AtOnceOption = Annotated[
    int, typer.Option("--at-once", min=1, help="Rows worked on together: faster, but seconds include the waiting.")
]

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


@app.command("plan")
@synchronous
async def plan_command(
    files: Annotated[list[Path], typer.Argument(help="JSON lines with question and sub_queries (the gold plan).")],
    planner: Annotated[Planner, typer.Option("--planner", help="The team's planner, or the rules.")] = Planner.TEAM,
    team: TeamOption = None,
    experts: Annotated[
        Path | None, typer.Option("--experts", help="JSON list of experts: does a tag find the right one?")
    ] = None,
    limit: LimitOption = None,
    at_once: AtOnceOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure plans against gold ones: steps, edges, parallelism, tags, tokens, and seconds to the first step."""
    from compllm.cli import bench_plan

    await bench_plan.bench_plan(files, planner.value, team, experts, limit, at_once=at_once, as_json=as_json)


@app.command("read")
@synchronous
async def read_command(
    file: Annotated[Path, typer.Argument(help="JSON lines with question, passages, answers and answerable.")],
    documents: Annotated[
        Path | None, typer.Option("--documents", help="JSON lines with id and text, for rows that name a document.")
    ] = None,
    expert: Annotated[
        str | None, typer.Option("--expert", help="Who reads; default: the first expert with documents.")
    ] = None,
    team: TeamOption = None,
    limit: LimitOption = None,
    at_once: AtOnceOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure answers from given passages: F1, exact match, abstentions, tokens a second."""
    from compllm.cli import bench_read

    await bench_read.bench_read(file, documents, team, expert, limit, at_once=at_once, as_json=as_json)


@app.command("aggregate")
@synchronous
async def aggregate_command(
    file: Annotated[Path, typer.Argument(help="JSON lines with question and parts: step, question, answer, parents.")],
    team: TeamOption = None,
    limit: LimitOption = None,
    at_once: AtOnceOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure how faithfully sub-answers are joined: facts kept, nothing foreign, citations, gaps."""
    from compllm.cli import bench_aggregate

    await bench_aggregate.bench_aggregate(file, team, limit, at_once=at_once, as_json=as_json)


@app.command("build")
def build_command(
    out: Annotated[Path, typer.Argument(help="Folder for the sets, their documents and the team file.")],
    xquad_qa: Annotated[
        Path, typer.Option("--xquad-qa", help="JSON lines with id, question, answer, domain, doc_title and doc_index.")
    ],
    xquad_paragraphs: Annotated[
        Path, typer.Option("--xquad-paragraphs", help="JSON lines with id, title, domain and text.")
    ],
    glossary: Annotated[
        list[Path] | None,
        typer.Option("--glossary", help="JSON lines with id, title, text and (optional) domain; may be repeated."),
    ] = None,
    encyclopaedia: Annotated[
        list[Path] | None,
        typer.Option("--encyclopaedia", help="Titled paragraphs on works and people, for bridges; may be repeated."),
    ] = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="JSON lines with id, event and kind: noun phrases for joins.")
    ] = None,
    articles: Annotated[
        Path | None,
        typer.Option("--articles", help="Titles that may be asked about, one a line; default: those held out."),
    ] = None,
    omit: Annotated[
        Path | None, typer.Option("--omit", help="Ids of questions that must not be used, one a line.")
    ] = None,
    trained: Annotated[
        list[Path] | None, typer.Option("--trained", help="Training rows whose texts are shunned; may be repeated.")
    ] = None,
    count: Annotated[tuple[int, int, int], typer.Option("--count", min=0, help="Questions of the sets P, D and J.")] = (
        60,
        20,
        20,
    ),
    seed: Annotated[int, typer.Option("--seed", help="The same seed and files give the same bytes.")] = 0,
) -> None:
    """Build MultiExpertQA: parallel questions, bridges and joins, with documents and a team."""
    from compllm.bench.evidence.builder.build import Sources
    from compllm.bench.evidence.builder.facts import HELD_OUT_ARTICLES
    from compllm.cli.bench_build import bench_build, lines

    with reported_errors():
        sources = Sources(
            xquad_qa,
            xquad_paragraphs,
            glossary or (),
            encyclopaedia or (),
            events,
            lines(articles) or HELD_OUT_ARTICLES,
            lines(omit) or frozenset(),
            trained or (),
        )
        bench_build(out, sources, dict(zip("PDJ", count, strict=True)), seed)


@app.command("run")
@synchronous
async def run_command(
    source: Annotated[
        str, typer.Argument(metavar="SET", help="A MultiExpertQA file, another set of questions, or `fanoutqa`.")
    ],
    out: Annotated[Path, typer.Option("--out", help="JSON lines of results; what it holds already is not run again.")],
    systems: Annotated[
        str, typer.Option("--systems", help="Names, separated by commas; a wrong name lists them all.")
    ] = "monolith,sequential,compllm",
    team: TeamOption = None,
    limit: LimitOption = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="HTML page with figures and plots, or .svg: F1 alone (needs matplotlib)."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="OpenAI-compatible server for the system autogen.")
    ] = None,
    endpoint_model: Annotated[str, typer.Option("--endpoint-model", help="The model's name there.")] = "default",
    endpoint_key_env: Annotated[
        str | None, typer.Option("--endpoint-key-env", help="Environment variable that holds its API key.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="OpenAI-compatible server that also grades the answers.")
    ] = None,
    judge_model: Annotated[str, typer.Option("--judge-model", help="The model's name there.")] = "default",
    judge_key_env: Annotated[
        str | None, typer.Option("--judge-key-env", help="Environment variable that holds its API key.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure systems on composed questions: quality, calls, tokens, latency, memory; a run can go on later."""
    from compllm.cli import bench_run

    await bench_run.bench_run(
        source,
        systems,
        out,
        team=team,
        limit=limit,
        report=report,
        server=bench_run.Server("--endpoint", endpoint, endpoint_model, endpoint_key_env),
        judge=bench_run.Server("--judge", judge, judge_model, judge_key_env),
        as_json=as_json,
    )


@app.command("compare")
def compare_command(
    first: Annotated[str, typer.Argument(metavar="A", help="Results of `bench run`: FILE or FILE@SYSTEM.")],
    second: Annotated[str, typer.Argument(metavar="B", help="What they are compared with: FILE or FILE@SYSTEM.")],
    as_json: JsonOption = False,
) -> None:
    """Compare results question by question: differences with confidence intervals and a paired test."""
    from compllm.cli.bench_compare import bench_compare

    with reported_errors():
        bench_compare(first, second, as_json=as_json)


@app.command("application")
@synchronous
async def application_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder with compllm.yaml and questions.jsonl, like examples/business.")
    ],
    limit: LimitOption = None,
    at_once: AtOnceOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure an application on its questions: parts kept, F1, right experts, seconds, loads, peak memory."""
    from compllm.cli import bench_application

    await bench_application.bench_application(folder, limit, at_once=at_once, as_json=as_json)


@app.command("schedule")
def schedule_command(
    psplib: Annotated[
        Path | None,
        typer.Option("--psplib", help="Folder with PSPLIB sets (*.sm, optimum.csv): projects without loads."),
    ] = None,
    residency: Annotated[bool, typer.Option("--residency", help="Random traces against what others evict by.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Small plans against the proved optimum (CP-SAT).")] = False,
    real: Annotated[bool, typer.Option("--real", help="Worker processes; some minutes on a quiet machine.")] = False,
    sets: Annotated[
        list[str] | None, typer.Option("--sets", help="PSPLIB: only this set, such as j30; may be repeated.")
    ] = None,
    schedules: Annotated[int, typer.Option("--schedules", min=1, help="PSPLIB: schedules a search may build.")] = 1000,
    budget_ms: Annotated[float, typer.Option("--budget-ms", min=0, help="PSPLIB: CPU time of a search.")] = 100.0,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Traces (50) or small plans (20).")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the searches; number of the first trace or plan.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure schedules: projects and small plans with known optima, residency, and real worker processes."""
    from compllm.cli import bench_schedule

    if psplib is None and not (residency or exact or real):
        raise typer.BadParameter("say what to measure: --psplib DIR, --residency, --exact or --real")
    with reported_errors():
        if psplib is not None:
            bench_schedule.psplib(
                psplib, sets or (), schedules=schedules, budget_ms=budget_ms, seed=seed, as_json=as_json
            )
        if residency:
            bench_schedule.residency(seed, count or 50, as_json=as_json)
        if exact:
            bench_schedule.exact(seed, count or 20, as_json=as_json)
        if real:
            bench_schedule.real(as_json=as_json)


@app.command("projection")
def projection_command(
    gpu: Annotated[ProjectedGpu, typer.Option("--gpu", help="GPU with 80 GB that is simulated.")] = ProjectedGpu.H100,
    questions: Annotated[int, typer.Option("--questions", min=1, help="Questions of each shape.")] = 100,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same projection.")] = 0,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw latency over memory, as .svg or .png.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Project latency and memory to 7B to 70B models on GPUs, by published speeds: simulated, nothing is loaded."""
    from compllm.cli import bench_projection

    with reported_errors():
        bench_projection.projection(gpu.value, questions, seed, plot, as_json=as_json)


@app.command("serving")
@synchronous
async def serving_command(
    litellm: Annotated[
        Path | None, typer.Option("--litellm", help="The program `litellm` (litellm[proxy]) to compare with.")
    ] = None,
    requests: Annotated[int, typer.Option("--requests", min=10, max=100_000, help="Requests to each server.")] = 1000,
    at_once: Annotated[int, typer.Option("--at-once", min=1, max=1_000, help="Requests under way at once.")] = 32,
    streams: Annotated[int, typer.Option("--streams", min=1, max=2_000, help="Streams open at once.")] = 500,
    as_json: JsonOption = False,
) -> None:
    """Measure the server with fake experts: requests/s, latency added, many streams, and a stop in the middle."""
    from compllm.cli import bench_serving

    await bench_serving.bench_serving(requests, at_once, streams, litellm, as_json=as_json)


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
