"""Characters that a model's server has cut in two: JSON may hold each half of one that UTF-16 writes as a pair."""

from __future__ import annotations


class CharacterJoiner:
    """Passes on a text with the halves of each character joined, however the text is cut; a half alone becomes U+FFFD.

    A text with half a character cannot be sent on, written to a file or shown.
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """Return what is whole with this piece."""
        text, self._half = self._half + piece, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole_characters(text)

    def end(self) -> str:
        """Return what stands for a half that was left."""
        return whole_characters(self._half)


def whole_characters(text: str) -> str:
    """Return a text with halves of characters joined where they meet, and replaced where one is alone."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
