"""Documents are cut where their authors set a mark, and nothing of them is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.experts.excerpts import MAX_WORDS, MIN_WORDS, excerpts, sources


def cut(name: str, text: str) -> list[tuple[str, str]]:
    return [(excerpt.heading, excerpt.text) for excerpt in excerpts(Path(name), text.encode())]


def test_markdown_is_cut_at_its_headings() -> None:
    text = "\ufeffIntro\nwrapped.\n\n# A #\n\n## B\nb\n\n### C\nc\n## D\nd\n"
    assert cut("notes.md", text) == [("notes", "Intro wrapped."), ("A > B", "b"), ("A > B > C", "c"), ("A > D", "d")]


def test_underlined_headings_are_headings() -> None:
    assert cut("a.md", "Rent\n====\n\nBerlin\n---\n900\n\nParis \n-\n1200\n\n***\nend") == [
        ("Rent > Berlin", "900"),
        ("Rent > Paris", "1200\n\n*** end"),
    ]


@pytest.mark.parametrize(
    "text", ["---\n---\nx", "---\nkey: x\n---", "- x\n---", "```\nx\n===\n```", "    x\n===", "one\ntwo\n==="]
)
def test_what_is_no_underlined_heading_is_text(text: str) -> None:
    assert [heading for heading, _ in cut("a.md", f"# A\n\n{text}\n")] == ["A"]


def test_a_heading_with_nothing_below_it_is_its_own_text() -> None:
    assert cut("a.md", "# A\nx\n## Call 555\n## B\ny\n# Last") == [
        ("A", "x"),
        ("A > Call 555", "Call 555"),
        ("A > B", "y"),
        ("Last", "Last"),
    ]


def test_code_holds_no_headings_and_keeps_its_lines() -> None:
    code = "```sh\n# comment\n\nls -l\n```"
    assert cut("a.md", f"# A\n{code}\n# B\nb") == [("A", code), ("B", "b")]


@pytest.mark.parametrize(
    "code",
    [
        "````\n```\n# no\n```\n````",
        "~~~\n```\n# no\n~~~",
        "``` sh\n``` sh\n# no\n```",
        "```\n# no\n`````",
        "~~~ `a`\n# no\n~~~ ",
    ],
)
def test_code_ends_with_a_fence_like_that_of_its_beginning(code: str) -> None:
    assert cut("a.md", f"# A\n{code}\n# B\nb") == [("A", code.strip()), ("B", "b")]


def test_code_within_a_line_opens_no_fence() -> None:
    assert cut("a.md", "# A\n```pip install x```\nDo it.\n# B\nb") == [("A", "```pip install x``` Do it."), ("B", "b")]


def test_lists_and_tables_keep_their_lines() -> None:
    assert cut("a.md", "# A\nSee\nhere:\n- one\n  more\n- two\n1. x\n| a | b |") == [
        ("A", "See here:\n- one more\n- two\n1. x\n| a | b |")
    ]


def test_plain_text_has_no_headings() -> None:
    assert cut("notes.txt", "# not a heading\n") == [("notes", "# not a heading")]


def test_what_is_too_long_for_a_heading_is_text() -> None:
    words = "word " * 400
    markdown, rows = cut("a.md", f"# A\n# {words}\nx"), cut("a.jsonl", json.dumps({"title": words, "text": "x"}))
    assert {heading for heading, _ in markdown} == {"A"}
    assert {heading for heading, _ in rows} == {"a"}
    assert [sum(text.count("word") for _, text in found) for found in (markdown, rows)] == [400, 400]


def test_json_lines_bring_their_own_titles() -> None:
    rows = [{"title": "T", "text": "One.\u2028Two."}, {"text": "Three \ud800", "id": 7}]
    assert cut("rows.jsonl", "\n".join(map(json.dumps, rows))) == [("T", "One. Two."), ("rows", "Three ?")]


def test_short_paragraphs_are_joined_and_long_ones_are_cut_at_sentences() -> None:
    sentence = "Nine words make up each sentence of this text. "
    short, long = sentence * 3, sentence * 50
    pieces = [text for _, text in cut("a.txt", f"{short}\n\n{short}\n\n{long}")]
    assert pieces[0] == f"{short.strip()}\n\n{short.strip()}"
    assert [len(piece.split()) for piece in pieces] == [54, 153, 153, 144]
    assert all(piece.endswith(".") for piece in pieces)


def test_each_part_of_a_long_table_names_its_columns() -> None:
    head = "| year | who |\n|:-----|----:|"
    rows = [f"| {year} | Dr. Who of St. Ives. |" for year in range(1900, 2000)]
    first, *others = [text for _, text in cut("a.md", f"# A\nSince 1900.\n{head}\n" + "\n".join(rows) + "\n\nThe end.")]
    assert first.startswith(f"Since 1900.\n{head}\n| 1900 |")
    assert all(part.startswith(f"{head}\n| ") for part in others)
    assert others[-1].endswith("The end.")
    assert [line for part in [first, *others] for line in part.split("\n") if line in rows] == rows
    assert all(len(part.split()) <= MAX_WORDS for part in [first, *others])


@given(st.lists(st.text(alphabet="ab.!\n #-|`~", max_size=600), max_size=8), st.sampled_from(["a.md", "a.txt"]))
def test_no_text_is_lost_and_no_piece_is_too_long(parts: list[str], name: str) -> None:
    text = "x " + "\n\n".join(parts) + " word" * 400 + "q" * 4000
    found = excerpts(Path(name), text.encode())
    assert {
        character: sum((excerpt.text + excerpt.heading).count(character) for excerpt in found) >= text.count(character)
        for character in "abq"
    } == {"a": True, "b": True, "q": True}
    assert sum(excerpt.text.count("word") for excerpt in found) == 400
    assert all(len(excerpt.text.split()) <= MAX_WORDS for excerpt in found)
    assert all(len(excerpt.text) <= MAX_WORDS * 8 + 2 * MIN_WORDS for excerpt in found)


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        (["/a/x.md", "/b/y.md"], ["x.md", "y.md"]),
        (["/a/x.md", "/b/x.md", "/b/y.md"], ["a/x.md", "b/x.md", "y.md"]),
        (["/a/in/x.md", "/b/in/x.md", "/b/x.md"], ["a/in/x.md", "b/in/x.md", "b/x.md"]),
        (["/a/x.md", "/a/x.md"], ["x.md", "x.md"]),
        (["x.md", "/a/x.md"], ["x.md", "a/x.md"]),
    ],
)
def test_no_more_folders_are_shown_than_tell_documents_apart(files: list[str], shown: list[str]) -> None:
    assert sources([Path(file) for file in files]) == shown
