"""AutoGen itself against a server on the loopback; runs where `autogen-agentchat` is installed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from compllm.bench.evidence.metering import Meter
from compllm.bench.evidence.reply import Reply
from compllm.bench.evidence.systems.autogen import AutoGenSystem, _client
from compllm.bench.evidence.systems.base import Endpoint
from tests.bench.evidence.lab import ROW, bench_team
from tests.experts.misbehaving import Answer, failing, plain, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(find_spec("autogen_agentchat") is None, reason="autogen-agentchat is not installed"),
]


def saying(text: str) -> Answer:
    """Answer with a chat completion."""
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return plain(200, json.dumps({**head, "choices": [message], "usage": usage}).encode())


async def chat(folder: Path, *script: Answer) -> tuple[Reply, Meter]:
    """Put the clinic's question to a group chat whose models answer by the script: who speaks, what is said, ..."""
    with serving(*script) as server:
        async with bench_team(folder) as team:
            system = AutoGenSystem(team, _client(Endpoint(server.url, "m")), Meter())
            try:
                return await system.answer(ROW), system.meter
            finally:
                await system.client.close()


async def test_the_lead_has_the_last_word(tmp_path: Path) -> None:
    script = map(saying, ("heart", "It beats 70 times.", "lead", "70 and a hormone. DONE"))
    reply, meter = await chat(tmp_path, *script)
    assert (reply.text, reply.notes) == ("70 and a hormone.", ())
    assert [(step.expert, step.answer, step.is_last) for step in reply.steps] == [
        ("heart", "It beats 70 times.", False),
        ("lead", "70 and a hormone. DONE", True),
    ]
    assert (meter.calls, meter.prompt_tokens, meter.completion_tokens) == (4, 40, 8)


async def test_what_was_said_before_a_refusal_is_kept_with_the_reason(tmp_path: Path) -> None:
    refusing = failing(400, "Cannot have 2 or more assistant messages at the end of the list.")
    reply, _ = await chat(tmp_path, saying("heart"), saying("It beats 70 times."), saying("lead"), refusing)
    assert reply.text == "It beats 70 times."
    assert len(reply.notes) == 1
    assert reply.notes[0].startswith("the chat broke off: ")
    assert "2 or more assistant messages" in reply.notes[0]
