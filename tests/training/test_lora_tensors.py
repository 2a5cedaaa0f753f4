import numpy as np
import pytest

from training.lora.tensors import (
    Heads,
    gguf_name,
    gguf_tensors,
    interleave_heads,
    peft_name,
    peft_tensors,
    weighted_mean,
)

PEFT = "base_model.model.model.layers.{}.{}.lora_{}.weight"


def test_names_are_llama_cpps() -> None:
    assert gguf_name(PEFT.format(12, "self_attn.o_proj", "A")) == "blk.12.attn_output.weight.lora_a"
    assert gguf_name(PEFT.format(0, "mlp.gate_proj", "B")) == "blk.0.ffn_gate.weight.lora_b"
    with pytest.raises(ValueError, match="lm_head"):
        gguf_name("base_model.model.lm_head.lora_A.weight")


def test_halves_of_a_head_are_interleaved_head_by_head() -> None:
    rows = np.arange(16, dtype=np.float32).reshape(8, 2)
    order = interleave_heads(rows, heads=2)[:, 0] // 2
    assert order.tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_only_the_output_side_of_query_and_key_is_reordered() -> None:
    matrix = np.arange(16, dtype=np.float32).reshape(8, 2)
    parts = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj")
    peft = [(PEFT.format(0, part, side), matrix) for part in parts for side in "AB"]
    tensors = dict(gguf_tensors(peft, Heads(query=2, key=1)))
    changed = {name for name, values in tensors.items() if not np.array_equal(values, matrix)}
    assert changed == {"blk.0.attn_q.weight.lora_b", "blk.0.attn_k.weight.lora_b"}
    assert tensors["blk.0.attn_k.weight.lora_b"][:, 0].tolist() == [0, 8, 2, 10, 4, 12, 6, 14]
    assert all(np.array_equal(values, matrix) for _, values in gguf_tensors(peft, None))
    assert list(tensors) == sorted(tensors)
    assert {values.dtype for values in tensors.values()} == {np.dtype(np.float16)}


def test_an_exported_adapter_comes_back_as_it_was() -> None:
    rng = np.random.default_rng(0)
    parts = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.down_proj")
    peft = {
        PEFT.format(7, part, side): rng.integers(-8, 8, (24, 2)).astype(np.float32) for part in parts for side in "AB"
    }
    for heads in (Heads(query=3, key=1), None):
        back = dict(peft_tensors(gguf_tensors(peft.items(), heads), heads))
        assert back.keys() == peft.keys()
        assert all(np.array_equal(back[name], matrix) for name, matrix in peft.items())
        assert {matrix.dtype for matrix in back.values()} == {np.dtype(np.float32)}


def test_a_tensor_of_no_linear_layer_does_not_come_back() -> None:
    assert peft_name("blk.3.ffn_up.weight.lora_a") == PEFT.format(3, "mlp.up_proj", "A")
    with pytest.raises(ValueError, match=r"output\.weight"):
        peft_name("output.weight.lora_a")


def test_the_mean_of_adapters_counts_each_with_its_share() -> None:
    first, second = ({"a": np.full((2, 3), value, np.float32)} for value in (1.0, 5.0))
    mean = weighted_mean([(0.75, first), (0.25, second)])
    assert mean["a"].dtype == np.float32
    assert np.array_equal(mean["a"], np.full((2, 3), 2.0))


def test_adapters_without_a_mean_are_refused() -> None:
    first, second = ({"a": np.zeros((rank, 3), np.float32)} for rank in (8, 16))
    with pytest.raises(ValueError, match="must add up to 1"):
        weighted_mean([(0.5, first), (0.4, first)])
    with pytest.raises(ValueError, match="different layers or ranks"):
        weighted_mean([(0.5, first), (0.5, second)])
