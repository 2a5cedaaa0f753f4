import json
from pathlib import Path

import pytest

from compllm.journal import Journal, RunRow
from compllm.settings import load_settings
from tests.cli.conftest import SECRET, Invoke, Serve, team_for
from tests.experts import misbehaving as bad


def recorded() -> list[RunRow]:
    with Journal(load_settings().journal_path) as journal:
        return journal.runs()


def test_an_answer_goes_to_standard_output_and_the_rest_to_standard_error(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("It ", "is fine.")):
        result = invoke("ask", "Is it fine?")
    assert result.exit_code == 0
    assert result.stdout == "It is fine.\n"
    assert "#1 answered in" in result.stderr
    assert f"compllm runs show {recorded()[0].id}" in result.stderr
    assert "\x1b" not in result.output


def test_an_answer_that_was_cut_off_is_shown_as_such(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.stream_of(bad.delta("It is"), bad.delta(finish_reason="length"), bad.DONE)):
        result = invoke("ask", "Is it fine?")
        shown = invoke("runs", "show", recorded()[0].id)
    assert result.stdout == "It is\n"
    assert "raise it for the expert a" in result.stderr
    assert "raise it for the expert a" in shown.stdout


def test_quiet_prints_the_answer_alone(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("fine")):
        result = invoke("ask", "-q", given="Is it fine?\n")
    assert (result.exit_code, result.output) == (0, "fine\n")


def test_several_questions_are_answered_one_after_another(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("one"), bad.good("two")):
        result = invoke("ask", "-q", "First?", "Second?")
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    assert sorted(row.question for row in recorded()) == ["First?", "Second?"]


def test_no_question_is_asked_if_one_of_them_cannot_be(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("never")) as server:
        result = invoke("ask", "-q", "First?", "x" * 20_000, "Third?")
        assert server.seen == []
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the question has 20,000 characters" in result.stderr
    assert recorded() == []


def test_json_is_one_object_a_line_and_nothing_else(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("grüße \x1b[31m\u2028")):
        result = invoke("ask", "--json", "Is it fine?")
    events = [json.loads(line) for line in result.stdout.strip("\n").split("\n")]
    assert result.stderr == ""
    assert [events[0]["kind"], events[-1]["kind"]] == ["run_started", "run_completed"]
    assert all({"kind", "at_s"} <= set(event) for event in events)


def test_an_answer_cannot_steer_the_terminal(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.good("red \x1b[31m")):
        result = invoke("ask", "Is it fine?")
    assert "\x1b" not in result.output


def test_an_answer_with_gaps_has_its_own_exit_code(invoke: Invoke, serve: Serve) -> None:
    Path("plan.txt").write_text("1. Is it fine?\n2. (after #1) Is it not?\n".replace("(after #1) ", ""))
    with serve(bad.good("yes"), bad.failing(400, "no")):
        result = invoke("ask", "Is it?", "--plan", "plan.txt")
    assert result.exit_code == 3
    assert "Not answered:" in result.stdout
    assert recorded()[0].status == "gaps"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (bad.html(200), "does not speak the OpenAI protocol: it sent text/html"),
        (bad.failing(401, f"bad key {SECRET}"), "refused the key: check TEST_KEY (HTTP 401)"),
        (bad.failing(404, "no x"), "check the model's name and the URL (HTTP 404)"),
        (bad.cut_of(bad.ROLE, bad.delta("half")), "lost the connection in the middle of its answer"),
        (bad.stream_of(b"data: {nope\n\n"), "it sent an event that is not JSON"),
    ],
)
@pytest.mark.parametrize("flags", [(), ("--quiet",)])
def test_a_model_that_fails_is_reported_and_recorded_without_the_key(
    invoke: Invoke, serve: Serve, folder: Path, script: bad.Answer, said: str, flags: tuple[str, ...]
) -> None:
    with serve(script):
        result = invoke("ask", "Is it fine?", *flags)
    assert result.exit_code == 1
    assert result.stdout.strip() in {"", "half"}
    assert said in result.stderr
    assert [(row.status, said in (row.reason or "")) for row in recorded()] == [("failed", True)]
    assert SECRET not in result.output
    assert all(SECRET.encode() not in file.read_bytes() for file in (folder / "data").iterdir())


def test_a_port_that_refuses_is_reported(invoke: Invoke) -> None:
    Path("compllm.yaml").write_text(team_for(f"http://127.0.0.1:{bad.refused_port()}/v1"))
    result = invoke("experts", "check")
    assert result.exit_code == 1
    assert "FAILED  a  no answer: nothing answers at http://127.0.0.1" in result.stdout
    assert recorded()[0].status == "failed"


def test_a_model_that_is_busy_for_a_moment_is_asked_again(invoke: Invoke, serve: Serve) -> None:
    with serve(bad.failing(429, "slow down", Retry_After="0"), bad.good("fine")):
        result = invoke("ask", "-q", "Is it fine?")
    assert (result.exit_code, result.stdout) == (0, "fine\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "the question is empty"),
        (b" \n\t ", "the question is empty"),
        (b"x" * 200_000, "the question has 200,000 characters; this team takes 16,000 at most"),
        (b"caf\xe9?", "standard input is not text in UTF-8"),
        (b"\x7fELF\x01\x00", "the question holds binary data"),
        (b"x" * 4_000_001, "standard input holds more than 4,000,000 bytes"),
    ],
)
def test_a_question_that_is_none_is_refused(invoke: Invoke, serve: Serve, given: bytes, said: str) -> None:
    with serve(bad.good("never")) as server:
        result = invoke("ask", given=given)
        assert server.seen == []
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"compllm: {said}" in result.stderr
    assert recorded() == []


def test_an_argument_that_is_not_text_is_refused(invoke: Invoke) -> None:
    for arguments in (["ask", "caf\udce9"], ["plan", "caf\udce9"], ["route", "x", "--tag", "caf\udce9"]):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "it is not text in UTF-8" in result.stderr


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (b"1. What?\n2. And #3?\n", "plan.txt: plan line 2: #3 is not an earlier step"),
        (b"hello\n", "plan.txt: plan line 1: not a step"),
        (b"", "plan.txt: plan line 1: the plan has no steps"),
        (b"caf\xe9", "plan.txt: the file is not text in UTF-8"),
        (None, "plan.txt: cannot be read: No such file or directory"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_with_its_line(invoke: Invoke, plan: bytes | None, said: str) -> None:
    if plan is not None:
        Path("plan.txt").write_bytes(plan)
    result = invoke("ask", "Is it fine?", "--plan", "plan.txt")
    assert result.exit_code == 2
    assert f"compllm: {said}" in result.stderr


@pytest.mark.parametrize(
    "command", [["ask", "x"], ["plan", "x"], ["route", "x"], ["experts", "list"], ["experts", "check"]]
)
def test_a_team_that_is_not_usable_is_refused_by_every_command(
    invoke: Invoke, command: list[str], folder: Path
) -> None:
    for team, said in [
        ("none.yaml", "none.yaml: no such file"),
        (".", "compllm.yaml: no such file"),
        ("/dev/zero", "/dev/zero: larger than"),
        ("x" * 300, "cannot be read: File name too long"),
    ]:
        result = invoke(*command, "--team", team)
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr
    (folder / "compllm.yaml").write_text('"\\e[31m": 1\n')
    result = invoke(*command)
    assert result.exit_code == 2
    assert "compllm.yaml:1:" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_key_that_is_not_set_is_named(invoke: Invoke, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with serve(bad.good("never")):
        result = invoke("ask", "Is it fine?")
    assert result.exit_code == 2
    assert "models.m.api_key_env: the environment variable TEST_KEY is not set" in result.stderr
