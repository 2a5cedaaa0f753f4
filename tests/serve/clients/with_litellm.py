"""What litellm gets from a server; prints it as JSON."""

import json
import sys
from typing import Any

import litellm

library: Any = litellm
base_url, question = sys.argv[1:]
server = {"api_base": base_url, "api_key": "none", "messages": [{"role": "user", "content": question}]}
answer = library.completion(model="openai/clinic", temperature=0.2, **server)
chunks = library.completion(model="openai/clinic", stream=True, **server)
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
vectors = library.embedding(model="openai/words", input=["heart"], api_base=base_url, api_key="none")
try:
    library.completion(model="openai/gpt-4", **server)
    refusal = ""
except library.NotFoundError as error:
    refusal = str(error)
print(
    json.dumps(
        {
            "answers": [answer.choices[0].message.content, streamed],
            "reasoning": answer.choices[0].message.reasoning_content,
            "total_tokens": answer.usage.total_tokens,
            "dimensions": len(vectors.data[0]["embedding"]),
            "refusal": refusal,
        }
    )
)
