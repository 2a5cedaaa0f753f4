"""Seconds and bytes of a model on a GPU, from the assumptions. Pure functions.

Writing is bound by memory: every token reads all weights and the keys and values of its context once. Reading is bound
by arithmetic: two operations for each parameter and token (Pope et al. 2023, "Efficiently scaling transformer
inference", sections 2 and 3).
"""

from __future__ import annotations

import math

from compllm.bench.projection.assumptions import Assumptions, Llm
from compllm.core.ledger import Model


def prefill_s(llm: Llm, prompt_tokens: float, given: Assumptions, gpus: int = 1) -> float:
    """Return the seconds for reading a prompt."""
    return 2 * llm.parameters * prompt_tokens / (given.gpu.flop_per_s * given.prefill_share * gpus)


def token_s(llm: Llm, context_tokens: float, given: Assumptions, gpus: int = 1, requests: int = 1) -> float:
    """Return the seconds for one more token of each of so many requests with contexts of that length."""
    share = given.decode_share if gpus == 1 else given.split_share
    read_bytes = llm.weights_bytes + requests * context_tokens * llm.kv_bytes_per_token
    return read_bytes / (given.gpu.bytes_per_s * share * gpus)


def answer_s(llm: Llm, prompt_tokens: float, answer_tokens: float, given: Assumptions, gpus: int = 1) -> float:
    """Return the seconds of a request that is alone on its replica and its GPUs."""
    context_tokens = prompt_tokens + answer_tokens / 2
    return prefill_s(llm, prompt_tokens, given, gpus) + answer_tokens * token_s(llm, context_tokens, given, gpus)


def batching_curve(llm: Llm, given: Assumptions) -> tuple[float, ...]:
    """Return what 1, 2, ... requests at a time get done relative to one: what is shared are the weights."""
    prompt_tokens, answer_tokens = given.instruction_tokens, given.answer_tokens
    context_tokens = prompt_tokens + answer_tokens / 2
    alone_s = answer_s(llm, prompt_tokens, answer_tokens, given)

    def together_s(requests: int) -> float:
        writing_s = answer_tokens * token_s(llm, context_tokens, given, requests=requests)
        return requests * prefill_s(llm, prompt_tokens, given) + writing_s

    return tuple(requests * alone_s / together_s(requests) for requests in range(1, given.slots + 1))


def co_run(replicas: int, given: Assumptions) -> tuple[float, ...]:
    """Return the speed that each of 1, 2, ... replicas keeps while they share the bandwidth of one GPU."""
    room = max(1.0, given.shared_share / given.decode_share)
    return tuple(min(1.0, room / count) for count in range(1, replicas + 1))


def footprint_bytes(llm: Llm, given: Assumptions) -> int:
    """Return what a replica holds: weights, and the KV cache of all its slots."""
    return llm.weights_bytes + given.slots * given.context_tokens * llm.kv_bytes_per_token


def gpus_for(held_bytes: int, given: Assumptions) -> int:
    """Return how many GPUs hold so many bytes."""
    return math.ceil(held_bytes / given.gpu.memory_bytes)


def as_model(name: str, llm: Llm, devices: tuple[str, ...], given: Assumptions, *, pinned: bool = False) -> Model:
    """Return the model as the scheduler knows it."""
    return Model(
        name,
        footprint_bytes(llm, given),
        slots=given.slots,
        devices=devices,
        pinned=pinned,
        load_s=llm.weights_bytes / (given.gpu.pcie_bytes_per_s * given.load_share),
        curve=batching_curve(llm, given),
    )
