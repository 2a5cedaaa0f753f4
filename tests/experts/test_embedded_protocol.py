"""Request bodies, streamed events and errors of the embedded worker."""

from __future__ import annotations

import json
import signal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.errors import ExpertLoadError, ExpertOutOfMemoryError, ExpertResponseError
from compllm.experts.base import ChatRequest, Chunk, Message
from compllm.experts.embedded.protocol import (
    ServerEvents,
    chat_body,
    death_error,
    exit_reason,
    load_error,
    status_error,
)

QUESTION = (Message("system", "Be short."), Message("user", "Why?"))


def event(text: str | None = None, finish_reason: str | None = None, **more: object) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return "data: " + json.dumps({"choices": [choice], **more})


def test_body_always_streams_and_reports_progress() -> None:
    body = chat_body(ChatRequest(QUESTION, max_tokens=7, temperature=0.5, stop=("\n",), seed=3))
    assert body["messages"] == [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]
    assert (body["max_tokens"], body["temperature"], body["stop"], body["seed"]) == (7, 0.5, ["\n"], 3)
    assert body["stream"] is body["return_progress"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert "grammar" not in body
    assert "json_schema" not in body


def test_constraints_are_passed_through() -> None:
    assert chat_body(ChatRequest(QUESTION, grammar='root ::= "a"'))["grammar"] == 'root ::= "a"'
    assert chat_body(ChatRequest(QUESTION, json_schema='{"type": "object"}'))["json_schema"] == {"type": "object"}


def test_a_request_names_its_adapter_and_no_other_takes_part() -> None:
    def scales(adapter: str | None) -> list[tuple[int, float]]:
        body = chat_body(ChatRequest(QUESTION, adapter=adapter), ("plan", "read"))
        return [(each["id"], each["scale"]) for each in body["lora"]]

    assert scales("read") == [(0, 0.0), (1, 1.0)]
    assert scales(None) == [(0, 0.0), (1, 0.0)]
    for adapters in ((), ("plan",)):
        with pytest.raises(ExpertResponseError, match="no adapter 'read'") as failure:
            chat_body(ChatRequest(QUESTION, adapter="read"), adapters)
        assert not failure.value.retryable


def test_what_an_adapter_ends_with_ends_an_answer_that_has_it_as_text() -> None:
    asked = ChatRequest(QUESTION, stop=("\n",), adapter="read")
    assert chat_body(asked, ("read",))["stop"] == ["\n", "<|im_end|>"]


def test_schema_that_is_not_json_is_refused() -> None:
    with pytest.raises(ExpertResponseError, match="not JSON"):
        chat_body(ChatRequest(QUESTION, json_schema="{"))


def test_reply_becomes_chunks_and_counts() -> None:
    events = ServerEvents("m")
    lines = [
        event(None),
        "",
        event(None, prompt_progress={"processed": 64}),
        ": ping",
        event("Par"),
        event("is"),
        event(None, "length"),
        'data: {"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 2}}',
        "data: [DONE]",
    ]
    assert events.feed("\n".join([*lines, ""]).encode()) == [Chunk("Par"), Chunk("is")]
    assert events.last() == Chunk("", 30, 2, "length")


@given(st.text(alphabet=st.sampled_from("a\u2028\u2029\x85\x0b\x1c\r🧭é"), min_size=1), st.lists(st.integers(0, 300)))
def test_a_line_ends_with_a_line_feed_alone(text: str, cuts: list[int]) -> None:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
    raw = f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n".encode()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    events = ServerEvents("m")
    assert [chunk for begin, end in pairwise(edges) for chunk in events.feed(raw[begin:end])] == [Chunk(text)]
    assert events.last().finish_reason == "stop"


def test_reply_that_breaks_off_is_no_answer() -> None:
    events = ServerEvents("m")
    events.feed(f"{event('Par')}\n".encode())
    with pytest.raises(ExpertResponseError, match="broke off") as failure:
        events.last()
    assert failure.value.retryable


@pytest.mark.parametrize("line", ["data: {", "data: []", "data: {}", 'data: {"choices": [{}]}', 'data: {"choices": 1}'])
def test_line_of_another_protocol_is_no_answer(line: str) -> None:
    with pytest.raises(ExpertResponseError, match="something else"):
        ServerEvents("m").feed(f"{line}\n".encode())


@pytest.mark.parametrize(
    "line", ['data: {"error": {"code": 500, "message": "boom"}}', 'error: {"code": 500, "message": "boom"}']
)
def test_error_in_the_middle_is_raised(line: str) -> None:
    with pytest.raises(ExpertResponseError, match="boom") as failure:
        ServerEvents("m").feed(f"{line}\n".encode())
    assert failure.value.retryable


def test_too_long_a_request_names_tokens_and_limit() -> None:
    error = {"code": 400, "type": "exceed_context_size_error", "message": "?", "n_prompt_tokens": 6031, "n_ctx": 2048}
    failure = status_error("m", 400, json.dumps({"error": error}).encode())
    assert isinstance(failure, ExpertResponseError)
    assert not failure.retryable
    assert "6031" in str(failure)
    assert "2048" in str(failure)


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (401, False), (500, True), (503, True)])
@pytest.mark.parametrize("body", [b'{"error": {"message": "why"}}', b"why", b'{"error": "why"}'])
def test_refusals_are_worth_another_try_when_the_server_is_at_fault(status: int, retryable: bool, body: bytes) -> None:
    failure = status_error("m", status, body)
    assert failure.retryable is retryable
    assert "why" in str(failure)


def test_reported_failures_are_told_apart_by_their_kind() -> None:
    short = load_error("m", {"error": "memory", "message": "no"}, "tail")
    broken = load_error("m", {"error": "RuntimeError", "message": "no memory"}, "tail")
    assert isinstance(short, ExpertOutOfMemoryError)
    assert short.retryable
    assert isinstance(broken, ExpertLoadError)
    assert "tail" in str(broken)


def test_death_by_the_kernel_means_memory() -> None:
    assert isinstance(death_error("m", -signal.SIGKILL, ""), ExpertOutOfMemoryError)
    assert isinstance(death_error("m", -signal.SIGSEGV, ""), ExpertLoadError)
    assert death_error("m", -signal.SIGTERM, "").retryable
    assert not death_error("m", 1, "").retryable


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(None, "does not answer"), (1, "exit code 1"), (-9, "SIGKILL"), (-99, "signal 99")],
)
def test_ends_are_said_in_words(exit_code: int | None, words: str) -> None:
    assert words in exit_reason(exit_code)
