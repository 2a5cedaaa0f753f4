"""What a system gave back for a question, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from compllm.core.answers import SubAnswer

# An expert that has every document.
EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class StepReply:
    """A question that was put to an expert on the way, and its answer; empty if there was none.

    `asked` are the experts that were asked, the one who answered last; `passages` are what that one read.
    """

    question: str
    expert: str
    answer: str
    is_last: bool
    passages: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @classmethod
    def of(cls, question: str, answer: SubAnswer, *, is_last: bool, asked: tuple[str, ...] = ()) -> StepReply:
        """Return the step of a sub-answer."""
        passages = tuple(passage.text for passage in answer.passages)
        return cls(question, answer.expert, answer.text, is_last, passages, asked)


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls of models and their tokens, planner and aggregator included; seconds that loads took meanwhile.

    `ttft_s` counts to the first piece of the answer, `latency_s` to the last; `peak_bytes` is the largest sum of the
    resident bytes of the processes below this one, which hold the models, pages that they share counted in each.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    load_s: float
    latency_s: float
    ttft_s: float
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, the steps that led to it and notes on what went wrong; `looked_up`: whether experts were asked."""

    text: str
    steps: tuple[StepReply, ...] = ()
    notes: tuple[str, ...] = ()
    ttft_s: float | None = None
    looked_up: bool = True

    @property
    def final_answers(self) -> list[str]:
        """The answers of the steps that no other step needed."""
        return [step.answer for step in self.steps if step.is_last]

    @property
    def passages(self) -> list[str]:
        """All that was read."""
        return [text for step in self.steps for text in step.passages]
