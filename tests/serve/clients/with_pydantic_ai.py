"""What pydantic-ai gets from a server, over both APIs of OpenAI; prints it as JSON."""

import asyncio
import json
import sys

from pydantic_ai import Agent
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

base_url, question = sys.argv[1:]


async def ask(model: OpenAIChatModel | OpenAIResponsesModel) -> tuple[str, list[str], list[str]]:
    agent = Agent(model, instructions="Be brief.")
    first = await agent.run("What is the heart pulse?")
    second = await agent.run("And the heart rate?", message_history=first.all_messages())
    thoughts = [part.content for part in first.all_messages()[-1].parts if isinstance(part, ThinkingPart)]
    async with agent.run_stream(question) as stream:
        return await stream.get_output(), [first.output, second.output], thoughts


async def ask_both() -> list[tuple[str, list[str], list[str]]]:
    provider = OpenAIProvider(base_url=base_url, api_key="none")
    return [await ask(kind("clinic", provider=provider)) for kind in (OpenAIChatModel, OpenAIResponsesModel)]


answers, talks, thoughts = zip(*asyncio.run(ask_both()), strict=True)
print(json.dumps({"answers": answers, "talks": talks, "thoughts": thoughts}))
