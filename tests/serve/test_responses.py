"""The Responses API by the unmodified client of OpenAI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from compllm.experts.fake import FakeExpert
from tests.serve.conftest import MakeTeam
from tests.serve.serving import Served, serving
from tests.serve.test_chat import ANSWER, LINES, QUESTION, client_of
from tests.wiring import questions


@pytest.fixture
def served(make_team: MakeTeam) -> Iterator[Served]:
    with serving(make_team()) as running:
        yield running


def test_a_response_has_its_reasoning_as_an_item_and_what_it_took(served: Served) -> None:
    with client_of(served) as client:
        response = client.responses.create(model="clinic", input=QUESTION, temperature=0.1)
    assert response.output_text == ANSWER
    assert response.status == "completed"
    reasoning: Any = response.output[0]
    assert reasoning.type == "reasoning"
    assert set(reasoning.summary[0].text.splitlines()) == LINES
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 10)


def test_a_streamed_response_is_told_in_the_order_of_the_api(served: Served) -> None:
    with client_of(served) as client, client.responses.stream(model="clinic", input=QUESTION) as stream:
        events: list[Any] = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text == ANSWER
    thoughts = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
    assert set("".join(thoughts).splitlines()) == LINES
    assert kinds.index("response.reasoning_summary_text.done") < kinds.index("response.output_text.delta")


def test_a_response_goes_on_from_an_earlier_one(make_team: MakeTeam) -> None:
    one = FakeExpert({"What is the heart pulse?": "The heart pulse is 70 bpm.", "What is the heart rate?": "70."})
    with serving(make_team(one=one)) as served, client_of(served) as client:
        first = client.responses.create(model="clinic", input="What is the heart pulse?")
        second = client.responses.create(
            model="clinic", input="And the heart rate?", previous_response_id=first.id, instructions="Be brief."
        )
        assert second.output_text == "70."
        sent_back: Any = [
            {"role": "user", "content": "What is the heart pulse?"},
            *(item.model_dump(exclude_none=True) for item in first.output),
            {"role": "user", "content": [{"type": "input_text", "text": "And the heart rate?"}]},
        ]
        assert client.responses.create(model="clinic", input=sent_back).output_text == "70."
        with pytest.raises(openai.BadRequestError, match="there is no response 'resp_x'") as error:
            client.responses.create(model="clinic", input="And?", previous_response_id="resp_x")
        half = b'{"model": "clinic", "input": "And?", "previous_response_id": "\\ud800"}'
        with pytest.raises(openai.BadRequestError, match="previous_response_id"):
            client.post("/responses", content=half, cast_to=object)
    assert error.value.code == "previous_response_not_found"
    assert len(questions(one)) == 3


def test_instructions_are_those_of_their_own_request(make_team: MakeTeam) -> None:
    one = FakeExpert()
    with serving(make_team(one=one)) as served, client_of(served) as client:
        first = client.responses.create(model="heart", input="What is the pulse of Anna?", instructions="Be Napoleon.")
        client.responses.create(
            model="heart", input="And of Bob?", instructions="Be brief.", previous_response_id=first.id
        )
    assert questions(one) == ["Be Napoleon.\n\nWhat is the pulse of Anna?", "Be brief.\n\nWhat is the pulse of Bob?"]


@pytest.mark.parametrize("stream", ["true", "false"])
def test_half_a_surrogate_pair_in_what_is_sent_back_breaks_nothing(served: Served, stream: str) -> None:
    fields = r'"model": "clinic", "input": "What \ud800?", "instructions": "\udc00", "metadata": {"a": "\ud800"}'
    with served.client() as client:
        answer = client.post(
            "/v1/responses", content=f'{{{fields}, "stream": {stream}}}', headers={"content-type": "application/json"}
        )
    assert answer.status_code == 200
    assert r'"metadata": {"a": "\ud800"}' in answer.text


def test_a_response_that_is_cut_is_incomplete(served: Served) -> None:
    with client_of(served) as client:
        whole = client.responses.create(model="clinic", input=QUESTION, max_output_tokens=2)
        events: list[Any] = list(
            client.responses.create(model="heart", input="a b c", max_output_tokens=2, stream=True)
        )
    assert (whole.status, whole.output_text) == ("incomplete", "WHAT IS")
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert (events[-1].type, events[-1].response.output_text) == ("response.incomplete", "A B")


def test_a_response_without_an_answer_has_failed(make_team: MakeTeam) -> None:
    with serving(make_team(one=FakeExpert({}))) as served, client_of(served) as client:
        events: list[Any] = list(client.responses.create(model="clinic", input="What?", stream=True))
        with pytest.raises(openai.InternalServerError, match="no answer is scripted"):
            client.responses.create(model="clinic", input="What?")
    assert events[-1].type == "response.failed"
    assert "no answer is scripted" in events[-1].response.error.message


REFUSED: dict[str, Any] = {
    "input": [],
    "tools": [{"type": "web_search"}],
    "background": True,
    "include": ["file_search_call.results"],
    "conversation": "c",
    "text": {"format": {"type": "json_object"}},
    "max_output_tokens": 0,
    "top_logprobs": 2,
    "compllm": {"dry_run": True},
}


def test_what_cannot_be_honoured_is_refused_by_name(served: Served) -> None:
    with client_of(served) as client:
        for param, value in REFUSED.items():
            with pytest.raises(openai.BadRequestError) as refusal:
                client.post("/responses", body={"model": "clinic", "input": "x", param: value}, cast_to=object)
            assert (refusal.value.param or "").split(".")[0] == param
        picture: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
        with pytest.raises(openai.BadRequestError) as refusal:
            client.responses.create(model="clinic", input=picture)
        assert (refusal.value.param or "").startswith("input.0.content.0")
