"""`/v1/embeddings`: the encoder that the router compares questions and experts with."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from compllm.router.base import Vectors
from compllm.serve.cutting import count_tokens
from compllm.serve.entry import ERRORS, ServiceOf, admitted
from compllm.serve.errors import refused, unknown_model
from compllm.serve.schemas import Body, EndUser

router = APIRouter(prefix="/v1", tags=["OpenAI"], responses=ERRORS, dependencies=[Depends(admitted)])

Text = Annotated[str, Field(min_length=1, max_length=100_000)]


class EmbeddingBody(Body):
    """The body of a request for embeddings."""

    model: str = Field(description="The encoder, or the team that it routes for, by name.")
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=2_048, fail_fast=True)] = Field(
        description="Text or texts; tokens of another model's tokenizer mean nothing here."
    )
    encoding_format: Literal["float", "base64"] | None = Field(None, description="Numbers, or float32 in base64.")
    dimensions: int | None = Field(None, ge=1, description="Only as many as the encoder has.")
    user: EndUser | None = Field(None, description="Without effect.")


class Embedding(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """What was read; a token is counted as a mark or up to six letters."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


@router.post("/embeddings")
async def embed(body: EmbeddingBody, service: ServiceOf) -> EmbeddingList:
    """Return L2-normalised vectors of texts."""
    encoder = service.team.router.encoder
    if body.model not in (encoder.name, service.team.file.config.name):
        raise unknown_model(body.model, [encoder.name, service.team.file.config.name])
    texts = [body.input] if isinstance(body.input, str) else body.input
    vectors = await anyio.to_thread.run_sync(encoder.encode, texts, limiter=service.encoding)
    if body.dimensions not in (None, vectors.shape[1]):
        raise refused("dimensions", f"the encoder {encoder.name} has {vectors.shape[1]} dimensions")
    as_text = body.encoding_format == "base64"
    count = sum(map(count_tokens, texts))
    return EmbeddingList(
        data=[Embedding(index=i, embedding=_packed(v) if as_text else v.tolist()) for i, v in enumerate(vectors)],
        model=encoder.name,
        usage=EmbeddingUsage(prompt_tokens=count, total_tokens=count),
    )


def _packed(vector: Vectors) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
