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
import os
import re
import sqlite3
import tempfile
import time
import unicodedata
import weakref
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from compllm.core.answers import Passage
from compllm.errors import ConfigError
from compllm.experts.excerpts import Excerpt, excerpts, sources
from compllm.router.base import Encoder, Vectors

SCHEMA_VERSION = 5  # counts changes of what is kept of the same documents
MAX_FILE_BYTES = 20 * 2**20
KEPT_S = 30 * 24 * 3600  # an index that nobody opens for so long is removed when another is built
WORD_WEIGHT = 0.3
RELEVANCE_FLOOR = 0.25

_ENCODER_BATCH = 256
_MAX_WORD_MATCHES = 100
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
class _Document:
    """A file as it was read; `source` is what its passages are shown to be from."""

    path: Path
    source: str
    data: bytes

    def excerpts(self) -> list[Excerpt]:
        return [replace(excerpt, source=self.source) for excerpt in excerpts(self.path, self.data)]


class DocumentIndex:
    """The indexed passages of one set of documents; safe to search from several threads.

    Its file is closed by `close`, or when nobody has the index any more.
    """

    def __init__(self, connection: sqlite3.Connection, vectors: Vectors, encoder: Encoder, floor: float) -> None:
        self._connection = connection
        self._lock = Lock()
        self._vectors = vectors
        self._encoder = encoder
        self._floor = floor
        weakref.finalize(self, connection.close)  # runs that outlive a reload keep theirs, and none knows who is last

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
        files = list(dict.fromkeys(files))  # the same passage twice would take the place of another
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
    composed = unicodedata.normalize("NFC", question.lower())  # an accent of its own would end the word
    terms = dict.fromkeys(_TERM.findall(composed))
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
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            connection.close()
            return None
        with suppress(OSError):  # a cache that cannot be written can be read
            os.utime(cached)
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
        _remove_unused(cached.parent)
    except (OSError, sqlite3.DatabaseError) as error:
        raise ConfigError(f"the document index cannot be written to {cached.parent}: {error}") from error


def _remove_unused(cache_dir: Path) -> None:
    """Remove the indexes of contents that are no more: every change of a document makes another file."""
    for path in cache_dir.glob("documents-*.sqlite"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT_S:
                path.unlink()


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
