"""What langchain gets from a server; prints it as JSON."""

import asyncio
import json
import sys
from typing import Any

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

base_url, question = sys.argv[1:]
server: dict[str, Any] = {"model": "clinic", "base_url": base_url, "api_key": "none"}
chat = ChatOpenAI(temperature=0.2, **server)


async def streamed() -> str:
    return "".join([str(chunk.content) async for chunk in chat.astream(question)])


newer = ChatOpenAI(use_responses_api=True, **server).invoke(question)
encoder = OpenAIEmbeddings(check_embedding_ctx_length=False, **{**server, "model": "words"})
told = chat.invoke([("system", "Be brief."), ("human", question)])
print(
    json.dumps(
        {
            "answers": [told.content, asyncio.run(streamed()), newer.text],
            "total_tokens": newer.usage_metadata and newer.usage_metadata["total_tokens"],
            "dimensions": len(encoder.embed_query("heart")),
        }
    )
)
