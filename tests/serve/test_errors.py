"""How errors are told: every kind has a status, and nothing of the server's inside goes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from compllm import errors
from compllm.errors import CompLLMError
from compllm.experts.fake import FakeExpert
from compllm.serve.errors import api_error
from tests.serve.conftest import MakeTeam
from tests.serve.serving import serving


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.AccessDeniedError("no key"), 401, "invalid_api_key"),
        (errors.TooManyRequestsError("slow down", retry_after_s=1.2), 429, "rate_limit_exceeded"),
        (errors.QueueFullError("full"), 429, "queue_full"),
        (errors.PlanParseError("bad", line=1, text=""), 400, "invalid_plan"),
        (errors.PlanCycleError([1, 1]), 400, "invalid_plan"),
        (errors.NoEligibleExpertError("nobody"), 400, "no_eligible_expert"),
        (errors.RoutingError("http://internal/v1 refused the key k-123"), 502, "encoder_failed"),
        (errors.ModelTooLargeError("big", need_bytes=2, capacity_bytes=1), 503, "no_capacity"),
        (errors.ExpertTimeoutError("late"), 504, "expert_timeout"),
        (errors.ExpertLoadError("dead"), 502, "expert_failed"),
        (errors.JournalError("/home/x/runs.sqlite3: locked"), 500, "internal_error"),
        (errors.ConfigError("/home/x/compllm.yaml: bad"), 500, "internal_error"),
    ],
)
def test_every_kind_of_error_has_a_status_and_a_code(error: CompLLMError, status: int, code: str) -> None:
    told = api_error(error)
    assert (told.status, told.body.error.code) == (status, code)
    assert (told.message == str(error)) == (code not in ("internal_error", "encoder_failed"))
    assert (
        told.body.error.type == {True: "server_error", False: "invalid_request_error"}[status >= 500] or status == 429
    )


def test_who_comes_too_often_is_told_when_to_come_again() -> None:
    assert api_error(errors.TooManyRequestsError("", retry_after_s=1.2)).headers == {"Retry-After": "2"}
    assert api_error(errors.TooManyRequestsError("", retry_after_s=0.0)).headers == {"Retry-After": "1"}
    assert int(api_error(errors.QueueFullError("")).headers["Retry-After"]) > 0
    assert api_error(errors.AccessDeniedError("")).headers == {"WWW-Authenticate": "Bearer"}


WRONG: list[tuple[str, bytes, int, str | None, str | None]] = [
    ("/v1/nothing", b"{}", 404, None, None),
    ("/v1/models", b"{}", 405, None, None),
    ("/v1/runs", b"{", 400, "invalid_json", None),
    ("/v1/runs", b"[]", 400, "invalid_value", None),
    ("/v1/runs", b"", 400, "missing_parameter", None),
    ("/v1/runs", b"\xff", 400, None, None),
    ("/v1/runs", b'{"question": "\\ud800"}', 400, "invalid_value", "question"),
    ("/v1/runs", b'{"question": " "}', 400, "invalid_plan", None),
    ("/v1/runs", b'{"question": "a", "priority": 1e400}', 400, "invalid_value", "priority"),
    ("/v1/runs", b'{"question": "a", "\\ud800": 1}', 400, "invalid_value", None),
    ("/v1/runs", b'{"question": "a", "expert": "nose"}', 404, "model_not_found", "expert"),
    ("/v1/runs", b'{"question": "a", "expert": "heart", "plan": "1. a"}', 400, "unsupported_value", "plan"),
    ("/v1/runs", b'{"question": "a", "plan": "2. a"}', 400, "invalid_plan", "plan"),
    ("/v1/runs", b'{"question": "a", "user": "a\\nb"}', 400, "invalid_value", "user"),
    ("/v1/runs/x/cancel", b"", 404, "run_not_found", "run_id"),
]


def test_a_request_that_is_wrong_is_told_where(make_team: MakeTeam) -> None:
    with serving(make_team()) as served, served.client() as client:
        for path, body, *expected in WRONG:
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            error = answer.json()["error"]
            assert [answer.status_code, error["code"], error["param"]] == expected, (path, body, error)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_said_to_be_json_is_told_how_to_be_sent(make_team: MakeTeam, kind: str | None) -> None:
    # Other sites can have a browser send exactly these to a server on its own machine, without asking it first.
    headers = {} if kind is None else {"Content-Type": kind}
    with serving(make_team()) as served, served.client() as client:
        for path in ("/v1/runs", "/v1/chat/completions", "/v1/responses", "/v1/embeddings"):
            answer = client.post(path, content=b'{"question": "What?"}', headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
            assert "`Content-Type: application/json`" in answer.json()["error"]["message"]
        assert not served.service.runs._runs


def test_a_bug_is_answered_without_its_story(make_team: MakeTeam, caplog: pytest.LogCaptureFixture) -> None:
    team = make_team()
    with serving(team) as served, served.client() as client:
        team.router.encoder.encode = None  # type: ignore[method-assign, assignment]
        answer = client.post("/v1/embeddings", json={"model": "clinic", "input": "secret"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "NoneType" not in answer.text
    assert "NoneType" in caplog.text


def test_a_broken_journal_is_no_story_for_clients(make_team: MakeTeam, tmp_path: Path) -> None:
    with serving(make_team(one=FakeExpert())) as served, served.client() as client:
        journal = served.service.team.journal
        path, journal.path = journal.path, tmp_path
        answer = client.get("/v1/runs")
        journal.path = path
    assert answer.status_code == 500
    assert str(tmp_path) not in answer.text
