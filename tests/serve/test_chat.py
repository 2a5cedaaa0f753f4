"""Chat completions by the unmodified client of OpenAI: answers, streams, refusals, failures, and clients that leave."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import openai
import pytest

from compllm.core import events as ev
from compllm.errors import AccessDeniedError, ExpertResponseError
from compllm.experts.fake import FakeExpert
from compllm.serve.callers import Caller
from compllm.serve.service import Service
from tests.serve.conftest import FILE, MakeTeam
from tests.serve.serving import Served, sent, serving
from tests.wiring import GatedFake, questions

QUESTION = "What is the heart pulse, and what is insulin of glands?"
ANSWER = "WHAT IS THE HEART PULSE? [1]\nWHAT IS INSULIN OF GLANDS? [2]"
LINES = {
    "1. What is the heart pulse? → heart (tag 0.95)",
    "#1 heart: WHAT IS THE HEART PULSE?",
    "2. What is insulin of glands? → glands (tag 0.94)",
    "#2 glands: WHAT IS INSULIN OF GLANDS?",
    "Joining the answers (joined (no model))",
}


@pytest.fixture
def served(make_team: MakeTeam) -> Iterator[Served]:
    with serving(make_team()) as running:
        yield running


def client_of(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=served.base_url, api_key="none", max_retries=0)


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def until_a_node_runs(service: Service, runs: int) -> None:
    """Wait until the last of so many runs has sent something to an expert."""
    with anyio.fail_after(10):
        while len(service.runs._runs) < runs or not any(
            isinstance(stamped.event, ev.NodeStarted) for stamped in [*service.runs._runs.values()][-1].events
        ):
            await anyio.lowlevel.checkpoint()


def last_run(served: Served) -> tuple[ev.Event, ...]:
    run = next(reversed(served.service.runs._runs.values()))
    return tuple(stamped.event for stamped in served.wait(run.ended))


def test_an_answer_comes_with_its_reasoning_and_what_it_took(served: Served) -> None:
    with client_of(served) as client:
        answer = client.chat.completions.create(model="clinic", messages=user(QUESTION))
        assert answer.choices[0].message.content == ANSWER
        assert answer.choices[0].finish_reason == "stop"
        assert set(answer.choices[0].message.model_dump()["reasoning_content"].splitlines()) == LINES
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 10, 20)
        assert served.get(f"/v1/runs/{answer.id.removeprefix('chatcmpl-')}").json()["answer"] == ANSWER


def test_a_stream_carries_the_plan_and_the_sub_answers_before_the_answer(served: Served) -> None:
    with client_of(served) as client:
        options: Any = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(model="clinic", messages=user(QUESTION), stream=True, stream_options=options)
        )
    deltas = [chunk.choices[0].delta.model_dump() for chunk in chunks if chunk.choices]
    assert deltas[0]["role"] == "assistant"
    assert set("".join(each.get("reasoning_content") or "" for each in deltas).splitlines()) == LINES
    assert "".join(each["content"] or "" for each in deltas) == ANSWER
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 20
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.anyio
async def test_the_asynchronous_client_streams_too(served: Served) -> None:
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="none") as client:
        stream = await client.chat.completions.create(model="heart", messages=user("What?"), stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "WHAT?"


def test_an_expert_gets_the_question_as_it_is_and_its_words_pass_at_once(make_team: MakeTeam) -> None:
    slow = FakeExpert(str.upper, token_s=0.001)
    with serving(make_team(one=slow)) as served, client_of(served) as client:
        messages: Any = [{"role": "system", "content": "Be brief."}, *user("What is a heart, and what is a pulse?")]
        chunks = list(client.chat.completions.create(model="heart", messages=messages, stream=True))
        words = [text for chunk in chunks if (text := chunk.choices[0].delta.content)]
    assert questions(slow) == ["Be brief.\n\nWhat is a heart, and what is a pulse?"]
    assert len(words) > 5
    assert "".join(words) == "BE BRIEF.\n\nWHAT IS A HEART, AND WHAT IS A PULSE?"


def test_a_follow_up_is_asked_so_that_it_stands_alone(make_team: MakeTeam) -> None:
    one = FakeExpert(str.upper)
    with serving(make_team(one=one)) as served, client_of(served) as client:
        before: Any = [
            {"role": "user", "content": [{"type": "text", "text": "What is the heart pulse?"}]},
            {"role": "assistant", "content": "A beat.", "reasoning_content": "1. ...", "refusal": None},
        ]
        client.chat.completions.create(model="clinic", messages=[*before, *user("And the heart rate?")])
    assert questions(one) == ["What is the heart rate?"]


def test_an_answer_ends_where_the_client_said(served: Served) -> None:
    with client_of(served) as client:
        stopped = client.chat.completions.create(model="clinic", messages=user(QUESTION), stop=["\n"])
        cut = client.chat.completions.create(model="clinic", messages=user(QUESTION), max_completion_tokens=2)
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (ANSWER.splitlines()[0], "stop")
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("WHAT IS", "length")


@pytest.mark.parametrize("model", ["heart", "clinic"])
def test_the_answer_of_one_expert_that_was_cut_off_ends_as_such(make_team: MakeTeam, model: str) -> None:
    with serving(make_team(one=FakeExpert(finish_reason="length"))) as served, client_of(served) as client:
        whole = client.chat.completions.create(model=model, messages=user("What is the heart pulse?"))
        pieces = list(
            client.chat.completions.create(model=model, messages=user("What is the heart pulse?"), stream=True)
        )
    assert whole.choices[0].finish_reason == "length"
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "length"


def test_what_changes_nothing_is_said_to_change_nothing(served: Served) -> None:
    with client_of(served) as client:
        raw = client.chat.completions.with_raw_response
        messages: Any = [{"role": "system", "content": "Be brief."}, *user("What?")]
        some = raw.create(model="clinic", messages=messages, temperature=0.5, top_p=1, seed=3, n=1, stop=None)
        none = raw.create(model="heart", messages=messages, user="ann", stream=False)
        whole = raw.create(model="heart", messages=messages, extra_body={"stream_options": {"include_usage": True}})
    assert some.headers["compllm-without-effect"] == "temperature, top_p, seed, instructions"
    assert "compllm-without-effect" not in none.headers
    assert whole.headers["compllm-without-effect"] == "stream_options"
    assert none.headers["compllm-run"] == none.parse().id.removeprefix("chatcmpl-")


REFUSED: dict[str, Any] = {
    "n": 2,
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "functions": [{"name": "f"}],
    "tool_choice": "required",
    "response_format": {"type": "json_object"},
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"5": 1},
    "presence_penalty": 0.5,
    "frequency_penalty": -1,
    "temperature": 3,
    "max_tokens": 0,
    "stop": [""],
    "modalities": ["audio"],
    "service_tier": "flex",
    "top_k": 5,
    "user": "a\nb",
    "compllm": {"colour": 1},
    "messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}],
}


def test_what_cannot_be_honoured_is_refused_by_name(served: Served) -> None:
    with client_of(served) as client:
        for param, value in REFUSED.items():
            body = {"model": "clinic", "messages": user("What?"), param: value}
            with pytest.raises(openai.BadRequestError) as refusal:
                client.post("/chat/completions", body=body, cast_to=object)
            assert (refusal.value.param or "").split(".")[0] == param
            assert refusal.value.type == "invalid_request_error"
        assert not list(served.service.runs._runs)


def test_a_conversation_without_a_question_is_refused(served: Served) -> None:
    with client_of(served) as client:
        for messages in ([{"role": "system", "content": "x"}], [*user("x"), {"role": "assistant", "content": "y"}]):
            with pytest.raises(openai.BadRequestError, match="last message"):
                client.chat.completions.create(model="clinic", messages=messages)  # type: ignore[arg-type]


def test_an_unknown_model_is_answered_with_the_known_ones(served: Served) -> None:
    with (
        client_of(served) as client,
        pytest.raises(openai.NotFoundError, match="clinic, heart, glands, general") as error,
    ):
        client.chat.completions.create(model="gpt-4", messages=user("What?"))
    assert (error.value.code, error.value.param) == ("model_not_found", "model")


def test_a_plan_of_ones_own_and_a_dry_run(served: Served) -> None:
    plan = "1. [heart] a?\n2. [glands] b #1?"
    with client_of(served) as client:
        create = client.chat.completions.create
        answer = create(model="clinic", messages=user("?"), extra_body={"compllm": {"plan": plan, "priority": -1}})
        assert answer.choices[0].message.content == "A? [1]\nB A?? [2]"
        runs = len(served.service.runs._runs)
        dry = create(model="clinic", messages=user("?"), extra_body={"compllm": {"plan": plan, "dry_run": True}})
        assert dry.choices[0].message.content == plan
        own = create(model="clinic", messages=user(QUESTION), extra_body={"compllm": {"dry_run": True}}, stream=True)
        written = "".join(chunk.choices[0].delta.content or "" for chunk in own)
        assert written == "1. What is the heart pulse?\n2. What is insulin of glands?"
        assert len(served.service.runs._runs) == runs
        with pytest.raises(openai.BadRequestError, match="step number 3"):
            create(model="clinic", messages=user("?"), extra_body={"compllm": {"plan": "1. a?\n3. b?"}})
        with pytest.raises(openai.BadRequestError, match="no plan"):
            create(model="heart", messages=user("?"), extra_body={"compllm": {"dry_run": True}})


def test_a_dry_run_has_an_id_of_its_own_and_ends_where_the_client_said(served: Served) -> None:
    with client_of(served) as client:
        create = partial(client.chat.completions.create, model="clinic", extra_body={"compllm": {"dry_run": True}})
        stopped, cut = create(messages=user(QUESTION), stop="\n"), create(messages=user(QUESTION), max_tokens=3)
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (
        "1. What is the heart pulse?",
        "stop",
    )
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("1. What", "length")
    assert stopped.id != cut.id


@pytest.mark.parametrize("stream", [False, True])
def test_half_a_character_in_a_question_or_a_plan_breaks_no_dry_run(served: Served, *, stream: bool) -> None:
    for plan in (None, "1. [\ud800] What is \ud800?"):
        extras = {"dry_run": True, "plan": plan}
        body = {"model": "clinic", "messages": user("What is \ud800?"), "stream": stream, "compllm": extras}
        with served.client() as client:
            answer = client.post(
                "/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"}
            )
        assert answer.status_code == 200
        assert "What is ??" in answer.text


def test_an_end_user_is_charged_for_the_run(served: Served) -> None:
    with client_of(served) as client:
        client.chat.completions.create(model="clinic", messages=user("What?"), user="ann")
    assert next(iter(served.service.runs._runs.values())).user == "/ann"


def test_a_run_without_an_answer_is_an_error_that_is_not_retried(make_team: MakeTeam) -> None:
    with serving(make_team(one=FakeExpert({}))) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="none") as client:
            with pytest.raises(openai.InternalServerError, match="no answer is scripted") as error:
                client.chat.completions.create(model="clinic", messages=user("What?"))
            assert (error.value.status_code, error.value.code) == (502, "run_failed")
            with pytest.raises(openai.APIError, match="no answer is scripted"):
                list(client.chat.completions.create(model="clinic", messages=user("What?"), stream=True))
        assert len(served.service.runs._runs) == 2


def test_a_run_that_is_too_late_or_cancelled_says_so(make_team: MakeTeam) -> None:
    text = FILE.replace("runs: 40", "runs: 40, deadline_s: 0.2")
    with serving(make_team(text, one=FakeExpert(hang=True))) as served, client_of(served) as client:
        with pytest.raises(openai.InternalServerError, match="deadline") as error:
            client.chat.completions.create(model="clinic", messages=user("What?"))
        assert (error.value.status_code, error.value.code) == (504, "deadline_passed")
    with serving(make_team(one=FakeExpert(hang=True))) as served, client_of(served) as client:
        stream = client.chat.completions.create(model="clinic", messages=user("What?"), stream=True)
        next(iter(stream))
        served.call(next(iter(served.service.runs._runs.values())).cancel, "enough")
        with pytest.raises(openai.APIError, match="cancelled: enough"):
            list(stream)


def test_an_expert_that_breaks_off_breaks_the_stream(make_team: MakeTeam) -> None:
    class Breaking(FakeExpert):
        async def _wait(self, seconds: float) -> None:
            await super()._wait(seconds)
            if seconds == 0.002:
                raise ExpertResponseError("lost the connection", retryable=True)

    with serving(make_team(one=Breaking(first_token_s=0.001, token_s=0.002))) as served, client_of(served) as client:
        stream = client.chat.completions.create(model="heart", messages=user("a b c"), stream=True)
        words = (text for chunk in stream if (text := chunk.choices[0].delta.content))
        assert next(words) == "a "
        with pytest.raises(openai.APIError, match="lost the connection"):
            next(words)


def test_an_expert_that_breaks_off_is_asked_again_for_who_waits_for_the_whole(make_team: MakeTeam) -> None:
    class Breaking(FakeExpert):
        broken = False

        async def _wait(self, seconds: float) -> None:
            await super()._wait(seconds)
            if seconds == 0.002 and not self.broken:
                self.broken = True
                raise ExpertResponseError("lost the connection", retryable=True)

    with serving(make_team(one=Breaking(first_token_s=0.001, token_s=0.002))) as served, client_of(served) as client:
        answer = client.chat.completions.create(model="heart", messages=user("a b c"))
        assert answer.choices[0].message.content == "a b c"
        asked = client.responses.create(model="heart", input="a b c")
        assert asked.output_text == "a b c"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_its_run_unless_it_is_stored(make_team: MakeTeam, stream: bool) -> None:
    gated = GatedFake("What", answers=str.upper)
    with serving(make_team(one=gated)) as served:
        for runs, store in enumerate((False, True), start=1):
            body = {"model": "clinic", "messages": user("What is the heart?"), "stream": stream, "store": store}
            with sent(served, "/v1/chat/completions", body):
                served.wait(until_a_node_runs, served.service, runs)
            if store:
                served.call(gated.let, "What")
            assert isinstance(last_run(served)[-1], ev.RunCompleted if store else ev.RunFailed)
        assert gated.open_streams == 0


def test_a_full_queue_asks_for_patience_and_a_stopping_server_says_so(make_team: MakeTeam) -> None:
    text = FILE.replace("runs: 40", "runs: 1")
    with serving(make_team(text, one=FakeExpert(hang=True))) as served, client_of(served) as client:
        stream = client.chat.completions.create(model="clinic", messages=user("What?"), stream=True)
        with pytest.raises(openai.RateLimitError) as full:
            client.chat.completions.create(model="clinic", messages=user("What?"))
        assert int(full.value.response.headers["Retry-After"]) > 0
        assert served.get("/readyz").json() == {"status": "ready"}
        served.service.runs.is_draining = True
        with pytest.raises(openai.InternalServerError) as draining:
            client.chat.completions.create(model="clinic", messages=user("What?"))
        assert (draining.value.status_code, draining.value.code) == (503, "draining")
        assert served.get("/readyz").status_code == 503
        assert served.get("/healthz").json() == {"status": "ok"}
        stream.close()


class Door:
    """Lets in who brings the key, and remembers who is inside."""

    def __init__(self) -> None:
        self.inside: list[str] = []

    @asynccontextmanager
    async def admit(self, key: str, address: str) -> AsyncIterator[Caller]:
        if key != "sesame":
            raise AccessDeniedError("no such key")
        self.inside.append(address)
        try:
            yield Caller("ann")
        finally:
            self.inside.remove(address)


def test_a_caller_is_admitted_by_key_for_as_long_as_the_answer_lasts(make_team: MakeTeam) -> None:
    door, gated = Door(), GatedFake("What", answers=str.upper)
    with serving(make_team(one=gated), door) as served:
        with openai.OpenAI(base_url=served.base_url, api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError) as error:
                client.models.list()
            assert error.value.response.headers["WWW-Authenticate"] == "Bearer"
            assert "wrong" not in error.value.response.text
        assert {served.get(path).status_code for path in ("/v1/models", "/v1/runs")} == {401}
        assert served.get("/healthz").status_code == 200
        with openai.OpenAI(base_url=served.base_url, api_key="sesame") as client:
            stream = client.chat.completions.create(model="clinic", messages=user("What is the heart?"), stream=True)
            next(iter(stream))
            assert door.inside == ["127.0.0.1"]
            served.call(gated.let, "What")
            assert any(chunk.choices[0].finish_reason for chunk in stream)
        assert next(iter(served.service.runs._runs.values())).user == "ann"
    assert not door.inside


def test_html_and_half_characters_in_an_answer_are_only_text(make_team: MakeTeam) -> None:
    said = "<script>alert(1)</script> \ud83d"
    with serving(make_team(one=FakeExpert(lambda _: said))) as served, served.client() as client:
        for stream in (False, True):
            body = {"model": "clinic", "messages": user("What?"), "stream": stream}
            answer = client.post("/v1/chat/completions", json=body)
            assert answer.headers["Content-Type"].split(";")[0] in ("application/json", "text/event-stream")
            assert "<script>alert(1)</script> ?" in answer.text
        run = answer.headers["compllm-run"]
        assert json.loads(client.get(f"/v1/runs/{run}").text)["answer"] == "<script>alert(1)</script> ?"
        assert client.get(f"/v1/runs/{run}/events").status_code == 200
