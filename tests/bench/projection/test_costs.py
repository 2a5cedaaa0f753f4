"""Seconds and bytes of models on GPUs, against figures that others have measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compllm.bench.projection.assumptions import (
    GPUS,
    LLAMA_7B,
    LLAMA_13B,
    LLAMA_34B,
    LLAMA_70B,
    SOURCES,
    Assumptions,
    Llm,
)
from compllm.bench.projection.costs import (
    answer_s,
    as_model,
    batching_curve,
    co_run,
    footprint_bytes,
    gpus_for,
    prefill_s,
)

A100 = Assumptions(gpu=GPUS["a100"])


@pytest.mark.parametrize(
    ("llm", "gpus", "tokens_per_s", "read_s"),
    [(LLAMA_7B, 1, 102.2, 0.139), (LLAMA_13B, 1, 56.6, 0.242), (LLAMA_70B, 4, 33.6, 0.402)],
)
def test_the_shares_fit_what_lmdeploy_measured_on_the_a100(
    llm: Llm, gpus: int, tokens_per_s: float, read_s: float
) -> None:
    assert 128 / answer_s(llm, 128, 128, A100, gpus) == pytest.approx(tokens_per_s, rel=0.1)
    assert prefill_s(llm, 2048, A100, gpus) == pytest.approx(read_s, rel=0.2)


def test_writing_is_bound_by_bandwidth_and_reading_by_arithmetic() -> None:
    faster = replace(A100, gpu=replace(A100.gpu, bytes_per_s=2 * A100.gpu.bytes_per_s))
    assert prefill_s(LLAMA_7B, 100, faster) == prefill_s(LLAMA_7B, 100, A100)
    written_s = [answer_s(LLAMA_7B, 0, 100, given) for given in (A100, faster)]
    assert written_s[0] == pytest.approx(2 * written_s[1])


def test_requests_together_share_the_weights_but_not_all_of_the_time() -> None:
    curve = batching_curve(LLAMA_13B, A100)
    assert curve[0] == 1
    assert list(curve) == sorted(curve)
    assert 3 < curve[3] < 4


def test_replicas_share_what_one_leaves_of_the_bandwidth() -> None:
    speeds = co_run(3, A100)
    assert speeds[0] == 1
    assert speeds[1] * 2 == pytest.approx(speeds[2] * 3)
    assert co_run(2, replace(A100, shared_share=A100.decode_share)) == (1, 0.5)


def test_the_largest_needs_two_gpus_and_the_others_one() -> None:
    assert [gpus_for(footprint_bytes(llm, A100), A100) for llm in (LLAMA_13B, LLAMA_34B, LLAMA_70B)] == [1, 1, 2]


def test_a_load_takes_as_long_as_its_weights_need_to_arrive() -> None:
    model = as_model("law", LLAMA_7B, ("gpu0",), A100)
    assert model.load_s == pytest.approx(13.476 / 16)
    assert model.footprint_bytes - LLAMA_7B.weights_bytes == 4 * 1024 * 2**19


def test_every_source_is_told() -> None:
    assert all(SOURCES.values())
    assert {"H100 SXM", "A100 SXM"} <= set(SOURCES)
