"""`compllm route`: who would answer a question and why; and the calibration of that decision."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compllm.cli.common import JsonOption, TeamOption, readable, reported_errors
from compllm.errors import ConfigError

if TYPE_CHECKING:
    from compllm.core.routing import Assignment
    from compllm.router.calibration import CalibrationReport


def route(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", callback=readable, help="What an expert is wanted for.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", callback=readable, help="The field that a plan asks for.")] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibrate", help='JSON lines {"question": ..., "expert": name or null} to fit the scores on.'),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Where --calibrate writes; name it in the team file under router.calibration.")
    ] = Path("calibration.json"),
    team: TeamOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which expert a question goes to, with every score; or fit the scores to questions of your own."""
    from compllm.pipeline import Team

    with reported_errors():
        if (question is None) == (calibration is None):
            raise ConfigError("give either a question or --calibrate FILE")
        if calibration is not None:
            _show_report(_calibrate(team, calibration, out), out, as_json=as_json)
        elif question is not None:
            opened = Team.load(team)
            _show_assignment(opened.router.route(opened.check(question), tag), as_json=as_json)


def _calibrate(team: Path | None, labelled: Path, out: Path) -> CalibrationReport:
    from compllm.config import load_team
    from compllm.pipeline import Team
    from compllm.router.calibration import calibrate, read_labelled

    file = load_team(team)
    # The calibration that is sought is not there yet, or not to be used: open the team without one.
    router = file.config.router.model_copy(update={"mode": "tag", "calibration": None})
    opened = Team(replace(file, config=file.config.model_copy(update={"router": router}))).router
    rows = read_labelled(labelled, [profile.name for profile in opened.profiles])
    report = calibrate(opened.encoder, opened.profiles, rows, threshold=opened.threshold)
    report.calibration.save(out)
    return report


def _show_assignment(assignment: Assignment, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(assignment), ensure_ascii=False))
        return
    typer.echo(f"{assignment.expert}: {assignment.reason}")
    for name, score in assignment.scores:
        typer.echo(f"  {score:6.3f}  {name}")
    typer.echo("failover: " + ", ".join(candidate.expert for candidate in assignment.candidates))


def _show_report(report: CalibrationReport, out: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(report), ensure_ascii=False))
        return
    wrong = "-" if report.wrong_routes is None else f"{report.wrong_routes:.3f}"
    precision = f"{report.precision:.3f}" if report.coverage else "-"
    typer.echo(f"questions            {report.questions} (and {report.no_expert_questions} for no expert)")
    typer.echo(f"accuracy (argmax)    {report.accuracy:.3f}")
    typer.echo(f"coverage             {report.coverage:.3f}")
    typer.echo(f"precision if routed  {precision}")
    typer.echo(f"calibration error    {report.ece:.3f}")
    typer.echo(f"wrong routes         {wrong}")
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"written: {out}", err=True)
