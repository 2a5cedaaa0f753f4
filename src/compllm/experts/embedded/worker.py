"""The process that holds one model: llama.cpp's server behind a loopback port and a random key.

Started by path, with nothing but the standard library until llama.cpp is imported, so that it holds the model and
little else. One JSON line comes in: `parent_pid`, `model_path`, `context_tokens` (per slot), `slots`, `threads`,
`alone`, `adapters` (paths), `batch_tokens`, `need_bytes`, `api_key`. One goes out: `address` and `pid`, or `error` and
`message`. Neither the command line nor the environment, which other users or crash reports may show, holds the key.
End of input is the order to die.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import threading
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_LOG_ERRORS = 1
# How many tokens must repeat to be taken up, and how many that follow are guessed.
_SEEN_TOKENS, _GUESSED_TOKENS = 3, 8
# How often a thread looks whether the others are done before it sleeps, where they have the cores to themselves and
# where other workers want them; measured in docs/benchmarks.md, "Composition on the embedded model".
_SPINS_ALONE, _SPINS_SHARED = "300", "100"


def main() -> None:
    """Load the model, report, and serve until the parent ends this process or itself."""
    answers = _private_stdout()
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the parent changed its mind
    settings = json.loads(line)
    _die_with_parent(settings["parent_pid"])
    try:
        server = _server(settings)
    except Exception as error:  # noqa: BLE001 - the boundary of the process: every failure is reported to the parent
        short = not _obtainable(settings["need_bytes"])
        _report(answers, {"error": "memory" if short else type(error).__name__, "message": str(error)})
        os._exit(1)
    _report(answers, {"address": server.listening_address, "pid": os.getpid()})
    threading.Event().wait()


def _server(settings: dict[str, Any]) -> Any:
    """Return the running server; holds the interpreter's lock for the whole load."""
    # llama.cpp's threads meet at a barrier about a thousand times per token. Waiting there by spinning starves the very
    # threads that are waited for as soon as more of them run than there are cores; sleeping at once, for a wait of a
    # microsecond, makes a lone request several times slower. So: spin a little, then sleep.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS_ALONE if settings["alone"] else _SPINS_SHARED)
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model_path"]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context_tokens"] * settings["slots"]  # divided evenly between the slots,
    params.kv_unified = False  # so that a long request cannot take another's share
    # Between two batches the server notices that a client has left, and lets the other slots decode.
    params.n_batch = params.n_ubatch = settings["batch_tokens"]
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = settings["threads"]
    params.fit_params = False  # the sizes are our decision
    params.cache_ram_mib = 0  # or prompts seen before would take up to 8 GiB
    params.sleep_idle_seconds = -1  # who leaves memory is our decision
    params.lora_adapters = [_adapter(path) for path in settings["adapters"]]
    if settings["adapters"]:
        _speculate(params)
    params.warmup = True
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["api_key"]]
    params.ui = False
    params.endpoint_metrics = False
    params.endpoint_slots = True  # tells when the slot of a client that left is free again
    params.verbosity = _LOG_ERRORS
    return xllamacpp.Server(params)


def _speculate(params: Any) -> None:
    """Let a slot guess that its last tokens go on as they did earlier in its text, and check the guess in one batch.

    For models with adapters: plans, answers from passages and joined answers mostly copy. Where a base model writes
    freely, guesses are mostly wrong and take from a full batch what it gains. What is written stays the same (prompt
    lookup decoding, Saxena 2023).
    """
    import xllamacpp

    params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    params.speculative.ngram_simple.size_n = _SEEN_TOKENS
    params.speculative.ngram_simple.size_m = _GUESSED_TOKENS


def _adapter(path: str) -> Any:
    """Return an adapter that takes no part unless a request asks for it."""
    import xllamacpp

    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path, adapter.scale = path, 0.0
    return adapter


def _obtainable(size_bytes: int) -> bool:
    """Say whether the system would give that much memory: the error of a failed load does not tell why it failed."""
    try:
        mmap.mmap(-1, size_bytes).close()
    except OSError:
        return False
    return True


def _die_with_parent(parent_pid: int) -> None:
    """Leave no orphan: the kernel's signal works while a load holds the interpreter's lock, end of input elsewhere."""
    if sys.platform == "linux":
        import ctypes

        # Sent when the thread that started this process ends: the one of the event loop, without which nobody asks.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the signal was ordered
        os._exit(1)
    threading.Thread(target=_die_at_end_of_input, daemon=True).start()


def _die_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _private_stdout() -> IO[str]:
    """Return the way to the parent, and let whatever a library prints go to the log."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def _report(answers: IO[str], answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.close()


if __name__ == "__main__":
    main()
