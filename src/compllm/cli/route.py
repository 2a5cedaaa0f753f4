"""`compllm route`: who would answer a question and why; and the calibration of that decision."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from compllm.cli.common import JsonOption, TeamOption, reported_errors
from compllm.core.routing import Assignment
from compllm.errors import ConfigError
from compllm.pipeline import Team
from compllm.router.calibration import CalibrationReport, calibrate, read_labelled


def route(
    question: Annotated[str | None, typer.Argument(help="What an expert is wanted for.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="The field that a plan asks for.")] = None,
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
    with reported_errors():
        if (question is None) == (calibration is None):
            raise ConfigError("give either a question or --calibrate FILE")
        opened = Team.load(team)
        if calibration is not None:
            profiles = opened.router.profiles
            rows = read_labelled(calibration, [profile.name for profile in profiles])
            report = calibrate(opened.router.encoder, profiles, rows, threshold=opened.router.threshold)
            report.calibration.save(out)
            _show_report(report, out, as_json=as_json)
        elif question is not None:
            _show_assignment(opened.router.route(question, tag), as_json=as_json)


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
    typer.echo(f"questions            {report.questions} (and {report.no_expert_questions} for no expert)")
    typer.echo(f"accuracy (argmax)    {report.accuracy:.3f}")
    typer.echo(f"coverage             {report.coverage:.3f}")
    typer.echo(f"precision if routed  {report.precision:.3f}")
    typer.echo(f"calibration error    {report.ece:.3f}")
    typer.echo(f"wrong routes         {wrong}")
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"written: {out}", err=True)
