"""What a request of very many mistakes costs: few of them are told, for everybody else waits meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from compllm.serve.embeddings import EmbeddingBody
from compllm.serve.schemas import Body, ChatBody
from compllm.serve.schemas_responses import ResponseBody
from compllm.serve.schemas_runs import RunBody

MANY = 5_000
LIST: list[Any] = [0] * MANY
OBJECT: dict[str, Any] = {f"field{number}": 0 for number in range(MANY)}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
RESPONSE: dict[str, Any] = {"model": "m", "input": "?"}
FLOODS: list[tuple[type[Body], dict[str, Any]]] = [
    (ChatBody, {**CHAT, **OBJECT}),
    (ChatBody, {**CHAT, "compllm": OBJECT}),
    (ChatBody, {**CHAT, "messages": LIST}),
    (ChatBody, {**CHAT, "messages": LIST[:1_000]}),
    (ChatBody, {**CHAT, "messages": [{"role": "user", "content": LIST}] * 50}),
    (ChatBody, {**CHAT, "messages": [{"role": "user", "content": [{"type": "image_url"}] * MANY}]}),
    *((ChatBody, {**CHAT, name: LIST}) for name in ("stop", "tools", "functions", "modalities")),
    *((ChatBody, {**CHAT, name: OBJECT}) for name in ("metadata", "logit_bias", "response_format")),
    (ResponseBody, {**RESPONSE, **OBJECT}),
    (ResponseBody, {**RESPONSE, "input": LIST[:1_000]}),
    (ResponseBody, {**RESPONSE, "input": [{"role": "user", "content": LIST}] * 50}),
    *((ResponseBody, {**RESPONSE, name: LIST}) for name in ("tools", "include")),
    *((ResponseBody, {**RESPONSE, name: OBJECT}) for name in ("metadata", "text", "reasoning")),
    (EmbeddingBody, {"model": "m", "input": LIST[:2_000]}),
    (RunBody, {"question": "?", **OBJECT}),
]


@pytest.mark.parametrize(("body", "flood"), FLOODS)
def test_of_very_many_mistakes_few_are_told(body: type[Body], flood: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refusal:
        body.model_validate(flood)
    assert refusal.value.error_count() <= 20
