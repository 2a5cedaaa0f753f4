import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from compllm.cli.init import make_team, write_team
from compllm.config import load_team
from compllm.core.events import RunStarted, Stamped
from compllm.errors import ConfigError
from compllm.experts.discovery import FoundEndpoint, Kind
from compllm.journal import Journal
from compllm.settings import load_settings
from tests.cli.conftest import Invoke, Serve
from tests.experts import misbehaving as bad

# --- runs ------------------------------------------------------------------------------------------------------------


def test_an_empty_journal_says_so_kindly(invoke: Invoke) -> None:
    result = invoke("runs", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == 'no runs yet; ask something: compllm ask "..."\n'
    assert invoke("runs", "list", "--json").stdout == ""
    assert invoke("runs", "list", "--search", "q\x1bx").stderr == "no run holds 'q\\x1bx'\n"


def test_runs_are_listed_found_and_explained_by_the_beginning_of_their_id(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("fine")):
        invoke("ask", "Is the\nsea \x1b[31m blue?")
        invoke("ask", "Is the sky green?")
    rows = [json.loads(line) for line in invoke("runs", "list", "--json").stdout.splitlines()]
    assert [row["question"] for row in rows] == ["Is the sky green?", "Is the\nsea \x1b[31m blue?"]
    listed = invoke("runs", "list", "-n", "1", "-s", "SEA")
    assert listed.stdout.startswith(rows[1]["id"])
    assert "\x1b" not in listed.stdout
    shown = invoke("runs", "show", rows[0]["id"][:-1])
    assert (shown.exit_code, "Is the sky green?" in shown.stdout) == (0, True)
    events = [json.loads(line)["kind"] for line in invoke("runs", "show", rows[0]["id"], "--json").stdout.splitlines()]
    assert (events[0], events[-1]) == ("run_started", "run_completed")
    both = invoke("runs", "show", rows[0]["id"][:3])
    assert both.exit_code == 1
    assert "is ambiguous" in both.stderr


def test_a_run_whose_process_is_gone_is_shown_as_it_is_listed(invoke: Invoke) -> None:
    path = load_settings().journal_path
    with Journal(path) as journal:
        journal.record("r1", Stamped(0.0, RunStarted("r1", "Why?", "team", "rules")))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET pid_started_s = 0")
    assert "interrupted" in invoke("runs", "list").stdout
    shown = invoke("runs", "show", "r").stdout
    assert "r1: interrupted after 0.00 s" in shown
    assert "running for" not in shown


def test_an_unknown_run_is_said(invoke: Invoke) -> None:
    for run in ("nope", ""):
        result = invoke("runs", "show", run)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"has no run {run!r}" in result.stderr


# --- experts ---------------------------------------------------------------------------------------------------------


def test_experts_are_listed_without_opening_the_team(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("never")) as server:
        result = invoke("experts", "list")
        as_json = json.loads(invoke("experts", "list", "--json").stdout)
        assert server.seen == []
    assert result.stdout.startswith("a (model m)\n    An expert in tests")
    assert as_json["a"]["model"] == "m"


def test_every_expert_is_asked_and_a_failure_does_not_hide_the_others(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.failing(404, "no"), bad.good("here")) as server:
        team = Path("compllm.yaml").read_text().replace("router:", "  b: {model: m, description: Another}\nrouter:")
        Path("compllm.yaml").write_text(team)
        result = invoke("experts", "check", "--json", "--question", "Hello?")
        asked = [seen.body["messages"][-1]["content"] for seen in server.seen if seen.body]
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(report["expert"], report["ok"]) for report in reports] == [("a", False), ("b", True)]
    assert result.exit_code == 1
    assert set(asked) == {"Hello?"}


def test_what_an_endpoint_or_a_team_file_says_cannot_steer_the_terminal(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.failing(400, "no \x1b[31m")):
        team = Path("compllm.yaml").read_text().replace("An expert in tests who", '"An expert in \\e[31m tests who')
        Path("compllm.yaml").write_text(team.replace("about tests", 'about tests"'))
        outputs = [invoke("experts", "check").output, invoke("experts", "list").output]
    assert all("␛[31m" in output for output in outputs)
    assert "\x1b" not in "".join(outputs)


def test_the_field_that_a_model_names_cannot_steer_the_terminal(invoke: Invoke, serve: Serve) -> None:
    written = json.dumps({"steps": [{"field": "te\x07st", "question": "What?", "after": []}]})
    with serve(bad.good(written), extra="planner: {kind: model, model: m}\n"):
        result = invoke("plan", "Well?")
    assert result.exit_code == 0
    assert 'the tag "te␇st"' in result.stderr
    assert "\x07" not in result.output


def test_experts_are_asked_what_their_examples_say_unless_told_otherwise(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("here"), bad.good("here")) as server:
        expert = "  b: {model: m, description: Another, examples: ['Who knows?']}\nrouter:"
        Path("compllm.yaml").write_text(Path("compllm.yaml").read_text().replace("router:", expert))
        assert invoke("experts", "check").exit_code == 0
        asked = [seen.body["messages"][-1]["content"] for seen in server.seen if seen.body]
    assert asked == ["Who knows?", "Who knows?"]


def test_experts_without_any_example_are_asked_something(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("here")) as server:
        assert invoke("experts", "check").exit_code == 0
        asked = [seen.body["messages"][-1]["content"] for seen in server.seen if seen.body]
    assert asked == ["What is the capital of France?"]


# --- plan ------------------------------------------------------------------------------------------------------------


def test_a_plan_that_was_shown_can_be_given_back(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("one"), bad.good("two")):
        shown = invoke("plan", "Who wrote Emma, and who painted Guernica?")
        Path("plan.txt").write_text(shown.stdout)
        steps = json.loads(invoke("plan", "Who wrote Emma, and who painted Guernica?", "--json").stdout)["steps"]
        answered = invoke("ask", "Who?", "--plan", "plan.txt", "--json")
    assert shown.exit_code == answered.exit_code == 0
    assert shown.stdout == "".join(f"{step['id']}. {step['question']}\n" for step in steps)
    added = [event for event in map(json.loads, answered.stdout.splitlines()) if event["kind"] == "node_added"]
    assert [event["text"] for event in added] == [step["question"] for step in steps]
    assert len(added) == 2


@pytest.mark.parametrize("question", ["Who wrote this?\n\n  1. 'Call me\tIshmael.'\n", "Why? " * 3_200])
def test_a_plan_of_a_long_question_or_one_of_several_lines_can_be_given_back(
    invoke: Invoke, serve: Serve, question: str
) -> None:
    with serve(bad.good("fine"), extra="planner: {kind: model, model: m}\n"):
        Path("plan.txt").write_text(invoke("plan", question).stdout)
        answered = invoke("ask", "Who?", "--plan", "plan.txt", "-q")
    assert (answered.exit_code, answered.stdout, answered.stderr) == (0, "fine\n", "")


def test_an_empty_question_has_no_plan(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("never")):
        result = invoke("plan", " ")
    assert result.exit_code == 2
    assert "the question is empty" in result.stderr


# --- route -----------------------------------------------------------------------------------------------------------


def test_a_route_is_shown_with_every_score(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("never")):
        result = invoke("route", "Is it a test?", "--tag", "tests")
        as_json = json.loads(invoke("route", "Is it a test?", "--tag", "tests", "--json").stdout)
    assert result.exit_code == 0
    assert result.stdout.startswith("a: ")
    assert result.stdout.endswith("failover: a\n")
    assert as_json["candidates"] == [{"expert": "a", "model": "m"}]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{nope\n", "rows.jsonl:1"),
        ('{"question": "Q?", "expert": "a"}\n{"question": "Q?", "expert": "zz"}\n', "rows.jsonl:2"),
        ("", "rows.jsonl"),
    ],
)
def test_questions_to_calibrate_on_are_refused_with_their_line(
    invoke: Invoke, serve: Serve, rows: str, said: str
) -> None:
    Path("rows.jsonl").write_text(rows)
    with serve(bad.good("never")):
        result = invoke("route", "--calibrate", "rows.jsonl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not Path("calibration.json").exists()


def test_a_team_that_wants_a_calibration_opens_to_be_calibrated(invoke: Invoke, serve: Serve) -> None:
    Path("rows.jsonl").write_text('{"question": "Q?", "expert": "zz"}\n')
    with serve(bad.good("never")):
        team = Path("compllm.yaml").read_text().replace("mode: tag", "mode: auto")
        Path("compllm.yaml").write_text(team)
        assert "fit one with `compllm route --calibrate FILE`" in invoke("route", "Q?").stderr
        assert "rows.jsonl:1" in invoke("route", "--calibrate", "rows.jsonl").stderr


@pytest.mark.parametrize("question", ["", " \n", "x" * 16_001])
def test_what_cannot_be_asked_has_no_route(invoke: Invoke, serve: Serve, question: str) -> None:
    with serve(bad.good("never")):
        result = invoke("route", question)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the question" in result.stderr


def test_a_calibration_that_routes_nothing_has_no_precision(invoke: Invoke, serve: Serve) -> None:
    Path("rows.jsonl").write_text('{"question": "Q?", "expert": "a"}\n')
    with serve(bad.good("never")):
        team = Path("compllm.yaml").read_text()
        Path("compllm.yaml").write_text(
            team.replace("experts:\n", "experts:\n  b: {model: m, description: Another.}\n")
        )
        result = invoke("route", "--calibrate", "rows.jsonl")
    assert "coverage             0.000\nprecision if routed  -\n" in result.stdout
    assert "warning: nothing passes: " in result.stderr


def test_a_route_is_of_a_question_or_a_calibration(invoke: Invoke) -> None:
    for arguments in ([], ["Q?", "--calibrate", "rows.jsonl"]):
        result = invoke("route", *arguments)
        assert result.exit_code == 2
        assert "give either a question or --calibrate FILE" in result.stderr


# --- init ------------------------------------------------------------------------------------------------------------


def test_a_team_is_written_for_the_servers_that_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        bad.serving(bad.model_list(["llama3.1:8b", "yes", "llama3.1/8b"])) as good,
        bad.serving(bad.html(200)) as odd,
        bad.serving(bad.failing(401)) as locked,
    ):
        ports: dict[int, Kind] = {bad.refused_port(): "vllm"}
        for each in (good, odd, locked):
            ports[int(each.url.split(":")[2].removesuffix("/v1"))] = "ollama"
        write_team(folder / "compllm.yaml", ports)
    config = load_team(folder).config
    assert [getattr(model, "model", "") for model in config.models.values()] == ["llama3.1/8b", "llama3.1:8b", "yes"]
    assert config.planner.model == config.aggregator.model == next(iter(config.models))
    said = capsys.readouterr().err
    assert "3 model(s): llama3.1/8b, llama3.1:8b, yes" in said
    assert "it answers, but not with a list of models" in said
    assert "it wants a key (HTTP 401)" in said


def test_without_a_server_the_bundled_model_is_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_team(folder / "t.yaml", {bad.refused_port(): "ollama"})
    assert load_team(folder / "t.yaml").config.models["smollm2"].backend == "embedded"
    assert "the bundled model is used" in capsys.readouterr().err


def test_models_that_only_embed_are_not_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embed = ["all-minilm:latest", "bge-m3:latest"]
    for models, general in (([*embed, "llama3.2:3b"], "llama3.2-3b"), (embed, "smollm2")):
        with bad.serving(bad.model_list(models)) as server:
            port = int(server.url.split(":")[2].removesuffix("/v1"))
            write_team(folder / "t.yaml", {port: "ollama"}, force=True)
        config = load_team(folder / "t.yaml").config
        assert config.experts["general"].model == general
        assert config.planner.model == config.aggregator.model == (general if general != "smollm2" else None)
    assert "no model that answers questions found on this machine; the bundled model is used" in capsys.readouterr().err


def test_a_file_that_is_there_is_not_overwritten_unless_forced(folder: Path) -> None:
    path = folder / "compllm.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"compllm\.yaml: this file is there already; .* --force"):
        write_team(path, {})
    assert path.read_text() == "mine"
    write_team(path, {}, force=True)
    assert load_team(path).config.name == "my-team"
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        write_team(folder / "none" / "compllm.yaml", {})


def test_a_place_that_no_file_can_have_is_said(invoke: Invoke) -> None:
    result = invoke("init", "x" * 300)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot be written: File name too long" in result.stderr


def test_names_of_models_become_names_of_the_team_file() -> None:
    names = ["a/b", "a-b", "_a", "模型", "x" * 99]
    team = make_team([FoundEndpoint("http://127.0.0.1:1/v1", "ollama", tuple(names))])
    assert list(team["models"]) == ["a-b", "a-b-2", "a", "model", "x" * 48]  # type: ignore[call-overload]


def test_the_schema_is_printed_and_nothing_written(invoke: Invoke, folder: Path) -> None:
    result = invoke("init", "--schema")
    assert json.loads(result.stdout)["required"] == ["models", "experts"]
    assert not (folder / "compllm.yaml").exists()
