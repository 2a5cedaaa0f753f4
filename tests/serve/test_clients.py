"""Other people's clients, unmodified: litellm, langchain, llm, pydantic-ai.

They take seconds to import, and warn of themselves while they are imported; each is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.conftest import MakeTeam
from tests.serve.serving import Served, serving
from tests.serve.test_chat import ANSWER, LINES, QUESTION

pytestmark = pytest.mark.anyio


@pytest.fixture
def served(make_team: MakeTeam) -> Iterator[Served]:
    with serving(make_team()) as running:
        yield running


def test_litellm(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import asks the network
    import litellm

    server = {"api_base": served.base_url, "api_key": "none"}
    messages = [{"role": "user", "content": QUESTION}]
    answer = litellm.completion(model="openai/clinic", messages=messages, temperature=0.2, **server)
    assert answer.choices[0].message.content == ANSWER
    assert set(answer.choices[0].message.reasoning_content.splitlines()) == LINES
    assert answer.usage.total_tokens == 20
    chunks = list(litellm.completion(model="openai/clinic", messages=messages, stream=True, **server))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    vectors = litellm.embedding(model="openai/words", input=["heart"], **server)
    assert len(vectors.data[0]["embedding"]) == 128
    with pytest.raises(litellm.NotFoundError, match="there is no model 'gpt-4'"):
        litellm.completion(model="openai/gpt-4", messages=messages, **server)


async def test_langchain(served: Served) -> None:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    from pydantic import SecretStr

    key = SecretStr("none")
    chat = ChatOpenAI(model="clinic", base_url=served.base_url, api_key=key, temperature=0.2)
    assert chat.invoke([("system", "Be brief."), ("human", QUESTION)]).content == ANSWER
    assert "".join([str(chunk.content) async for chunk in chat.astream(QUESTION)]) == ANSWER
    newer = ChatOpenAI(model="clinic", base_url=served.base_url, api_key=key, use_responses_api=True)
    answer = newer.invoke(QUESTION)
    assert answer.text == ANSWER
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 20
    encoder = OpenAIEmbeddings(model="words", base_url=served.base_url, api_key=key, check_embedding_ctx_length=False)
    assert len(encoder.embed_query("heart")) == 128


def test_llm(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = f'- model_id: team\n  model_name: clinic\n  api_base: "{served.base_url}"\n'
    (tmp_path / "extra-openai-models.yaml").write_text(entry)
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")  # the package of our weights is one, and needs another runtime
    import llm

    model = llm.get_model("team")
    assert model.prompt(QUESTION, stream=False, key="none", temperature=0.2).text() == ANSWER
    talk = model.conversation()
    assert "".join(talk.prompt("What is the heart pulse?", key="none")) == "WHAT IS THE HEART PULSE?"
    assert talk.prompt("And the heart rate?", key="none").text() == "WHAT IS THE HEART RATE?"


async def test_pydantic_ai(served: Served) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.messages import ThinkingPart
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=served.base_url, api_key="none")
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        agent = Agent(kind("clinic", provider=provider), instructions="Be brief.")
        first = await agent.run("What is the heart pulse?")
        second = await agent.run("And the heart rate?", message_history=first.all_messages())
        assert (first.output, second.output) == ("WHAT IS THE HEART PULSE?", "WHAT IS THE HEART RATE?")
        parts = first.all_messages()[-1].parts
        assert any(isinstance(part, ThinkingPart) and "→ heart" in part.content for part in parts)
        async with agent.run_stream(QUESTION) as stream:
            assert await stream.get_output() == ANSWER
