"""Plain-text lines of a given width out of any text, foreign scripts and hostile control characters included."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

# Marks that make a terminal show characters in another order than they are stored.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKS = frozenset("\n\r\u2028\u2029\x85")
_JOINERS = frozenset("\u200b\u200c\u200d\u2060\ufeff")


def clean(text: str) -> str:
    """Return the text with every character that could steer a terminal replaced by a visible one."""
    return "".join(map(_visible, text.replace("\r\n", "\n")))


def cells(text: str) -> int:
    """Return how many terminal cells the text takes at most."""
    return sum(map(_cells, text))


def clip(text: str, width: int) -> str:
    """Return the text in one line of at most `width` cells, cut with an ellipsis."""
    line = " ".join(clean(text).split())
    if cells(line) <= width:
        return line
    head = next(_chop(line, width - 1))
    return (head if cells(head) < width else "") + "…"


def pad(text: str, width: int) -> str:
    """Return the text in one line of exactly `width` cells."""
    line = clip(text, width)
    return line + " " * (width - cells(line))


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Return the text in lines of at most `width` cells that begin with `first`, later ones with `rest` (or blanks).

    Line breaks and the indentation of the text are kept, words longer than a line are cut.
    """
    rest = " " * cells(first) if rest is None else rest
    room = max(8, width - max(cells(first), cells(rest)))
    lines = [line for paragraph in clean(text).strip("\n").split("\n") for line in _wrapped(paragraph, room)]
    return [(rest + line if index else first + line).rstrip() for index, line in enumerate(lines)]


def _wrapped(paragraph: str, width: int) -> Iterator[str]:
    words = paragraph.split()
    indent = " " * min(len(paragraph) - len(paragraph.lstrip()), width // 2)
    line, used = indent, cells(indent)
    for word in words:
        for piece in _chop(word, width - len(indent)):
            size = cells(piece)
            gap = 1 if line.strip() else 0
            if line.strip() and used + gap + size > width:
                yield line
                line, used, gap = indent, len(indent), 0
            line, used = line + " " * gap + piece, used + gap + size
    yield line


def _chop(text: str, width: int) -> Iterator[str]:
    """Cut the text into pieces of at most `width` cells."""
    start = used = 0
    for index, character in enumerate(text):
        size = _cells(character)
        if used + size > width and index > start:
            yield text[start:index]
            start, used = index, 0
        used += size
    yield text[start:]


def _visible(character: str) -> str:
    if character in _BREAKS:
        return "\n"
    if character == "\t":
        return "    "
    if character in _REORDERING:
        return "\ufffd"
    match unicodedata.category(character):
        case "Cc" if character < " ":
            return chr(0x2400 + ord(character))  # the picture of the control character, such as ␛
        case "Cc" | "Cs":
            return "\ufffd"
    return character


def _cells(character: str) -> int:
    if character < "\x7f":
        return 1
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    # A variation selector may widen what stands before it.
    zero = character in _JOINERS or (unicodedata.category(character) in {"Mn", "Me"} and character != "\ufe0f")
    return 0 if zero else 1
