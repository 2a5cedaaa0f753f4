"""Documents in pieces that a model reads at once: cut at headings, paragraphs and sentences; pure."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compllm.errors import ConfigError

MIN_WORDS = 60
MAX_WORDS = 180

_CHARACTERS_PER_WORD = 8  # so that text without spaces is cut as well
_HEADING_WORDS = 30  # it is indexed and read with every piece below it; what is longer is text
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_UNDERLINE = re.compile(r" {0,3}([=-])\1*[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")
_OWN_LINE = re.compile(r"\s*(?:[-*+>|]|\d+[.)])(?:\s|$)|\s*\|")  # list items, quotations and table rows
# A row of a table, the first one with the line below it, or a sentence.
_UNIT = re.compile(
    r"[ \t]*\|[^\n]*(?:\n[ \t]*\|[ \t:|-]+$)?(?:\n+|\Z)|.+?(?:[.!?][\"')\]]*\s+|\n+|\Z)", re.DOTALL | re.MULTILINE
)
_TABLE_HEAD = re.compile(r"^[ \t]*\|[^\n]*\n[ \t]*(?=\|[ \t:|]*-)\|[ \t:|-]+$", re.MULTILINE)
_WORD = re.compile(rf"\S{{1,{MAX_WORDS * _CHARACTERS_PER_WORD}}}\s*")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A piece of a document before it is indexed; `headings` leads from the document's first heading to its own."""

    source: str
    headings: tuple[str, ...]
    text: str

    @property
    def heading(self) -> str:
        """The whole path of headings in one line, as it is indexed."""
        return " > ".join(self.headings)


def sources(files: Sequence[Path]) -> list[str]:
    """Return the name of each file, after as many of its folders as tell it from the others of that name."""
    shared = Counter(end for path in dict.fromkeys(files) for end in _ends(path))
    return [next((end for end in _ends(path) if shared[end] == 1), _storable(path.name)) for path in files]


def _ends(path: Path) -> list[str]:
    return [_storable(Path(*path.parts[-count:]).as_posix()) for count in range(1, len(path.parts) + 1)]


def excerpts(path: Path, data: bytes) -> list[Excerpt]:
    """Cut a document at its headings and paragraphs into pieces of about 60 to 180 words; no text is lost.

    Raises:
        ConfigError: it is binary, not UTF-8, not JSON lines though named so, or holds no text.
    """
    text = _decode(path, data)
    stem = _storable(path.stem)
    if path.suffix.lower() == ".jsonl":
        sections = list(_rows(path, text))
    elif path.suffix.lower() in {".md", ".markdown"}:
        sections = list(_markdown_sections(stem, text))
    else:
        sections = [((stem,), text)]
    found = [Excerpt(_storable(path.name), headings, piece) for headings, body in sections for piece in _pieces(body)]
    if not found:
        raise ConfigError(f"the document {path} is empty: fill it, or remove it from `documents`")
    return found


def _decode(path: Path, data: bytes) -> str:
    if b"\0" in data:
        raise ConfigError(f"the document {path} is not text: save it as Markdown or plain text in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the document {path} is not UTF-8 (byte {error.start}): save it in UTF-8, or as Markdown if it is not text"
        ) from error


def _rows(path: Path, text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # not JSON, or nested without end
            raise ConfigError(f"{path}, line {number} is not JSON: {error}") from error
        title = row.get("title", path.stem) if isinstance(row, dict) else None
        if not isinstance(title, str) or not isinstance(row.get("text"), str):
            raise ConfigError(f'{path}, line {number}: expected an object {{"title": "...", "text": "..."}}')
        if _size(title) <= _HEADING_WORDS:
            yield (_storable(title),), _storable(row["text"])
        else:
            yield (_storable(path.stem),), _storable(f"{title}\n\n{row['text']}")


def _storable(text: str) -> str:
    """Replace lone surrogates, which JSON and file names can hold and SQLite cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _markdown_sections(stem: str, text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the headings above each section and its body.

    A heading with nothing below it but deeper headings lives on in their paths, any other empty one is its own body.
    """
    path: list[tuple[int, str]] = []
    body: list[str] = []
    for level, line in [*_lines(text), (1, "")]:
        if level == 0:
            body.append(line)
            continue
        if any(map(str.strip, body)):
            yield tuple(title for _, title in path) or (stem,), "\n".join(body)
        elif path and level <= path[-1][0]:
            yield tuple(title for _, title in path), path[-1][1]
        path = [*((depth, title) for depth, title in path if depth < level), (level, line)]
        body = []


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its heading level; 0 is a line of the body."""
    fence, underlined = "", False
    lines = text.splitlines()
    for above, line, below in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        if underlined:
            underlined = False
            continue
        level, title, underlined = (0, "", False) if fence else _heading(above, line, below)
        if title and _size(title) <= _HEADING_WORDS:
            yield level, title
        else:
            underlined = False
            fence = _fence_after(line, fence)
            yield 0, line


def _heading(above: str, line: str, below: str) -> tuple[int, str, bool]:
    """Return level and title of a heading, and whether the line below it is its underline; no title if it is none.

    As CommonMark 0.31, 4.2 and 4.3, but an underlined one has one line, with a blank one above it.
    """
    if marked := _HEADING.match(line):
        return len(marked[1]), re.sub(r"(?:^|\s)#+$", "", marked[2].strip()).strip(), False
    underline = _UNDERLINE.match(below)
    if not underline or above.strip() or line.startswith((" " * 4, "\t")):
        return 0, "", False
    if any(mark.match(line) for mark in (_OWN_LINE, _FENCE, _UNDERLINE)):
        return 0, "", False
    return (1 if underline[1] == "=" else 2), line.strip(), True


def _fence_after(line: str, fence: str) -> str:
    """Return the fence of the code that is open after a line, when `fence` is open before it; CommonMark 0.31, 4.5."""
    mark = _FENCE.match(line)
    if not fence or not mark:
        return mark[1] if mark else fence
    return "" if mark[1].startswith(fence) and not mark[2].strip() else fence


# --- cutting text ----------------------------------------------------------------------------------------------------


def _pieces(body: str) -> list[str]:
    """Join short paragraphs and split long ones."""
    pieces: list[str] = []
    for piece in (piece for paragraph in _paragraphs(body) for piece in _split(paragraph)):
        sizes = (_size(pieces[-1]), _size(piece)) if pieces else (MAX_WORDS, MAX_WORDS)
        if min(sizes) < MIN_WORDS and sum(sizes) <= MAX_WORDS:
            pieces[-1] += "\n\n" + piece
        else:
            pieces.append(piece)
    return pieces


def _paragraphs(body: str) -> Iterator[str]:
    """Yield what blank lines separate, wrapped lines joined, the lines of lists, tables and code kept apart."""
    parts: list[str] = []
    fence = ""
    for line in [*body.splitlines(), ""]:
        before, fence = fence, _fence_after(line, fence)
        if before or fence or _OWN_LINE.match(line):
            parts.append("\n" + line.rstrip())
        elif line.strip():
            parts.append(" " + line.strip())
        elif parts:
            yield "".join(parts).strip()
            parts = []
    if parts:
        yield "".join(parts).strip()


def _split(paragraph: str) -> list[str]:
    """Cut a paragraph of more than `MAX_WORDS` into parts of similar size, between sentences where that is possible.

    A table is cut between its rows, and what names its columns stands above each part.
    """
    size = _size(paragraph)
    if size <= MAX_WORDS:
        return [paragraph]
    head = _table_head(paragraph)
    room = MAX_WORDS - _size(head)
    target = size / math.ceil(size / room)
    parts: list[str] = []
    units: list[str] = []
    filled = 0.0
    for unit in _units(paragraph, room):
        if units and (filled >= target or filled + _size(unit) > room):
            parts.append("".join(units).strip())
            units, filled = [], 0.0
        units.append(unit)
        filled += _size(unit)
    return _headed([*parts, "".join(units).strip()], head)


def _table_head(paragraph: str) -> str:
    """Return the first two lines of the first table, or nothing if there is none or they are most of a part."""
    found = _TABLE_HEAD.search(paragraph)
    return found[0].strip() if found and _size(found[0]) <= MIN_WORDS else ""


def _headed(parts: list[str], head: str) -> list[str]:
    begins = next((number for number, part in enumerate(parts) if head and head in part), len(parts))
    return [f"{head}\n{part}" if n > begins and part.startswith("|") else part for n, part in enumerate(parts)]


def _units(paragraph: str, room: float) -> Iterator[str]:
    """Yield rows and sentences, or the words of one that has no room in a part."""
    for unit in _UNIT.findall(paragraph):
        if _size(unit) <= room:
            yield unit
        else:
            yield from _WORD.findall(unit)


def _size(text: str) -> float:
    return max(len(text.split()), len(text) / _CHARACTERS_PER_WORD)
