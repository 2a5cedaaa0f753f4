"""The list of models and the encoder, by the unmodified client of OpenAI."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import openai
import pytest

from compllm.errors import RoutingError
from compllm.router.base import Vectors
from tests.router.encoders import WordEncoder
from tests.serve.conftest import MakeTeam
from tests.serve.serving import Served, sent, serving
from tests.serve.test_chat import client_of


@pytest.fixture
def served(make_team: MakeTeam) -> Iterator[Served]:
    with serving(make_team()) as running:
        yield running


def test_the_team_and_its_experts_are_the_models(served: Served) -> None:
    with client_of(served) as client:
        assert [model.id for model in client.models.list()] == ["clinic", "heart", "glands", "general"]
        glands = client.models.retrieve("glands")
        assert glands.model_dump()["description"].startswith("An expert in glands")
        with pytest.raises(openai.NotFoundError, match="there is no model 'nose'"):
            client.models.retrieve("nose")


def test_texts_become_the_vectors_that_the_router_compares(served: Served) -> None:
    texts = ["heart", "pulse of the heart"]
    with client_of(served) as client:
        packed = client.embeddings.create(model="words", input=texts)
        plain = client.embeddings.create(model="clinic", input=texts[0], encoding_format="float", dimensions=128)
    expected = WordEncoder().encode(texts)
    assert np.allclose([row.embedding for row in packed.data], expected)
    assert np.allclose(plain.data[0].embedding, expected[0])
    assert (packed.model, packed.usage.prompt_tokens, [row.index for row in packed.data]) == ("words", 5, [0, 1])


def test_what_is_no_text_or_no_encoder_is_refused_by_name(served: Served) -> None:
    with client_of(served) as client:
        for param, value in {"input": [1, 2], "dimensions": 3, "encoding_format": "bits"}.items():
            body = {"model": "words", "input": "x", param: value}
            with pytest.raises(openai.BadRequestError) as refusal:
                client.post("/embeddings", body=body, cast_to=object)
            assert (refusal.value.param or "").split(".")[0] == param
        with pytest.raises(openai.NotFoundError, match="there are words, clinic"):
            client.embeddings.create(model="heart", input="x")


def test_an_encoder_that_fails_is_no_story_for_clients(make_team: MakeTeam) -> None:
    team = make_team()

    def encode(texts: object) -> Vectors:
        raise RoutingError("http://internal:1/v1 refused the key k-123")

    with serving(team) as served, client_of(served) as client:
        team.router.encoder.encode = encode  # type: ignore[method-assign]
        with pytest.raises(openai.InternalServerError) as error:
            client.embeddings.create(model="words", input="x")
    assert error.value.code == "encoder_failed"
    assert "k-123" not in error.value.response.text


def test_embeddings_leave_threads_to_everything_else(make_team: MakeTeam) -> None:
    team, go_on = make_team(), threading.Event()
    encode = team.router.encoder.encode

    def wait(texts: Sequence[str]) -> Vectors:
        if "blood" in texts:
            go_on.wait(20)
        return encode(texts)

    team.router.encoder.encode = wait  # type: ignore[method-assign]
    body = {"model": "words", "input": "blood"}
    with serving(team) as served, ExitStack() as stack, served.client() as client:
        stack.callback(go_on.set)
        for _ in range(60):  # more than there are threads for everybody
            stack.enter_context(sent(served, "/v1/embeddings", body))
        assert client.get("/v1/runs", timeout=10).status_code == 200
        answer = client.post(
            "/v1/chat/completions",
            json={"model": "clinic", "messages": [{"role": "user", "content": "What is pulse?"}]},
            timeout=10,
        )
        assert answer.json()["choices"][0]["message"]["content"] == "WHAT IS PULSE?"
