"""The document index: finds the passages of an expert's documents that bear on a question.

Words and meaning are searched together: SQLite's FTS5 ranks by BM25 (Robertson and Zaragoza, 2009), the encoder by
cosine, and the score of a passage is its cosine plus `WORD_WEIGHT` times its share of the best BM25 score. Measured
with all-MiniLM-L6-v2, the share of questions whose passage comes first / is among the first three:

    questions                                   cosine        BM25          rank fusion   this sum
    1,190 over 240 paragraphs (XQuAD)           .881 / .974   .944 / .986   .953 / .987   .955 / .992
    65 paraphrases over the starter documents   .908 / 1.00   .815 / .954   .923 / .969   .923 / 1.00

(Rank fusion: reciprocal, k = 60; Cormack et al., 2009.)
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from compllm.core.answers import Passage
from compllm.errors import ConfigError
from compllm.router.base import Encoder, Vectors

SCHEMA_VERSION = 2  # counts changes of what is kept of the same documents
MAX_FILE_BYTES = 20 * 2**20
MIN_WORDS = 60
MAX_WORDS = 180
WORD_WEIGHT = 0.3
RELEVANCE_FLOOR = 0.25

_CHARACTERS_PER_WORD = 8  # so that text without spaces is cut as well
_ENCODER_BATCH = 256
_MAX_WORD_MATCHES = 100
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")
_OWN_LINE = re.compile(r"\s*(?:[-*+>|]|\d+[.)])(?:\s|$)|\s*\|")  # list items, quotations and table rows
_SENTENCE = re.compile(r".+?(?:[.!?][\"')\]]*\s+|\n+|\Z)", re.DOTALL)
_WORD = re.compile(rf"\S{{1,{MAX_WORDS * _CHARACTERS_PER_WORD}}}\s*")
_TERM = re.compile(r"[^\W_]+")
_STOP_WORDS = frozenset(
    _TERM.findall(
        "a about after again all am an and any are as at be because been before being below between both but by can "
        "could did do does doing down during each few for from further had has have having he her here hers him his "
        "how i if in into is it its itself just many me more most much my no nor not of off on once only or other our "
        "out over own same she should so some such than that the their them then there these they this those through "
        "to too under until up very was we were what when where which while who whom whose why will with would you your"
    )
)
_SCHEMA = """
CREATE TABLE passages (id INTEGER PRIMARY KEY, source TEXT, title TEXT, heading TEXT, body TEXT, vector BLOB);
CREATE VIRTUAL TABLE words USING fts5(
    heading, body, content='passages', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2');
"""


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


@dataclass(frozen=True, slots=True)
class _Document:
    """A file as it was read; `source` is what its passages are shown to be from."""

    path: Path
    source: str
    data: bytes

    def excerpts(self) -> list[Excerpt]:
        return [replace(excerpt, source=self.source) for excerpt in excerpts(self.path, self.data)]


class DocumentIndex:
    """The indexed passages of one set of documents; safe to search from several threads."""

    def __init__(self, connection: sqlite3.Connection, vectors: Vectors, encoder: Encoder, floor: float) -> None:
        self._connection = connection
        self._lock = Lock()
        self._vectors = vectors
        self._encoder = encoder
        self._floor = floor

    @classmethod
    def open(
        cls, files: Sequence[Path], encoder: Encoder, cache_dir: Path, *, floor: float = RELEVANCE_FLOOR
    ) -> DocumentIndex:
        """Return the index of Markdown, plain-text and JSON-lines (`title`, `text`) files; blocking.

        It is built when `cache_dir` holds none for exactly these contents and this encoder, which costs one encoding
        per passage, and is read from there otherwise. Passages whose cosine to a question is below `floor` are never
        returned for it. The default suits all-MiniLM-L6-v2: the right passage passes it for 98.0 % of the XQuAD
        questions and for all 65 about the starter documents; some passage of another field's document for 10 %.

        Raises:
            ConfigError: no files, a document or the cache directory is not usable, or SQLite lacks FTS5.
            RoutingError: the encoder failed.
        """
        if not files:
            raise ConfigError("there are no documents to index: name files under `documents`")
        with closing(sqlite3.connect(":memory:")) as connection:
            require_fts5(connection)
        contents = [_Document(path, source, _read(path)) for path, source in zip(files, sources(files), strict=True)]
        cached = cache_dir / f"documents-{_key(contents, encoder.name)}.sqlite"
        opened = _load(cached)
        if opened is None:
            _build(cached, [excerpt for document in contents for excerpt in document.excerpts()], encoder)
            opened = _load(cached)
        if opened is None:
            raise ConfigError(f"the document index {cached} cannot be read back: name another cache directory")
        return cls(*opened, encoder, floor)

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, question: str, limit: int = 3) -> tuple[Passage, ...]:
        """Return at most `limit` passages, the best first and equals in the order of the documents; blocking.

        Linear in the number of passages.

        Raises:
            ConfigError: the encoder makes other vectors than those of the index.
            RoutingError: the encoder failed.
        """
        if limit < 1 or not _TERM.search(question):
            return ()
        cosines = self._cosines(question)
        with self._lock:
            scores = cosines + WORD_WEIGHT * self._word_scores(question)
            scores[cosines < self._floor] = -np.inf
            best = np.argsort(-scores, kind="stable")[:limit]
            return tuple(self._passage(int(row), float(scores[row])) for row in best if np.isfinite(scores[row]))

    def close(self) -> None:
        """Close the index file; the index cannot be searched any more."""
        with self._lock:
            self._connection.close()

    def _cosines(self, question: str) -> NDArray[np.float64]:
        vector = self._encoder.encode([question])[0]
        if vector.shape[0] != self._vectors.shape[1]:
            raise ConfigError(
                f"the encoder {self._encoder.name} now makes vectors of {vector.shape[0]} numbers, the documents were "
                f"indexed with {self._vectors.shape[1]}: give the encoder another name or clear the cache directory"
            )
        return np.asarray(self._vectors @ vector, dtype=np.float64)

    def _word_scores(self, question: str) -> NDArray[np.float64]:
        """Return for each passage its BM25 score as a share of the best passage's."""
        scores = np.zeros(len(self._vectors))
        found = self._connection.execute(
            "SELECT rowid, -rank FROM words WHERE words MATCH ? ORDER BY rank, rowid LIMIT ?",
            (match_expression(question), _MAX_WORD_MATCHES),
        ).fetchall()
        for row, score in found:
            scores[row] = score / found[0][1]
        return scores

    def _passage(self, row: int, score: float) -> Passage:
        source, title, body = self._connection.execute(
            "SELECT source, title, body FROM passages WHERE id = ?", (row,)
        ).fetchone()
        return Passage(source, title, body, score)


def match_expression(question: str) -> str:
    """Return an FTS5 expression that matches any content word of the question, whatever syntax the question holds.

    A question without one matches nothing: `""` is FTS5's empty phrase.
    """
    terms = dict.fromkeys(_TERM.findall(question.lower()))
    return " OR ".join(f'"{term}"' for term in terms if term not in _STOP_WORDS) or '""'


def require_fts5(connection: sqlite3.Connection) -> None:
    """Do nothing if full-text search works.

    Raises:
        ConfigError: this Python's SQLite was built without FTS5.
    """
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(body)")
    except sqlite3.DatabaseError as error:
        raise ConfigError(
            f"documents need SQLite with FTS5, which SQLite {sqlite3.sqlite_version} of this Python lacks: "
            "use a Python whose sqlite3 module has it, or remove `documents` from the experts"
        ) from error


# --- reading documents -----------------------------------------------------------------------------------------------


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


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ConfigError(f"the document {path} is not a file: name existing files under `documents`")
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise ConfigError(
                f"the document {path} has {size_bytes:,} bytes, more than the {MAX_FILE_BYTES:,} that one may have: "
                "split it into several files"
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the document {path} cannot be read: {error.strerror}") from error


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
        yield (_storable(title),), _storable(row["text"])


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
    fence = ""
    for line in text.splitlines():
        heading = None if fence else _HEADING.match(line)
        if heading and (title := re.sub(r"(?:^|\s)#+$", "", heading[2].strip()).strip()):
            yield len(heading[1]), title
            continue
        fence = _fence_after(line, fence)
        yield 0, line


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
    """Cut a paragraph of more than `MAX_WORDS` into parts of similar size, between sentences where that is possible."""
    size = _size(paragraph)
    target = size / math.ceil(size / MAX_WORDS)
    parts: list[str] = []
    units: list[str] = []
    filled = 0.0
    for unit in _units(paragraph):
        if units and (filled >= target or filled + _size(unit) > MAX_WORDS):
            parts.append("".join(units).strip())
            units, filled = [], 0.0
        units.append(unit)
        filled += _size(unit)
    return [*parts, "".join(units).strip()]


def _units(paragraph: str) -> Iterator[str]:
    """Yield sentences, or the words of a sentence that is too long by itself."""
    if _size(paragraph) <= MAX_WORDS:
        yield paragraph
        return
    for sentence in _SENTENCE.findall(paragraph):
        if _size(sentence) <= MAX_WORDS:
            yield sentence
        else:
            yield from _WORD.findall(sentence)


def _size(text: str) -> float:
    return max(len(text.split()), len(text) / _CHARACTERS_PER_WORD)


# --- the cached file -------------------------------------------------------------------------------------------------


def _key(contents: Iterable[_Document], encoder_name: str) -> str:
    digest = hashlib.sha256(repr((SCHEMA_VERSION, encoder_name)).encode())
    for document in contents:
        digest.update(repr((document.source, len(document.data))).encode())
        digest.update(document.data)
    return digest.hexdigest()[:32]


def _load(cached: Path) -> tuple[sqlite3.Connection, Vectors] | None:
    """Return the open file and its vectors, or None when there is no sound one."""
    if not cached.is_file():
        return None
    try:
        connection = sqlite3.connect(f"{cached.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    except sqlite3.DatabaseError:
        return None
    try:
        blobs = [blob for (blob,) in connection.execute("SELECT vector FROM passages ORDER BY id")]
        connection.execute("SELECT rowid FROM words LIMIT 1").fetchall()
        return connection, np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1).astype(np.float32)
    except (sqlite3.DatabaseError, ValueError):
        connection.close()
        return None


def _build(cached: Path, found: Sequence[Excerpt], encoder: Encoder) -> None:
    """Write the index beside its place and move it there, so that nobody ever reads half of one."""
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent, prefix="building-") as folder:
            part = Path(folder, cached.name)
            with closing(sqlite3.connect(part)) as connection:
                _fill(connection, found, encoder)
            part.replace(cached)
    except (OSError, sqlite3.DatabaseError) as error:
        raise ConfigError(f"the document index cannot be written to {cached.parent}: {error}") from error


def _fill(connection: sqlite3.Connection, found: Sequence[Excerpt], encoder: Encoder) -> None:
    connection.executescript(_SCHEMA)
    for start in range(0, len(found), _ENCODER_BATCH):
        batch = found[start : start + _ENCODER_BATCH]
        vectors = encoder.encode([f"{excerpt.heading}\n{excerpt.text}" for excerpt in batch]).astype("<f4")
        connection.executemany(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
            (
                (start + row, excerpt.source, excerpt.headings[-1], excerpt.heading, excerpt.text, vector.tobytes())
                for row, (excerpt, vector) in enumerate(zip(batch, vectors, strict=True))
            ),
        )
    connection.execute("INSERT INTO words(words) VALUES ('rebuild')")
    connection.commit()
