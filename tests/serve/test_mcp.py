"""The team as an MCP server, asked by the official client: in memory, and over pipes as programs do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from compllm.errors import ExpertResponseError
from compllm.experts.fake import FakeExpert
from compllm.serve.mcp import make_mcp
from tests.cli.conftest import both, team_for
from tests.experts.misbehaving import good, serving
from tests.serve.conftest import MakeTeam

pytestmark = pytest.mark.anyio
PLAN = "1. [heart] What is pulse?\n2. [glands] Does #1 need insulin?"


async def call(client: Client, tool: str, **arguments: Any) -> Mapping[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def test_the_tools_say_what_they_take(make_team: MakeTeam) -> None:
    async with make_team() as team, Client(make_mcp(team)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(tools) == ["ask", "explain", "plan"]
    assert tools["ask"].input_schema["required"] == ["question"]
    assert set(tools["ask"].input_schema["properties"]) == {"question", "plan"}
    assert all(tool.description for tool in tools.values())


async def test_a_plan_that_was_shown_can_be_asked_and_explained(make_team: MakeTeam) -> None:
    news: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        news.append((progress, message))

    async with make_team() as team, Client(make_mcp(team)) as client:
        planned = await call(client, "plan", question="What is the heart pulse, and what is insulin of glands?")
        assert [step["expert"] for step in planned["steps"]] == ["heart", "glands"]
        result = await client.call_tool(
            "ask", {"question": "Both?", "plan": planned["plan"]}, progress_callback=on_progress
        )
        assert result.structured_content is not None
        answered = result.structured_content
        assert answered["answer"] == "WHAT IS THE HEART PULSE? [1]\nWHAT IS INSULIN OF GLANDS? [2]"
        assert answered["gaps"] == []
        told = await call(client, "explain", run=answered["run"])
        assert "WHAT IS INSULIN OF GLANDS?" in told["result"]
        assert "critical path" in told["result"].lower()
    assert [progress for progress, _ in news][-1] == 2
    assert ("heart is asked: What is the heart pulse?") in {message for _, message in news}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("ask", {"question": " "}, "the question is empty"),
        ("ask", {"question": "What?", "plan": "no plan"}, "plan line 1"),
        ("ask", {"question": "What is pulse?"}, "no answer: it is broken"),
        ("plan", {"question": ""}, "the question is empty"),
        ("explain", {"run": "nobody's"}, "has no run"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(
    make_team: MakeTeam, tool: str, arguments: dict[str, str], said: str
) -> None:
    broken = FakeExpert(failures={n: ExpertResponseError("it is broken") for n in range(1, 9)})
    async with make_team(one=broken, two=broken) as team, Client(make_mcp(team)) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    assert said in result.content[0].text


async def test_half_a_character_costs_no_answer(make_team: MakeTeam) -> None:
    news: list[str | None] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        news.append(message)

    half = FakeExpert(lambda _: "Half a smile: \ud83d")
    async with make_team(one=half) as team, Client(make_mcp(team)) as client:
        result = await client.call_tool("ask", {"question": "?", "plan": PLAN}, progress_callback=on_progress)
    assert result.structured_content is not None
    assert "Half a smile: ?" in result.structured_content["answer"]
    assert "glands is asked: Does Half a smile: ? need insulin?" in news


async def test_a_client_that_gives_up_cancels_its_run(make_team: MakeTeam) -> None:
    hanging = FakeExpert(hang=True)
    async with make_team(one=hanging) as team, Client(make_mcp(team)) as client:
        with anyio.move_on_after(0.3):
            await client.call_tool("ask", {"question": "What is pulse?"})
        with anyio.fail_after(5):
            while not team.journal.runs(1) or team.journal.runs(1)[0].status == "running":
                await anyio.lowlevel.checkpoint()
        assert team.journal.runs(1)[0].status == "cancelled"


async def test_programs_reach_it_over_pipes(tmp_path: Path) -> None:
    with serving(both([good("Paris", "!")])) as upstream:
        (tmp_path / "compllm.yaml").write_text(team_for(upstream.url))
        environment = {
            **os.environ,
            "TEST_KEY": "sk-0123456789",
            "COMPLLM_DATA_DIR": str(tmp_path / "data"),
            "COMPLLM_CACHE_DIR": str(tmp_path / "cache"),
        }
        command = ["-c", "from compllm.cli.main import app; app()", "mcp", "--team", str(tmp_path)]
        parameters = StdioServerParameters(command=sys.executable, args=command, env=environment)
        with anyio.fail_after(60):
            async with Client(parameters) as client:
                answered = await call(client, "ask", question="What is the capital of France?")
                assert answered["answer"] == "Paris!"
                assert json.dumps(answered).isascii()
