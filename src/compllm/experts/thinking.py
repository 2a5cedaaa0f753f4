"""What a model thinks before it answers: it is no part of the answer, but takes of the tokens that it may write."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"


class ThoughtFilter:
    """Passes on a text without the `<think>...</think>` at its beginning, however the text is cut into pieces.

    Most servers keep thoughts apart; the others leave them where the model writes them. Without an end they take the
    whole text. Tags further on are text.
    """

    def __init__(self) -> None:
        self._held = ""
        self._thinks = False
        self._answers = False

    def feed(self, piece: str) -> str:
        """Return what is known to be answer with this piece."""
        if self._answers:
            return piece
        self._held += piece
        if not self._thinks:
            begun = self._held.lstrip()
            if len(begun) < len(_OPEN) and _OPEN.startswith(begun):
                return ""
            if not begun.startswith(_OPEN):
                self._answers = True
                return self.end()
            self._thinks, self._held = True, begun.removeprefix(_OPEN)
        return self._after_thoughts()

    def end(self) -> str:
        """Return what was held back as the possible beginning of a thought."""
        held, self._held = self._held, ""
        return "" if self._thinks else held

    def _after_thoughts(self) -> str:
        _, closed, answer = self._held.partition(_CLOSE)
        if not closed:
            self._held = self._held[1 - len(_CLOSE) :]
            return ""
        answer = answer.lstrip()
        self._answers = bool(answer)
        self._held = "" if answer else _CLOSE  # blanks may follow it in the next piece too
        return answer


def spent(max_tokens: int) -> str:
    """Say of a model that was stopped after `max_tokens` why there is no answer, and how to get one."""
    return (
        f"spent its {max_tokens} tokens before it wrote an answer (thinking counts): "
        "raise `max_tokens` of the expert, or turn its thinking off"
    )
