"""Runs on their own: started, followed from any place, stopped, listed, explained; and only by those whose they are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from compllm.codec import decode
from compllm.core import events as ev
from compllm.core.routing import Assignment, Candidate
from compllm.experts.fake import FakeExpert
from compllm.serve.callers import Caller
from tests.serve.conftest import MakeTeam
from tests.serve.serving import Served, serving
from tests.serve.test_chat import ANSWER, QUESTION, until_a_node_runs
from tests.wiring import GatedFake


@pytest.fixture
def served(make_team: MakeTeam) -> Iterator[Served]:
    with serving(make_team()) as running:
        yield running


def start(client: httpx.Client, **body: object) -> str:
    answer = client.post("/v1/runs", json={"question": QUESTION, **body})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/runs/{answer.json()['id']}"
    return str(answer.json()["id"])


def follow(client: httpx.Client, run: str, after: str | None = None) -> list[tuple[str, str, ev.Event]]:
    """Return id, name and event of everything that comes."""
    headers = {"Last-Event-ID": after} if after else {}
    answer = client.get(f"/v1/runs/{run}/events", headers=headers)
    assert answer.status_code == 200
    found = []
    for block in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["id"], fields["event"], decode(httpx.Response(200, text=fields["data"]).json()).event))
    return found


def test_a_run_is_started_followed_and_explained(served: Served) -> None:
    with served.client() as client:
        run = start(client)
        events = follow(client, run)
        assert [event.kind for _, _, event in events] == [kind for _, kind, _ in events]
        assert isinstance(events[0][2], ev.RunStarted)
        last = events[-1][2]
        assert isinstance(last, ev.RunCompleted)
        assert last.answer == ANSWER
        shown = client.get(f"/v1/runs/{run}").json()
        assert (shown["status"], shown["answer"], shown["usage"]["total_tokens"]) == ("answered", ANSWER, 20)
        assert [node["expert"] for node in shown["explanation"]["nodes"]] == ["heart", "glands"]
        assert dict(shown["explanation"]["nodes"][0]["assignment"]["scores"]).keys() == {"heart", "glands"}


def test_a_listener_goes_on_where_it_left_off_also_from_the_journal(served: Served) -> None:
    with served.client() as client:
        run = start(client)
        everything = follow(client, run)
        for index, (place, _, _) in enumerate(everything[:-1]):
            assert follow(client, run, place) == everything[index + 1 :]
        last = everything[-1][0]
        served.service.runs._runs.clear()
        assert follow(client, run) == [each for each in everything if each[0].endswith(".0")]
        assert client.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": last}).status_code == 204
        wrong = client.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": "x"})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "Last-Event-ID")


def test_a_run_is_cancelled_and_an_ended_one_stays_as_it_is(make_team: MakeTeam) -> None:
    with serving(make_team(one=GatedFake("What"))) as served, served.client() as client:
        run = start(client)
        served.wait(until_a_node_runs, served.service, 1)
        assert client.get(f"/v1/runs/{run}").json()["status"] == "running"
        cancelled = client.post(f"/v1/runs/{run}/cancel").json()
        assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "cancelled by the caller")
        done = start(client, expert="glands")
        follow(client, done)
        assert client.post(f"/v1/runs/{done}/cancel").json()["status"] == "answered"


def test_a_run_without_a_listener_ends_all_the_same(served: Served) -> None:
    with served.client() as client:
        run = start(client, user="ann", priority=-1, plan="1. [heart] a?\n2. [glands] b #1?")
    served.wait(served.service.runs._runs[run].ended)
    assert served.get(f"/v1/runs/{run}").json()["answer"] == "A? [1]\nB A?? [2]"


def test_a_dry_run_says_who_would_be_asked(make_team: MakeTeam) -> None:
    one = FakeExpert()
    with serving(make_team(one=one, two=one)) as served, served.client() as client:
        dry = client.post("/v1/runs", json={"question": QUESTION, "dry_run": True})
        assert dry.status_code == 200
        assert dry.json()["plan"] == "1. What is the heart pulse?\n2. What is insulin of glands?"
        experts = [step["assignment"]["candidates"][0]["expert"] for step in dry.json()["steps"]]
        assert experts == ["heart", "glands"]
        own = {"question": "?", "dry_run": True, "plan": "1. [heart] a?\n2. b #1? (after #1)"}
        assert client.post("/v1/runs", json=own).json()["steps"][1]["parents"] == [1]
        half = json.dumps({"question": "?", "dry_run": True, "plan": "1. [\ud800] is \ud800?"})
        found = client.post("/v1/runs", content=half, headers={"content-type": "application/json"})
        assert found.json()["steps"][0]["text"] == "is ??"
    assert not one.calls


class ByKey:
    """The key is the name."""

    @asynccontextmanager
    async def admit(self, key: str, address: str) -> AsyncIterator[Caller]:
        yield Caller(key)


def test_everybody_sees_only_their_own_runs(make_team: MakeTeam) -> None:
    with serving(make_team(), ByKey()) as served, served.client() as client:
        ann, bob = {"Authorization": "Bearer ann"}, {"Authorization": "Bearer bob"}
        run = client.post("/v1/runs", json={"question": "What is the heart?", "user": "x"}, headers=ann).json()["id"]
        served.wait(served.service.runs._runs[run].ended)
        for forgotten in (False, True):
            if forgotten:
                served.service.runs._runs.clear()
            assert client.get(f"/v1/runs/{run}", headers=ann).json()["answer"] == "WHAT IS THE HEART?"
            for answer in (
                client.get(f"/v1/runs/{run}", headers=bob),
                client.get(f"/v1/runs/{run}/events", headers=bob),
                client.post(f"/v1/runs/{run}/cancel", headers=bob),
                client.get(f"/v1/runs/{run[:-1]}", headers=ann),
            ):
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "run_not_found")
        listed = client.get("/v1/runs", params={"search": "HEART", "limit": 5}, headers=ann).json()["data"]
        assert [(row["id"], row["user"], row["status"]) for row in listed] == [(run, "ann/x", "answered")]
        assert client.get("/v1/runs", headers=bob).json()["data"] == []
        assert client.get("/v1/runs", params={"search": "nose"}, headers=ann).json()["data"] == []


def test_a_run_that_died_with_its_server_is_interrupted(served: Served) -> None:
    journal = served.service.team.journal
    journal.record("old", ev.Stamped(0.0, ev.RunStarted("old", "What?", "clinic", "rules")))
    journal.flush()
    journal._connection.execute("UPDATE runs SET pid_started_s = 0 WHERE id = 'old'")
    assert served.get("/v1/runs/old").json()["status"] == "interrupted"


def test_a_run_that_died_with_its_server_goes_on(make_team: MakeTeam) -> None:
    with serving(make_team(), ByKey()) as served, served.client() as client:
        ann, bob = {"Authorization": "Bearer ann"}, {"Authorization": "Bearer bob"}
        journal = served.service.team.journal
        journal.record("old", ev.Stamped(0.0, ev.RunStarted("old", "What is the heart?", "clinic", "rules", "ann/x")))
        journal.flush()
        journal._connection.execute("UPDATE runs SET pid_started_s = 0 WHERE id = 'old'")
        for name, who in (("old", bob), ("ol", ann), ("new", ann)):
            refused = client.post(f"/v1/runs/{name}/resume", headers=who)
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "run_not_found")
        resumed = client.post("/v1/runs/old/resume", headers=ann)
        assert (resumed.status_code, resumed.json()["id"]) == (202, "old")
        assert resumed.headers["Location"] == "/v1/runs/old"
        served.wait(served.service.runs._runs["old"].ended)
        for forgotten in (False, True):
            if forgotten:
                served.service.runs._runs.clear()
            shown = client.get("/v1/runs/old", headers=ann).json()
            assert (shown["status"], shown["answer"]) == ("answered", "WHAT IS THE HEART?")
            again = client.post("/v1/runs/old/resume", headers=ann)
            assert (again.status_code, again.json()["error"]["code"]) == (409, "not_resumable")
            assert "this one is answered" in again.json()["error"]["message"]


def test_a_run_of_an_expert_that_is_gone_cannot_be_resumed(served: Served) -> None:
    given = Assignment((Candidate("brains", "one"),), "given", 1.0, 1.0, passed=True, reason="asked for by name")
    journal = served.service.team.journal
    for event in (
        ev.RunStarted("old", "Why?", "clinic", "given"),
        ev.NodeAdded("old", 1, "Why?", (), given),
        ev.PlanClosed("old"),
    ):
        journal.record("old", ev.Stamped(0.0, event))
    journal.flush()
    journal._connection.execute("UPDATE runs SET pid_started_s = 0 WHERE id = 'old'")
    with served.client() as client:
        refused = client.post("/v1/runs/old/resume")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_resumable")
    assert "no expert 'brains'" in refused.json()["error"]["message"]


def test_a_server_that_is_about_to_stop_resumes_nothing(served: Served) -> None:
    served.service.runs.is_draining = True
    with served.client() as client:
        refused = client.post("/v1/runs/old/resume")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
