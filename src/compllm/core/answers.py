"""What experts hand back: passages they read and the sub-answers they gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that an expert read; `score` is the fused retrieval score, higher is better."""

    source: str
    title: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class SubAnswer:
    """One node's answer, who gave it, what it read and what it cost.

    `ttft_s` counts from the request to the first token, `elapsed_s` to the last. `is_cut` says that the model was
    stopped before it was done: by the most tokens that it may write, or by a filter of its server.
    """

    text: str
    expert: str
    model: str
    passages: tuple[Passage, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ttft_s: float = 0.0
    elapsed_s: float = 0.0
    is_cut: bool = False

    @property
    def caveat(self) -> str:
        """What has to be said wherever the text is shown, and how to mend it; nothing of a whole answer."""
        if not self.is_cut:
            return ""
        return f"cut off before its end, as a rule at `max_tokens`: raise it for the expert {self.expert}"
