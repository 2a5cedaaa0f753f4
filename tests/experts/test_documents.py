import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.answers import Passage
from compllm.errors import ConfigError, RoutingError
from compllm.experts import documents
from compllm.experts.documents import DocumentIndex, match_expression, require_fts5
from compllm.router.base import Vectors


class HashingEncoder:
    """Every word is a direction; counts what it encodes."""

    def __init__(self, name: str = "hashing", dimension: int = 256) -> None:
        self.name = name
        self.dimension = dimension
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.encoded += len(texts)
        vectors = np.full((len(texts), self.dimension), 1e-6, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(".", " ").replace("?", " ").split():
                vectors[row, int(hashlib.md5(word.encode()).hexdigest(), 16) % self.dimension] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


HANDBOOK = """# Handbook

## Sick leave
Sick leave is paid for six weeks.

## Travel
Train tickets are booked by the office.
Flights need approval.
"""


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    path = tmp_path / "handbook.md"
    path.write_text(HANDBOOK, encoding="utf-8")
    return path


@contextmanager
def opened(
    files: Sequence[Path], cache_dir: Path, encoder: HashingEncoder | None = None, floor: float = 0.0
) -> Iterator[DocumentIndex]:
    with closing(DocumentIndex.open(files, encoder or HashingEncoder(), cache_dir, floor=floor)) as index:
        yield index


# --- search ----------------------------------------------------------------------------------------------------------


def test_the_passage_that_answers_comes_first(handbook: Path, tmp_path: Path) -> None:
    with opened([handbook], tmp_path / "cache") as index:
        first, *_ = index.search("How many weeks of sick leave are paid?")
    assert (first.source, first.title) == ("handbook.md", "Sick leave")
    assert first.text == "Sick leave is paid for six weeks."
    assert 0 < first.score <= 1.3


def test_documents_of_one_name_are_shown_with_their_folders(tmp_path: Path) -> None:
    files = [tmp_path / folder / "policy.md" for folder in ("hr", "it")]
    for path, leave in zip(files, ("twenty", "ten"), strict=True):
        path.parent.mkdir()
        path.write_text(f"# Leave\nThere are {leave} days.\n", encoding="utf-8")
    with opened(files, tmp_path) as index:
        found = {passage.source: passage.text for passage in index.search("How many days of leave?")}
    assert found == {"hr/policy.md": "There are twenty days.", "it/policy.md": "There are ten days."}
    with opened(files[:1], tmp_path) as index:
        assert index.search("How many days of leave?")[0].source == "policy.md"


def test_a_document_that_is_named_twice_is_read_once(handbook: Path, tmp_path: Path) -> None:
    with opened([handbook, handbook], tmp_path) as index:
        assert len(index.search("Who books train tickets?", limit=4)) == len(index) == 2


def test_a_parent_heading_is_searched_too(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("# Berlin\n## Contact\nCall 1.\n# Paris\n## Contact\nCall 2.\n", encoding="utf-8")
    with opened([path], tmp_path) as index:
        assert index.search("Contact in Paris?", 1)[0].text == "Call 2."


def test_the_limit_bounds_the_passages(handbook: Path, tmp_path: Path) -> None:
    with opened([handbook], tmp_path, floor=-1.0) as index:
        assert [len(index.search("Who books train tickets?", limit)) for limit in (0, 1, 2, 9)] == [0, 1, 2, 2]
        assert len(index) == 2


def test_unrelated_passages_stay_below_the_floor(handbook: Path, tmp_path: Path) -> None:
    with opened([handbook], tmp_path, floor=0.2) as index:
        assert index.search("zebra xylophone quartz") == ()
        assert [passage.title for passage in index.search("Is sick leave paid?")] == ["Sick leave"]


def test_rare_words_lift_a_passage_that_the_encoder_cannot_tell_apart(tmp_path: Path) -> None:
    class Blind(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> Vectors:
            return np.tile(np.array([0.6, 0.8], dtype=np.float32), (len(texts), 1))

    path = tmp_path / "codes.md"
    path.write_text("# A\nError 4711: no paper.\n# B\nError 4712: no ink.\n", encoding="utf-8")
    with opened([path], tmp_path, Blind()) as index:
        assert index.search("What is 4712?", 1)[0].title == "B"
        assert [passage.title for passage in index.search("Is it so?")] == ["A", "B"]  # equals: in document order


@pytest.mark.parametrize(
    "question",
    [
        'what is "sick',
        "sick AND",
        "NEAR(sick leave, 2)",
        "sick* OR ^leave",
        "heading:sick",
        "-sick",
        "sick' ; DROP TABLE passages; --",
        "{heading body} : sick",
        "sick\0leave",
        "sick \ud800",
    ],
)
def test_search_syntax_in_a_question_is_only_words(question: str, handbook: Path, tmp_path: Path) -> None:
    class Lenient(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> Vectors:
            return super().encode([text.encode("utf-8", "replace").decode() for text in texts])

    with opened([handbook], tmp_path, Lenient()) as index:
        assert index.search(question)[0].title == "Sick leave"
        assert index.search(question) == index.search(question)


@pytest.mark.parametrize("question", ["", "  ", "?!", '""', "***"])
def test_a_question_without_words_finds_nothing(question: str, handbook: Path, tmp_path: Path) -> None:
    with opened([handbook], tmp_path) as index:
        assert index.search(question) == ()


@given(st.text())
def test_any_question_makes_a_valid_expression(question: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(body, tokenize='porter unicode61')")
        connection.execute("INSERT INTO words VALUES ('some words')")
        connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (match_expression(question),)).fetchall()


def test_an_accent_that_stands_by_itself_is_part_of_its_word() -> None:
    assert match_expression("In Mu\u0308nchen?") == match_expression("In M\u00fcnchen?") == '"m\u00fcnchen"'


def test_stop_words_and_repetitions_are_not_searched() -> None:
    assert match_expression("What is the BANK of the bank?") == '"bank"'
    assert match_expression("what is it") == '""'


def test_threads_search_at_the_same_time(handbook: Path, tmp_path: Path) -> None:
    found: list[tuple[Passage, ...]] = []
    with opened([handbook], tmp_path) as index:
        threads = [threading.Thread(target=lambda: found.append(index.search("sick leave"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [index.search("sick leave")] * 8


def test_an_encoder_that_changed_under_its_name_is_refused(handbook: Path, tmp_path: Path) -> None:
    with opened([handbook], tmp_path):
        pass
    with opened([handbook], tmp_path, HashingEncoder(dimension=64)) as index, pytest.raises(ConfigError, match="64"):
        index.search("sick leave")


# --- the cached file -------------------------------------------------------------------------------------------------


def test_the_index_is_built_once(handbook: Path, tmp_path: Path) -> None:
    cache, encoder = tmp_path / "cache", HashingEncoder()
    with opened([handbook], cache, encoder) as index:
        before = index.search("sick leave")
    encoder.encoded = 0
    with opened([handbook], cache, encoder) as index:
        assert encoder.encoded == 0
        assert index.search("sick leave") == before
    assert [path.suffix for path in cache.iterdir()] == [".sqlite"]


def test_other_contents_or_another_encoder_make_another_file(handbook: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with opened([handbook], cache), opened([handbook], cache, HashingEncoder("other")):
        pass
    handbook.write_text(HANDBOOK.replace("six", "seven"), encoding="utf-8")
    with opened([handbook], cache) as index:
        assert "seven" in index.search("sick leave")[0].text
    assert len(list(cache.iterdir())) == 3


def test_an_index_that_nobody_opens_any_more_is_removed(handbook: Path, tmp_path: Path) -> None:
    def indexed(name: str) -> int:
        encoder = HashingEncoder(name)
        with opened([handbook], cache, encoder):
            return encoder.encoded

    cache = tmp_path / "cache"
    assert [indexed(name) for name in ("kept", "unused")] == [2, 2]
    for path in cache.iterdir():
        os.utime(path, (0, time.time() - documents.KEPT_S - 60))
    assert [indexed(name) for name in ("kept", "new", "kept")] == [0, 2, 0]
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"not a database", None])
def test_a_damaged_file_is_built_again(damage: bytes | None, handbook: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with opened([handbook], cache):
        pass
    [path] = cache.iterdir()
    path.write_bytes(path.read_bytes()[:8192] if damage is None else damage)
    with opened([handbook], cache) as index:
        assert index.search("sick leave")[0].title == "Sick leave"


def test_a_file_with_any_damaged_page_is_built_again(handbook: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with opened([handbook], cache):
        pass
    [path] = cache.iterdir()
    sound = path.read_bytes()
    for start in range(0, len(sound), 4096):
        path.write_bytes(sound[:start] + bytes(4096) + sound[start + 4096 :])
        with opened([handbook], cache) as index:
            assert index.search("sick leave")[0].title == "Sick leave"


def test_a_build_that_fails_leaves_nothing_behind(handbook: Path, tmp_path: Path) -> None:
    class Broken(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> Vectors:
            raise RoutingError("no encoder")

    cache = tmp_path / "cache"
    with pytest.raises(RoutingError, match="no encoder"):
        DocumentIndex.open([handbook], Broken(), cache)
    assert list(cache.iterdir()) == []


def test_a_cache_directory_that_cannot_be_written_is_named(handbook: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written to .*handbook\.md"):
        DocumentIndex.open([handbook], HashingEncoder(), handbook)


def test_a_cache_directory_may_have_any_name(handbook: Path, tmp_path: Path) -> None:
    with opened([handbook], tmp_path / "50% of #1? ü") as index:
        assert len(index) == 2


def test_sqlite_without_fts5_is_a_configuration_error() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_CREATE_VTABLE else sqlite3.SQLITE_OK
        )
        with pytest.raises(ConfigError, match="FTS5"):
            require_fts5(connection)


# --- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.md", b" \n", "is empty"),
        ("empty.jsonl", b'{"title": "a", "text": " "}\n', "is empty"),
        ("picture.png", b"\x89PNG\0\0", "is not text"),
        ("latin.txt", "Zürich".encode("latin-1"), r"is not UTF-8 \(byte 1\)"),
        ("rows.jsonl", b'{"text": "a"}\n{oops\n', "line 2 is not JSON"),
        ("rows.jsonl", b'{"text": "a"}\n' + b"[" * 100_000, "line 2 is not JSON"),
        ("rows.jsonl", b'\n["a"]\n', "line 2: expected an object"),
        ("rows.jsonl", b'{"title": 3, "text": "a"}', "line 1: expected an object"),
        ("rows.jsonl", b'{"body": "a"}', "line 1: expected an object"),
    ],
)
def test_a_document_that_is_not_usable_is_named(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message) as raised:
        DocumentIndex.open([path], HashingEncoder(), tmp_path)
    assert str(path) in str(raised.value)


def test_a_missing_document_or_a_directory_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.md", tmp_path):
        with pytest.raises(ConfigError, match="is not a file"):
            DocumentIndex.open([path], HashingEncoder(), tmp_path)


def test_a_name_that_the_system_refuses_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="document"):
        DocumentIndex.open([tmp_path / ("x" * 5000)], HashingEncoder(), tmp_path)


def test_a_document_that_is_too_large_is_refused(
    handbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_FILE_BYTES", 50)
    with pytest.raises(ConfigError, match=r"handbook\.md has .* more than the 50"):
        DocumentIndex.open([handbook], HashingEncoder(), tmp_path)


def test_an_expert_needs_a_document(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no documents"):
        DocumentIndex.open([], HashingEncoder(), tmp_path)
