"""An encoder behind an OpenAI-compatible `/v1/embeddings` endpoint."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from compllm.errors import RoutingError
from compllm.router.base import Vectors

if TYPE_CHECKING:
    from openai import OpenAI

_BATCH = 32  # the most that text-embeddings-inference takes unless told otherwise


class EndpointEncoder:
    """Asks a server for vectors and checks and normalises what comes back; `name` is the name of the model.

    `timeout_s` bounds one request; requests that may succeed on a second try are repeated `retries` times.
    """

    def __init__(
        self, base_url: str, model: str, *, api_key: str | None = None, timeout_s: float = 30.0, retries: int = 2
    ) -> None:
        from openai import OpenAI

        self.name = model
        self._base_url = base_url
        self._api_key = api_key
        # The client insists on a key; local servers ignore it.
        self._client: OpenAI = OpenAI(
            base_url=base_url, api_key=api_key or "none", timeout=timeout_s, max_retries=retries
        )
        # None as an argument would mean what OPENAI_ORG_ID and OPENAI_PROJECT_ID hold.
        self._client.organization = self._client.project = None
        weakref.finalize(self, self._client.close)  # many share an encoder, and none of them knows who is the last

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return L2-normalised float32 vectors of shape `(len(texts), d)`; `(0, 0)` for no texts.

        Raises:
            RoutingError: the endpoint is out of reach, refuses, or answers with something else than vectors.
        """
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        batches = [self._embed(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        if len({batch.shape[1] for batch in batches}) > 1:
            raise self._refused("vectors of different lengths")
        return np.concatenate(batches)

    def close(self) -> None:
        """Close the connections, as happens by itself when nobody has the encoder any more."""
        self._client.close()

    def _embed(self, texts: Sequence[str]) -> Vectors:
        import openai
        from openai.types import CreateEmbeddingResponse

        # Lone surrogates cannot be sent as JSON, and servers refuse an empty input.
        inputs = [text.encode("utf-8", "replace").decode("utf-8") or " " for text in texts]
        try:
            reply = self._client.embeddings.create(model=self.name, input=inputs, encoding_format="float")
        except openai.APITimeoutError as error:
            raise RoutingError(f"{self._where()} did not answer in time") from error
        except openai.APIConnectionError as error:
            raise RoutingError(f"{self._where()} cannot be reached: {error.__cause__ or error}") from error
        except openai.AuthenticationError as error:
            raise RoutingError(f"{self._where()} refuses the API key (HTTP 401)") from error
        except openai.APIStatusError as error:
            said = error.message.replace(self._api_key, "[redacted]") if self._api_key else error.message
            raise RoutingError(f"{self._where()} answered HTTP {error.status_code}: {said[:200]}") from None
        except (openai.OpenAIError, ValueError) as error:
            raise self._refused("no JSON that could be read") from error
        if not isinstance(reply, CreateEmbeddingResponse):
            raise self._refused("no JSON; is the base URL right, with /v1 at its end?")
        return self._unit_vectors(reply, len(texts))

    def _unit_vectors(self, reply: object, expected: int) -> Vectors:
        """Return the vectors of a reply in the order of the texts, or refuse them."""
        try:
            vectors = np.array(list(_rows(reply)), dtype=np.float64)
        except (AttributeError, TypeError, ValueError) as error:
            raise self._refused("no list of vectors of one length") from error
        if vectors.ndim != 2 or len(vectors) != expected or not vectors.size:
            raise self._refused(f"an array of shape {vectors.shape} for {expected} texts")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            raise self._refused("vectors with numbers that are not finite")
        if not norms.all():
            raise self._refused("a vector of zeros, which points nowhere")
        return np.asarray(vectors / norms, dtype=np.float32)

    def _where(self) -> str:
        return f"the encoder {self.name} at {self._base_url}"

    def _refused(self, what: str) -> RoutingError:
        return RoutingError(f"{self._where()} answered with {what}")


def _rows(reply: object) -> Iterator[list[float]]:
    """Yield the vectors by their index: a reply need not keep the order of the texts."""
    data = reply.data  # type: ignore[attr-defined]  # the client does not check replies against their type
    if sorted(item.index for item in data) != list(range(len(data))):
        raise ValueError("the indices are not 0, 1, 2, ...")
    for item in sorted(data, key=lambda item: item.index):
        yield item.embedding
