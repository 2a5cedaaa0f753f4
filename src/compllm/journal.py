"""The record of every run, in one SQLite file that several processes may write at once."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

import psutil

from compllm.codec import JSON, decode, encode
from compllm.core.events import AnswerDelta, NodeDelta, Stamped
from compllm.errors import JournalError

RunStatus = Literal["running", "answered", "gaps", "failed", "cancelled", "interrupted"]

_VERSION: Final = 3
_APPLICATION_ID: Final = 0x434C4C4D  # "CLLM": tells a journal from the database of another program
_BUSY_S: Final = 10.0
_MAX_PENDING: Final = 10_000
# Shorter ones are words and dummies, which stand in many a text and protect nothing.
_SECRET_CHARACTERS: Final = 8
# What an event cannot be read or found without.
_NEVER_SECRET: Final = frozenset({"kind", "run", "part_of", "mode"})
_SCHEMA: Final = (
    """CREATE TABLE runs(
        id TEXT PRIMARY KEY,
        question TEXT NOT NULL,
        team TEXT NOT NULL,
        planner TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'answered', 'gaps', 'failed', 'cancelled')),
        started_at TEXT NOT NULL,
        elapsed_s REAL NOT NULL,
        answer TEXT,
        reason TEXT,
        pid INTEGER NOT NULL,
        pid_started_s REAL NOT NULL,
        user TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE events(
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        at_s REAL NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (run, seq))""",
    "CREATE INDEX runs_by_start ON runs(started_at)",
    "CREATE TABLE learned(name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
# What leads from each version to the next.
_MIGRATIONS: Final = {
    1: "CREATE TABLE learned(name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    2: "ALTER TABLE runs ADD COLUMN user TEXT NOT NULL DEFAULT ''",
}
_OPEN_RUN: Final = """
    INSERT INTO runs VALUES (
        :run, :question, :team, :planner, 'running', :started_at, 0, NULL, NULL, :pid, :pid_started_s, :user)
    ON CONFLICT (id) DO UPDATE SET question = excluded.question, team = excluded.team, planner = excluded.planner,
        user = excluded.user, status = 'running', answer = NULL, reason = NULL, pid = excluded.pid,
        pid_started_s = excluded.pid_started_s"""
_ADD_EVENT: Final = """
    INSERT INTO events SELECT :run, coalesce(max(seq) + 1, 0), :at_s, :kind, :payload FROM events WHERE run = :run"""
_TOUCH_RUN: Final = "UPDATE runs SET elapsed_s = max(elapsed_s, :at_s) WHERE id = :run"
_CLOSE_RUN: Final = {
    "run_completed": "UPDATE runs SET status = :status, answer = :answer, reason = NULL WHERE id = :run",
    "run_cancelled": "UPDATE runs SET status = 'cancelled', reason = :reason WHERE id = :run",
    # A run that ends because it was cancelled stays cancelled.
    "run_failed": "UPDATE runs SET status = 'failed', reason = :reason WHERE id = :run AND status <> 'cancelled'",
}
_SELECT_RUNS: Final = """
    SELECT id, question, team, planner, status, started_at, elapsed_s, answer, reason, user, pid, pid_started_s
    FROM runs"""

_T = TypeVar("_T")
_Row = dict[str, Any]
# What the list of runs keeps of an event's fields.
_COLUMNS: Final = ("question", "team", "planner", "user", "answer", "reason")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in the list of runs.

    `started_at` is ISO 8601 in UTC. `elapsed_s` is the time of the last recorded event. `status` is "interrupted" when
    the run has no end and the operating-system process that worked on it is gone. `reason` says why a run failed or was
    cancelled. `user` is who asked, empty when nobody said.
    """

    id: str
    question: str
    team: str
    planner: str
    status: RunStatus
    started_at: str
    elapsed_s: float
    answer: str | None
    reason: str | None
    user: str = ""


class Journal:
    """Keeps runs and their events in the file `path`, which is created, private to its owner, when it is missing.

    Safe to use from threads and from several operating-system processes at once. `record` only queues; a thread of the
    journal writes. What was recorded is on disk when `flush` or `close` has returned. If writing fails, the events stay
    queued and the next `record`, `flush` or `close` tries again. Each of `secrets` is stored as "[redacted]", wherever
    it appears in a text; see `hide`.

    Raises:
        JournalError: the file cannot be created or opened, belongs to something else, or is newer than this version.
    """

    def __init__(self, path: Path, *, secrets: Collection[str] = ()) -> None:
        self.path = path
        self._secrets: list[str] = []
        self.hide(secrets)
        self._changed = threading.Condition()
        self._pending: list[_Row] = []
        self._recorded = 0
        self._committed = 0
        self._failure: Exception | None = None
        self._closed = False
        self._writer: threading.Thread | None = None
        try:
            _create_private(path)
        except OSError as error:
            raise JournalError(f"journal {path}: {error}; COMPLLM_DATA_DIR may name a folder to keep it in") from error
        with self._reporting():
            self._connection = self._connect()
            try:
                _retrying(partial(_migrate, self._connection, path))
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hide(self, secrets: Collection[str]) -> None:
        """Store these as "[redacted]" too, from now on; those of fewer than 8 characters are not hidden."""
        hidden = {secret for secret in secrets if len(secret) >= _SECRET_CHARACTERS}
        # The longest first: a secret that contains another one must not leave its rest behind.
        self._secrets = sorted({*self._secrets, *hidden}, key=len, reverse=True)

    def record(self, run: str, stamped: Stamped) -> None:
        """Queue an event for the record of `run`; never waits for the disk. Deltas are dropped: the full texts follow.

        Raises:
            JournalError: the journal is closed, or 10,000 events wait because the file cannot be written.
        """
        if isinstance(stamped.event, NodeDelta | AnswerDelta):
            return
        row = self._row(run, stamped)
        with self._changed:
            if self._closed:
                raise JournalError(f"journal {self.path} is closed")
            if len(self._pending) >= _MAX_PENDING:
                raise JournalError(f"journal {self.path} cannot keep up: {self._failure or 'too many events wait'}")
            self._pending.append(row)
            self._recorded += 1
            self._wake_writer()

    def flush(self) -> None:
        """Return when everything recorded so far is committed; blocks, so call it from a thread in async code.

        Raises:
            JournalError: it cannot be written; it stays queued.
        """
        with self._changed:
            if not self._closed:
                self._wake_writer()
            self._wait_for_commit()

    def close(self) -> None:
        """Write what is queued and stop; does nothing the second time.

        Raises:
            JournalError: events could not be written and are lost.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._wake_writer()
        if self._writer is not None:
            self._writer.join()
        self._connection.close()
        with self._changed:
            self._wait_for_commit()

    def runs(self, limit: int = 20, search: str | None = None, user: str | None = None) -> list[RunRow]:
        """Return the latest runs first, of one user, and those that it asks for (`user/...`), if one is named.

        `search` keeps those whose question or answer holds it, in any letter case.

        Raises:
            JournalError: the file cannot be read.
        """
        where = """ WHERE (:user IS NULL OR user = :user OR substr(user, 1, length(:user) + 1) = :user || '/')
            AND (:part IS NULL OR holds(question, :part) OR holds(answer, :part))"""
        query = f"{_SELECT_RUNS}{where} ORDER BY started_at DESC, rowid DESC LIMIT :limit"
        values = {"part": search.casefold() if search else None, "limit": limit, "user": user}
        return [_run_row(*row) for row in self._read(query, values)]

    def run(self, run_id: str) -> RunRow:
        """Return the run whose id is `run_id` or, if only one does, starts with it.

        Raises:
            JournalError: no run does, several do, or the file cannot be read.
        """
        query = f"{_SELECT_RUNS} WHERE substr(id, 1, length(:run)) = :run ORDER BY id <> :run, started_at DESC LIMIT 4"
        found = [_run_row(*row) for row in self._read(query, {"run": run_id})] if run_id else []
        if not found:
            raise JournalError(f"journal {self.path} has no run {run_id!r}")
        if len(found) > 1 and found[0].id != run_id:
            names = ", ".join(row.id for row in found[:3]) + (", ..." if len(found) > 3 else "")
            raise JournalError(f"run {run_id!r} is ambiguous: {names}")
        return found[0]

    def events(self, run_id: str) -> list[Stamped]:
        """Return the recorded events of a run in order; `run_id` may be a unique prefix.

        Raises:
            JournalError: the run is unknown or ambiguous, the file cannot be read, or it holds what is not an event.
        """
        rows = self._read("SELECT payload FROM events WHERE run = :run ORDER BY seq", {"run": self.run(run_id).id})
        try:
            return [decode(json.loads(payload)) for (payload,) in rows]
        except (JournalError, json.JSONDecodeError) as error:
            raise JournalError(f"journal {self.path}, run {run_id!r}: {error}") from error

    def remember(self, name: str, value: JSON) -> None:
        """Keep a value, in place of the one that had the name; blocks until it is on disk.

        Raises:
            JournalError: it cannot be written.
        """
        row = (name, json.dumps(value, allow_nan=False))
        with self._reporting(), closing(self._connect()) as connection:
            _retrying(lambda: connection.execute("INSERT OR REPLACE INTO learned VALUES (?, ?)", row))

    def recall(self, name: str) -> JSON:
        """Return the value that was kept under a name, or None.

        Raises:
            JournalError: the file cannot be read.
        """
        found = self._read("SELECT value FROM learned WHERE name = :name", {"name": name})
        value: JSON = json.loads(found[0][0]) if found else None
        return value

    def _row(self, run: str, stamped: Stamped) -> _Row:
        body = self._redacted(encode(stamped))
        started_at = datetime.now(UTC) - timedelta(seconds=stamped.at_s)
        return {
            "question": "",
            "team": "",
            "planner": "",
            "user": "",
            **{name: body[name] for name in _COLUMNS if name in body},
            "run": run.encode("utf-8", "replace").decode(),
            "at_s": stamped.at_s,
            "kind": stamped.event.kind,
            "payload": json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")),
            "status": "gaps" if body.get("gaps") else "answered",
            "started_at": started_at.isoformat(timespec="milliseconds"),
        }

    def _redact(self, value: JSON) -> JSON:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, "[redacted]")
            return value
        if isinstance(value, list):
            return [self._redact(item) for item in value]
        return self._redacted(value) if isinstance(value, dict) else value

    def _redacted(self, fields: dict[str, JSON]) -> dict[str, JSON]:
        return {name: value if name in _NEVER_SECRET else self._redact(value) for name, value in fields.items()}

    def _wake_writer(self) -> None:
        """Let the writer try (again); the lock is held."""
        if self._writer is None and self._pending:
            self._writer = threading.Thread(target=self._write, name="compllm-journal", daemon=True)
            self._writer.start()
        self._failure = None
        self._changed.notify_all()

    def _wait_for_commit(self) -> None:
        """Wait until what is recorded by now is committed or an attempt has failed; the lock is held."""
        goal = self._recorded
        self._changed.wait_for(lambda: self._failure or self._committed >= goal)
        if self._failure and self._committed < goal:
            raise JournalError(f"journal {self.path}: {self._failure}") from self._failure

    def _write(self) -> None:
        while batch := self._next_batch():
            failure: Exception | None = None
            try:
                _retrying(partial(_commit, self._connection, batch))
            except Exception as error:  # noqa: BLE001  # the boundary of the thread: `flush` reports it
                failure = error
            with self._changed:
                self._failure = failure
                if failure:
                    self._pending[:0] = batch
                else:
                    self._committed += len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[_Row]:
        """Wait for rows and take them all; nothing once the journal is closed and written, or cannot be written."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._pending and not self._failure))
            if self._failure:
                return []
            batch, self._pending = self._pending, []
            return batch

    def _read(self, query: str, values: dict[str, Any]) -> list[Any]:
        self.flush()
        with self._reporting(), closing(self._connect()) as connection:
            return _retrying(lambda: connection.execute(query, values).fetchall())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("holds", 2, lambda text, part: part in (text or "").casefold(), deterministic=True)
        return connection

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"journal {self.path}: {error}") from error


def _create_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its side files the mode of the main one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not (application or version or tables):
            for statement in _SCHEMA:
                connection.execute(statement)
        elif application != _APPLICATION_ID:
            raise JournalError(f"{path} is not a journal but the database of another program")
        elif version > _VERSION:
            raise JournalError(
                f"journal {path} has version {version}, written by a newer Comp-LLM; this one reads up to {_VERSION}"
            )
        elif version < _VERSION:
            for old in range(version, _VERSION):
                connection.execute(_MIGRATIONS[old])
            connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("PRAGMA journal_mode = WAL")


def _commit(connection: sqlite3.Connection, batch: list[_Row]) -> None:
    owner = {"pid": os.getpid(), "pid_started_s": psutil.Process().create_time()}
    known: set[str] = set()
    with _transaction(connection):
        for row in batch:
            if row["kind"] == "run_started" or not _has_run(connection, row["run"], known):
                connection.execute(_OPEN_RUN, {**row, **owner})
            known.add(row["run"])
            connection.execute(_ADD_EVENT, row)
            connection.execute(_TOUCH_RUN, row)
            if end := _CLOSE_RUN.get(row["kind"]):
                connection.execute(end, row)


def _has_run(connection: sqlite3.Connection, run: str, known: set[str]) -> bool:
    return run in known or connection.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is not None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk may have rolled it back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _retrying(operate: Callable[[], _T]) -> _T:
    """Repeat while other processes hold the file: SQLite's own wait does not cover changes of the journal mode."""
    deadline_s = time.monotonic() + _BUSY_S
    while True:
        try:
            return operate()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def _run_row(
    run: str, question: str, team: str, planner: str, status: RunStatus, started_at: str, *rest: Any
) -> RunRow:
    elapsed_s, answer, reason, user, pid, pid_started_s = rest
    if status == "running" and not _alive(pid, pid_started_s):
        status = "interrupted"
    return RunRow(run, question, team, planner, status, started_at, elapsed_s, answer, reason, user)


def _alive(pid: int, started_s: float) -> bool:
    """Whether the process still runs; the start time tells it from a later one with the same number."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # The clock that start times are counted from may be set by a second or so while a machine runs.
        return abs(process.create_time() - started_s) < 2.0
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
