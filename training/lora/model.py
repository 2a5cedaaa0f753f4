"""A model of a GGUF file with LoRA adapters, its loss and its gradient on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from training.lora.rows import Decode, Encode, Example


def tokenizer(source: Path) -> tuple[Encode, Decode]:
    """Return both ways of a model's own tokenizer, read from its GGUF file."""
    loaded = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    return (
        lambda text: list(loaded(text, add_special_tokens=False)["input_ids"]),
        lambda tokens: str(loaded.decode(tokens, skip_special_tokens=True)),
    )


def base_model(source: Path) -> PreTrainedModel:
    """Return the model of a GGUF file, dequantized to float32."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32
    )
    return model


def multiplies_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 itself; where it does not, float32 is faster."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def halve_frozen(model: PeftModel) -> PeftModel:
    """Round the frozen matrices to bfloat16, in place, and return the model.

    The adapter, the norms, the embedding and so the residual stream stay float32.
    """
    for parameter in model.get_base_model().model.layers.parameters():
        if parameter.ndim == 2 and not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    return model


def new_adapter(source: Path, rank: int, seed: int) -> PeftModel:
    """Return the model with a fresh adapter on every linear layer, scaled by two (alpha = 2 rank)."""
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    adapted: PeftModel = get_peft_model(base_model(source), config)
    return adapted


def load_adapter(source: Path, checkpoint: Path, *, trainable: bool) -> PeftModel:
    """Return the model with the adapter of a checkpoint."""
    adapted: PeftModel = PeftModel.from_pretrained(base_model(source), str(checkpoint), is_trainable=trainable)
    return adapted


@dataclass(frozen=True, slots=True)
class Trainee:
    """An adapted model and the threads that compute its gradient, each on its own part of a batch.

    Threads over examples need one meeting a step, threads inside an operation one per operation: on a busy machine
    that is the difference between working and waiting. `half`: multiply in bfloat16.
    """

    model: PeftModel
    pool: Executor
    threads: int
    half: bool

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The adapter's parameters, in a fixed order."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def add_gradient(self, examples: Sequence[Example]) -> float:
        """Set each parameter's `grad` to the gradient of the mean loss per completion token; return that loss."""
        parameters, count = self.parameters, _completion_tokens(examples)

        def share(part: Sequence[Example]) -> tuple[float, tuple[Tensor, ...]]:
            loss = _summed_loss(self.model, part, half=self.half) / count
            return loss.item(), torch.autograd.grad(loss, parameters)

        losses, gradients = zip(*self.pool.map(share, self._parts(examples)), strict=True)
        for parameter, *shares in zip(parameters, *gradients, strict=True):
            parameter.grad = torch.stack(shares).sum(0)
        return float(sum(losses))

    def loss(self, batches: Sequence[Sequence[Example]]) -> float:
        """Return the mean loss per completion token over batches, without a gradient."""

        def share(part: Sequence[Example]) -> float:
            with torch.no_grad():
                return float(_summed_loss(self.model, part, half=self.half).item())

        total: float = sum(sum(self.pool.map(share, self._parts(batch))) for batch in batches)
        return total / sum(map(_completion_tokens, batches))

    def _parts(self, examples: Sequence[Example]) -> list[Sequence[Example]]:
        return [part for start in range(self.threads) if (part := examples[start :: self.threads])]


def _completion_tokens(examples: Sequence[Example]) -> int:
    return sum(len(example.tokens) - example.prompt_tokens for example in examples)


def _summed_loss(model: PeftModel, examples: Sequence[Example], *, half: bool) -> Tensor:
    """Return the summed loss over completion tokens.

    Padding stands at the right, where causal attention never sees it, so there is no mask; logits over the whole
    vocabulary are computed only for the tokens that bear loss.
    """
    tokens = pad_sequence([torch.tensor(example.tokens) for example in examples], batch_first=True)
    places = torch.arange(tokens.shape[1])
    begins = torch.tensor([[example.prompt_tokens] for example in examples])
    ends = torch.tensor([[len(example.tokens)] for example in examples])
    learned = ((places >= begins) & (places < ends))[:, 1:]
    causal = model.get_base_model()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):  # per thread, hence here
        hidden = causal.model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1]
        logits = causal.lm_head(hidden[learned])
    return cross_entropy(logits.float(), tokens[:, 1:][learned], reduction="sum")
