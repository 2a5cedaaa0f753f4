"""The record of runs."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compllm.core.answers import Passage, SubAnswer
from compllm.core.events import (
    AnswerDelta,
    Event,
    ModelLoaded,
    ModelLoading,
    NodeAdded,
    NodeCompleted,
    NodeDelta,
    NodeStarted,
    PlanClosed,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    Stamped,
)
from compllm.core.routing import Assignment, Candidate
from compllm.errors import JournalError
from compllm.journal import Journal

ASSIGNMENT = Assignment((Candidate("geo", "m"),), "question", 0.8, 0.1, passed=True, reason="best")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "compllm" / "runs.sqlite"


def begin(run: str, question: str = "Where is Paris?") -> Stamped:
    return Stamped(0.0, RunStarted(run, question, "starter", "llm"))


def story(run: str) -> list[Stamped]:
    answer = SubAnswer("In France.", "geo", "m", (Passage("a.md", "France", "Paris ...", 0.5),), 10, 3, 0.1, 0.4)
    happened: list[tuple[float, Event]] = [
        (0.1, NodeAdded(run, 1, "Where is Paris?", (), ASSIGNMENT)),
        (0.1, PlanClosed(run)),
        (0.1, ModelLoading("m", "cpu")),
        (0.5, ModelLoaded("m", "cpu", 300, 0.4)),
        (0.5, NodeStarted(run, 1, "geo", "m", "cpu", 1)),
        (0.9, NodeCompleted(run, 1, answer)),
        (1.0, RunCompleted(run, "In France.")),
    ]
    return [begin(run), *(Stamped(at_s, event) for at_s, event in happened)]


def tell(journal: Journal, run: str, *stamped: Stamped) -> None:
    for each in stamped:
        journal.record(run, each)


def test_a_run_comes_back_as_it_was(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r1", *story("r1"))
    with Journal(path) as journal:
        assert journal.events("r1") == story("r1")


def test_reading_sees_what_was_just_recorded(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r1", begin("r1"))
        assert [row.id for row in journal.runs()] == ["r1"]
        assert journal.events("r1") == [begin("r1")]


def test_the_row_sums_the_run_up(path: Path) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with Journal(path) as journal:
        tell(journal, "r1", *story("r1"))
        row = journal.run("r1")
    assert (row.question, row.team, row.planner) == ("Where is Paris?", "starter", "llm")
    assert (row.status, row.elapsed_s, row.answer, row.reason) == ("answered", 1.0, "In France.", None)
    assert before <= datetime.fromisoformat(row.started_at) <= datetime.now(UTC)


def test_deltas_are_not_stored(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r", begin("r"), Stamped(0.1, NodeDelta("r", 1, "Pa")), Stamped(0.2, AnswerDelta("r", "Pa")))
        assert journal.events("r") == [begin("r")]


@pytest.mark.parametrize(
    ("ends", "status", "reason"),
    [
        ([RunCompleted("r", "a", gaps=(2,))], "gaps", None),
        ([RunFailed("r", "no plan")], "failed", "no plan"),
        ([RunCancelled("r", "Ctrl-C")], "cancelled", "Ctrl-C"),
        ([RunCancelled("r", "Ctrl-C"), RunFailed("r", "cancelled")], "cancelled", "Ctrl-C"),
        ([RunCancelled("r", "deadline"), RunCompleted("r", "a", gaps=(2,))], "gaps", None),
        ([], "running", None),
    ],
)
def test_how_a_run_ended(path: Path, ends: list[Event], status: str, reason: str | None) -> None:
    with Journal(path) as journal:
        tell(journal, "r", begin("r"), *(Stamped(1.0, end) for end in ends))
        row = journal.run("r")
    assert (row.status, row.reason) == (status, reason)


def test_flush_commits_for_other_connections(path: Path) -> None:
    with Journal(path) as journal, Journal(path) as reader:
        tell(journal, "r1", *story("r1"))
        journal.flush()
        assert reader.run("r1").status == "answered"


def test_the_latest_runs_come_first_and_limit_cuts(path: Path) -> None:
    with Journal(path) as journal:
        for name in "abc":
            tell(journal, name, begin(name))
        assert [row.id for row in journal.runs()] == ["c", "b", "a"]
        assert [row.id for row in journal.runs(limit=2)] == ["c", "b"]


@pytest.mark.parametrize(
    ("search", "found"),
    [("paris", ["q"]), ("ÖSTERREICH", ["a"]), ("100%", ["p"]), ("_", []), ("zebra", []), ("", ["p", "a", "q"])],
)
def test_search_looks_into_questions_and_answers_literally(path: Path, search: str, found: list[str]) -> None:
    with Journal(path) as journal:
        tell(journal, "q", begin("q", "Where is Paris?"))
        tell(journal, "a", begin("a", "Wien?"), Stamped(1.0, RunCompleted("a", "In Österreich.")))
        tell(journal, "p", begin("p", "Is it 100% sure?"))
        assert [row.id for row in journal.runs(search=search)] == found


def test_a_unique_prefix_is_enough_and_an_exact_id_wins(path: Path) -> None:
    with Journal(path) as journal:
        for name in ("7f3a", "7f3abc", "91"):
            tell(journal, name, begin(name))
        assert journal.run("9").id == "91"
        assert journal.run("7f3a").id == "7f3a"
        assert journal.events("7f3ab") == [begin("7f3abc")]


@pytest.mark.parametrize(("name", "says"), [("7f", "ambiguous: 7f.*, 7f"), ("8", "no run '8'"), ("", "no run ''")])
def test_an_ambiguous_or_unknown_run_is_an_error(path: Path, name: str, says: str) -> None:
    with Journal(path) as journal:
        tell(journal, "7f3a", begin("7f3a"))
        tell(journal, "7f9c", begin("7f9c"))
        with pytest.raises(JournalError, match=says):
            journal.events(name)


def test_secrets_are_redacted_everywhere_they_appear(path: Path) -> None:
    secrets = ["sk-12345", 'sk-12345"longer\n', ""]
    with Journal(path, secrets=secrets) as journal:
        answer = SubAnswer("key sk-12345", "geo", "m", (Passage("sk-12345.md", "t", 'of sk-12345"longer\n!', 1.0),))
        tell(journal, "r", begin("r", "is sk-12345 valid?"), Stamped(0.5, NodeCompleted("r", 1, answer)))
        tell(journal, "r", Stamped(1.0, RunFailed("r", "401 for sk-12345")))
        row, events = journal.run("r"), journal.events("r")
    assert (row.question, row.reason) == ("is [redacted] valid?", "401 for [redacted]")
    kept = events[1].event
    assert isinstance(kept, NodeCompleted)
    assert kept.answer.passages[0].text == "of [redacted]!"
    assert kept.answer.passages[0].source == "[redacted].md"
    assert all(b"sk-12345" not in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("secret", ["e", "started", "run_started", "question", "20261126"])
def test_a_secret_that_is_a_common_word_spoils_no_record(path: Path, secret: str) -> None:
    told = story("20261126-7f3a")
    with Journal(path, secrets=[secret]) as journal:
        tell(journal, "20261126-7f3a", *told)
        assert journal.events("20261126-7f3a") == told
        assert journal.run("20261126").status == "answered"


def test_secrets_of_eight_characters_are_hidden_and_shorter_ones_are_not(path: Path) -> None:
    with Journal(path, secrets=["1234567", "abcdefgh"]) as journal:
        tell(journal, "r", begin("r", "1234567 abcdefgh"))
        assert journal.run("r").question == "1234567 [redacted]"


def test_the_file_is_private_to_its_owner(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r", begin("r"))
        journal.flush()
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_recording_the_same_run_again_goes_on_where_it_stopped(path: Path) -> None:
    first, second = story("r")[:3], story("r")
    with Journal(path) as journal:
        tell(journal, "r", *first)
    with Journal(path) as journal:
        tell(journal, "r", *second)
        assert journal.events("r") == first + second
        assert len(journal.runs()) == 1


def test_events_without_a_started_run_are_kept(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r", Stamped(0.1, PlanClosed("r")))
        assert journal.events("r") == [Stamped(0.1, PlanClosed("r"))]
        assert journal.run("r").question == ""


def test_text_that_is_no_unicode_is_kept_as_well_as_it_goes(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r\udc80", begin("r\udc80", "caf\udce9\x00?"))
        assert [(row.id, row.question) for row in journal.runs()] == [("r?", "caf?\x00?")]


def test_many_threads_lose_nothing(path: Path) -> None:
    with Journal(path) as journal:
        threads = [threading.Thread(target=tell, args=(journal, name, *story(name) * 5)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Journal(path) as journal:
        assert all(journal.events(name) == story(name) * 5 for name in "abcdefgh")


WRITER = """
import sys
from pathlib import Path
from compllm.core.events import *
from compllm.journal import Journal

path, run, last = sys.argv[1:]
with Journal(Path(path)) as journal:
    journal.record(run, Stamped(0.0, RunStarted(run, "q", "t", "llm")))
    for step in range(50):
        journal.record(run, Stamped(float(step), PlanNoted(run, str(step))))
        if step % 10 == 0:
            journal.flush()
    if last == "wait":
        journal.flush()
        print("ready", flush=True)
        sys.stdin.read()
    journal.record(run, Stamped(60.0, RunCompleted(run, "a")))
"""


def spawn(path: Path, run: str, last: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), run, last]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_may_write_the_same_journal_at_once(path: Path) -> None:
    writers = [spawn(path, name, "end") for name in "abc"]
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with Journal(path) as journal:
        assert sorted(row.id for row in journal.runs()) == ["a", "b", "c"]
        assert [len(journal.events(name)) for name in "abc"] == [52, 52, 52]


def test_a_run_whose_process_was_killed_is_interrupted_and_keeps_its_events(path: Path) -> None:
    with spawn(path, "r", "wait") as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with Journal(path) as journal:
            assert journal.run("r").status == "running"
            writer.kill()
            writer.wait()
            assert journal.run("r").status == "interrupted"
            assert journal.run("r").elapsed_s == 49.0
            assert len(journal.events("r")) == 51


def test_a_later_process_with_the_same_number_does_not_revive_a_run(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r", begin("r"))
        assert journal.run("r").status == "running"
        change(path, "UPDATE runs SET pid_started_s = pid_started_s - 100")
        assert journal.run("r").status == "interrupted"


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    Journal(path).close()
    change(path, "PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    change(path, "CREATE TABLE notes(text TEXT)")


def no_database(path: Path) -> None:
    path.write_text("dear diary, " * 200)


def directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (newer, "version 99, written by a newer Comp-LLM"),
        (foreign, "database of another program"),
        (no_database, "not a database"),
        (directory, "Is a directory"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_by_name(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "runs.sqlite"
    spoil(path)
    with pytest.raises(JournalError, match=says) as caught:
        Journal(path)
    assert str(path) in str(caught.value)


def test_another_programs_database_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    foreign(path)
    before = path.read_bytes()
    with pytest.raises(JournalError):
        Journal(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=f"{tmp_path / 'file'}.*COMPLLM_DATA_DIR may name"):
        Journal(tmp_path / "file" / "runs.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_file_is_named(path: Path) -> None:
    Journal(path).close()
    path.chmod(0o400)
    with pytest.raises(JournalError, match=str(path)):
        Journal(path)


def test_a_full_disk_is_reported_and_nothing_is_lost_once_there_is_room(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r", begin("r"))
        journal.flush()
        journal._connection.execute("PRAGMA max_page_count = 1")
        tell(journal, "r", *(Stamped(1.0, RunFailed("r", "x" * 5000)) for _ in range(20)))
        with pytest.raises(JournalError, match=f"{path}.*full"):
            journal.flush()
        journal._connection.execute("PRAGMA max_page_count = 100000")
        assert len(journal.events("r")) == 21


def test_closing_says_what_was_lost(path: Path) -> None:
    journal = Journal(path)
    journal._connection.execute("PRAGMA max_page_count = 1")
    tell(journal, "r", begin("r", "x" * 100_000))
    with pytest.raises(JournalError, match="full"):
        journal.close()
    journal.close()


def test_too_many_waiting_events_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compllm.journal._MAX_PENDING", 0)
    with Journal(path) as journal, pytest.raises(JournalError, match="cannot keep up"):
        journal.record("r", begin("r"))


def test_a_closed_journal_refuses_events_but_can_be_read(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r", begin("r"))
    with pytest.raises(JournalError, match="closed"):
        journal.record("r", begin("r"))
    assert journal.events("r") == [begin("r")]


def test_a_spoilt_event_is_reported_with_its_run(path: Path) -> None:
    with Journal(path) as journal:
        tell(journal, "r", begin("r"))
        journal.flush()
        change(path, 'UPDATE events SET payload = \'{"at_s": 0, "kind": "sneezed"}\'')
        with pytest.raises(JournalError, match=r"run 'r': .*unknown kind 'sneezed'"):
            journal.events("r")


def test_a_journal_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    with Journal(path):
        pass
    change(path, "DROP TABLE learned")
    change(path, "ALTER TABLE runs DROP COLUMN user")
    change(path, "PRAGMA user_version = 1")
    with Journal(path) as journal:
        tell(journal, "r", begin("r"))
        assert [row.user for row in journal.runs()] == [""]
        journal.remember("name", {"a": [1.5]})
        assert journal.recall("name") == {"a": [1.5]}
        assert journal.recall("another") is None


def test_runs_are_listed_by_who_asked(path: Path) -> None:
    with Journal(path) as journal:
        for run, user in (("r1", "ann"), ("r2", "bob"), ("r3", "ann/eve"), ("r4", "anna")):
            tell(journal, run, Stamped(0.0, RunStarted(run, "Where?", "t", "llm", user)))
        assert {row.id for row in journal.runs(user="ann")} == {"r1", "r3"}
        assert {row.user for row in journal.runs()} == {"ann", "bob", "ann/eve", "anna"}


def test_secrets_that_become_known_later_are_hidden_too(path: Path) -> None:
    with Journal(path, secrets=["abcdefgh"]) as journal:
        journal.hide(["abcdefghij", ""])
        tell(journal, "r", begin("r", "abcdefghij abcdefgh"))
        assert journal.run("r").question == "[redacted] [redacted]"
