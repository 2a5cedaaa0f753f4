"""`compllm experts`: who is in the team, and whether each can answer."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from compllm.cli.common import ANSWERED, FAILED, JsonOption, TeamOption, readable, reported_errors, synchronous
from compllm.errors import RunError

app = typer.Typer(help="The experts of a team.", no_args_is_help=True)


@app.command("list")
def list_experts(team: TeamOption = None, as_json: JsonOption = False) -> None:
    """List the team's experts, their models and what they are good at."""
    from compllm.config import load_team
    from compllm.explain import clean

    with reported_errors():
        config = load_team(team).config
        if as_json:
            experts = {name: expert.model_dump(mode="json") for name, expert in config.experts.items()}
            typer.echo(json.dumps(experts, ensure_ascii=False))
            return
        for name, expert in config.experts.items():
            documents = f", {len(expert.documents)} document(s)" if expert.documents else ""
            typer.echo(clean(f"{name} (model {expert.model}{documents})\n    {expert.description}"))


_ANY_QUESTION = "What is the capital of France?"


@app.command("check")
@synchronous
async def check(
    team: TeamOption = None,
    question: Annotated[
        str | None,
        typer.Option(
            "--question",
            callback=readable,
            help="What each expert is asked; default: the first of its examples, else of another's.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Have every expert answer once, which loads the models that experts use."""
    from compllm.explain import clean
    from compllm.pipeline import Team

    code = ANSWERED
    async with Team.load(team) as opened:
        experts = opened.file.config.experts
        another = next((example for expert in experts.values() for example in expert.examples), _ANY_QUESTION)
        for name, expert in experts.items():
            try:
                answer = await opened.ask_expert(name, question or next(iter(expert.examples), another))
                report = {"expert": name, "ok": True, "elapsed_s": answer.elapsed_s, "answer": answer.text}
            except RunError as error:
                code = FAILED
                report = {"expert": name, "ok": False, "reason": str(error)}
            typer.echo(json.dumps(report, ensure_ascii=False) if as_json else clean(_line(report)))
    raise typer.Exit(code)


def _line(report: dict[str, object]) -> str:
    if report["ok"]:
        return f"ok      {report['expert']}  ({report['elapsed_s']:.2f} s)"
    return f"FAILED  {report['expert']}  {report['reason']}"
