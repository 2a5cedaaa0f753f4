"""Checks an exported adapter: llama.cpp with it must write what the trained model writes, greedily, word for word.

    python -m training.verify checkpoints/planner planner.gguf heldout.jsonl

Needs the extras `embedded` and `train`. Exits with 1 when fewer of the answers agree than --least.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
from pathlib import Path
from typing import Any

from compllm.experts.embedded.weights import bundled_source, bundled_weights
from compllm.settings import load_settings
from training.lora.folders import chosen
from training.lora.rows import read_rows


def trained_answers(base: Path, checkpoint: Path, prompts: list[str], max_tokens: int) -> list[str]:
    """Return what transformers generates with the checkpoint's adapter, in float32."""
    import torch

    from training.lora.model import load_adapter, tokenizer

    model, (encode, decode) = load_adapter(base, checkpoint, trainable=False).eval(), tokenizer(base)
    answers = []
    for prompt in prompts:
        tokens = torch.tensor([encode(prompt)])
        written = model.generate(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=max_tokens
        )
        answers.append(decode(written[0, tokens.shape[1] :].tolist()))
    return answers


def exported_answers(weights: Path, adapter: Path, prompts: list[str], max_tokens: int) -> list[str]:
    """Return what llama.cpp generates with the weights and the exported adapter."""
    # Before llama.cpp comes: its threads shall not wait by spinning.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params, lora = xllamacpp.CommonParams(), xllamacpp.CommonAdapterLoraInfo()
    lora.path, lora.scale = str(adapter), 1.0
    params.model.path = str(weights)
    params.lora_adapters = [lora]
    params.n_ctx, params.n_parallel, params.fit_params = 2048, 1, False
    params.api_keys = [secrets.token_hex()]  # the server opens a port, which nobody else should use
    params.verbosity = 1
    server = xllamacpp.Server(params)

    def answer(prompt: str) -> str:
        wanted = {"prompt": prompt, "temperature": 0, "max_tokens": max_tokens, "stop": ["<|im_end|>"]}
        reply: dict[str, Any] = server.handle_completions(wanted)
        return str(reply["choices"][0]["text"])

    return [answer(prompt) for prompt in prompts]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint, or the folder whose newest is taken")
    parser.add_argument("adapter", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--base", type=Path, help="GGUF file of the model; default: the bundled one, in F16")
    parser.add_argument("--count", type=int, default=20, help="how many of the rows' prompts")
    parser.add_argument("--least", type=float, default=0.9, help="share of the answers that must agree exactly")
    parser.add_argument("--max-tokens", type=int, default=160)
    arguments = parser.parse_args()
    with arguments.rows.open(encoding="utf-8") as lines:
        prompts = [row.prompt for row in read_rows(lines)]
    prompts = random.Random(0).sample(prompts, min(arguments.count, len(prompts)))
    base = arguments.base or bundled_source()
    weights = arguments.base or bundled_weights(load_settings().cache_dir)
    trained = trained_answers(base, chosen(arguments.checkpoint), prompts, arguments.max_tokens)
    exported = exported_answers(weights, arguments.adapter, prompts, arguments.max_tokens)
    pairs = list(zip(trained, exported, strict=True))
    for ours, theirs in pairs:
        if ours != theirs:
            print(f"trained:  {ours!r}\nexported: {theirs!r}\n")
    agreed = sum(ours == theirs for ours, theirs in pairs)
    print(f"{agreed} of {len(pairs)} answers agree exactly")
    return 0 if agreed >= arguments.least * len(pairs) else 1


if __name__ == "__main__":
    sys.exit(main())
