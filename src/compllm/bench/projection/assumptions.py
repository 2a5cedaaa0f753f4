"""What the projection takes to be true of GPUs, models, plans and answers: data, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

BYTES_PER_PARAMETER: Final = 2
_GB: Final = 10**9


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its data sheet has it: memory, its bandwidth, dense fp16 FLOP/s, and PCIe in one direction."""

    name: str
    memory_bytes: int
    bytes_per_s: float
    flop_per_s: float
    pcie_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Llm:
    """A Llama-2-class model: parameters, layers, and the width of its keys (heads that keep any, times 128)."""

    name: str
    parameters: int
    layers: int
    key_width: int

    @property
    def weights_bytes(self) -> int:
        """The weights in fp16."""
        return self.parameters * BYTES_PER_PARAMETER

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in all layers, in fp16."""
        return 2 * self.layers * self.key_width * BYTES_PER_PARAMETER


GPUS: Final[Mapping[str, Gpu]] = MappingProxyType(
    {
        "h100": Gpu("H100 SXM 80 GB", 80 * _GB, 3.35e12, 989e12, 64e9),
        "a100": Gpu("A100 SXM 80 GB", 80 * _GB, 2.039e12, 312e12, 32e9),
    }
)
LLAMA_7B: Final = Llm("Llama-2 7B", 6_738_000_000, 32, 4096)
LLAMA_13B: Final = Llm("Llama-2 13B", 13_016_000_000, 40, 5120)
LLAMA_34B: Final = Llm("Llama-2 34B", 33_744_000_000, 48, 1024)
LLAMA_70B: Final = Llm("Llama-2 70B", 68_977_000_000, 80, 1024)
# Who plans, joins and answers what is nobody's field stays in memory; the experts are 7B to 13B, as in the paper.
GENERAL: Final = LLAMA_7B
EXPERTS: Final[Mapping[str, Llm]] = MappingProxyType(
    {"law": LLAMA_7B, "tax": LLAMA_7B, "history": LLAMA_7B, "medicine": LLAMA_13B, "physics": LLAMA_13B}
)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Everything that the projected seconds and bytes follow from.

    Shares are of the data sheet: `decode_share` of the bandwidth, by one replica on one GPU, `split_share` by one that
    is split over several, `shared_share` by several replicas together; `prefill_share` of the FLOP/s, `load_share` of
    PCIe. Tokens: `instruction_tokens` precede every request, a plan has `step_tokens` for each sub-query, a sub-answer
    `answer_tokens` (median; log-normal with `spread`). `slots` requests of `context_tokens` have room in each KV cache.
    """

    gpu: Gpu = GPUS["h100"]
    decode_share: float = 0.67
    split_share: float = 0.57
    shared_share: float = 0.85
    prefill_share: float = 0.6
    load_share: float = 0.5
    instruction_tokens: int = 256
    step_tokens: int = 24
    answer_tokens: float = 64.0
    spread: float = 0.5
    slots: int = 4
    context_tokens: int = 1024


SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "H100 SXM": "NVIDIA H100 data sheet: 80 GB, 3.35 TB/s, 989 TFLOP/s dense fp16, PCIe 5.0 x16, 64 GB/s each way",
        "A100 SXM": "NVIDIA A100 data sheet: 80 GB, 2.039 TB/s, 312 TFLOP/s dense fp16, PCIe 4.0 x16, 32 GB/s each way",
        "models": "Llama 2 (Touvron et al. 2023): parameters, layers, grouped keys of 34B and 70B; fp16, 2 bytes each",
        "decode, prefill": "fitted to LMDeploy's 'Benchmark on A100 (FP16)', one request, tokens/s after 128: "
        "7B 102, 13B 57, 70B on four GPUs 34; 2,048 tokens read in 0.139, 0.242 and 0.402 s; the same shares on H100",
        "replicas together": "ours: several replicas on one GPU reach 85 % of its bandwidth (copies reach about 90 %)",
        "loads": "ours: weights wait in host memory; half of PCIe's peak reaches the GPU",
        "plans and tokens": "ours: the paper's prompts and questions are not public",
    }
)
