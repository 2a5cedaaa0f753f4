from __future__ import annotations

import re
import resource
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from compllm.bench.evidence.records import Record, append, read_records
from compllm.bench.evidence.reply import Cost, Reply, StepReply
from compllm.bench.evidence.report import write_report
from compllm.bench.evidence.scores import score
from compllm.bench.evidence.summary import compare, summaries
from compllm.errors import ConfigError
from tests.bench.evidence.lab import BRIDGE, ROW

COST = Cost(2, 100, 10, 0.5, 4.0, 1.0, 300 * 2**20)
STEPS = (StepReply("q", "heart", "70", is_last=True),)


def record(system: str, number: int, text: str, latency_s: float = 4.0) -> Record:
    row, cost = replace(ROW, id=f"p-{number}"), replace(COST, latency_s=latency_s)
    return Record(system, row.id, row.set, row.question, row.parts, text, score(row, Reply(text, STEPS)), cost)


GOOD = [record("good", n, "70, a hormone") for n in range(8)]
BAD = [record("bad", n, "", 8.0) for n in range(8)]


def test_figures_stand_by_system_and_set() -> None:
    other = replace(GOOD[0], id="d-1", set="D")
    rows = summaries([*GOOD, *BAD, other])
    assert [(row["set"], row["system"], row["questions"]) for row in rows] == [
        ("D", "good", 1), ("P", "good", 8), ("P", "bad", 8), ("All", "good", 9), ("All", "bad", 8)
    ]  # fmt: skip
    assert (rows[1]["f1"], rows[1]["f1_low"], rows[2]["f1_high"], rows[1]["asked"]) == (1.0, 1.0, 0.0, 0.5)
    assert (rows[1]["calls"], rows[1]["latency_s_p50"], rows[1]["load_s"], rows[1]["peak_mib"]) == (2.0, 4.0, 4.0, 300)
    assert "judged" not in rows[1]


def test_a_comparison_is_paired() -> None:
    found = compare([*GOOD, replace(GOOD[0], id="else")], BAD)
    assert (found.first, found.second, found.questions, found.latency_ratio) == ("good", "bad", 8, 2.0)
    assert found.differences["f1"].interval.mean == 1.0
    assert found.differences["f1"].p_value < 0.05
    assert "judged" not in found.differences
    with pytest.raises(ConfigError, match="no question in common"):
        compare(GOOD[:1], BAD[1:])


def test_a_difference_says_how_many_questions_it_is_over() -> None:
    """Two of eight answers have no grade, of one system or the other."""
    graded = [replace(each, scores=replace(each.scores, judged=1.0)) for each in GOOD]
    others = [replace(each, scores=replace(each.scores, judged=0.0)) for each in BAD]
    rows = compare([GOOD[0], *graded[1:]], [others[0], BAD[1], *others[2:]]).figures()
    assert {str(row["measure"]): row["questions"] for row in rows if row["measure"] in ("f1", "judged")} == {
        "f1": 8,
        "judged": 6,
    }


def test_other_questions_of_the_same_name_are_not_compared() -> None:
    for other in (replace(BAD[0], question="Else?"), replace(BAD[0], gold=(("71",), ("a hormone",)))):
        with pytest.raises(ConfigError, match="p-0 is not the same question in both"):
            compare(GOOD, [other])


def test_records_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    path, other = tmp_path / "r.jsonl", replace(BAD[0], set=BRIDGE.set, steps=(("heart", "q", "a"),), notes=("n",))
    append(path, GOOD[0])
    append(path, other)
    assert read_records(path) == [GOOD[0], other]
    with pytest.raises(ConfigError, match="cannot be written"):
        append(tmp_path / "none" / "r.jsonl", other)


def test_a_question_that_was_answered_twice_does_not_count_twice(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    for each in (*GOOD[:2], GOOD[0]):
        append(path, each)
    with pytest.raises(ConfigError, match=r"r\.jsonl:3: a second result of good for p-0"):
        read_records(path)


@pytest.mark.parametrize("change", ['"f1": NaN', '"f1": null', '"f1": "1"', '"latency_s": null'])
def test_a_figure_that_is_no_number_is_named_with_its_line(tmp_path: Path, change: str) -> None:
    path = tmp_path / "r.jsonl"
    append(path, GOOD[0])
    name = change.partition(":")[0]
    path.write_text(re.sub(rf"{name}: [\d.]+", change, path.read_text()))
    with pytest.raises(ConfigError, match=rf"r\.jsonl:1: not a result .* {name[1:-1]} is no number"):
        read_records(path)


def test_a_record_has_a_line_of_its_own_though_the_last_one_does_not_end(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    append(path, GOOD[0])
    path.write_text(path.read_text().rstrip("\n"))
    append(path, GOOD[1])
    assert read_records(path) == GOOD[:2]


def test_half_of_a_character_does_not_end_the_bench(tmp_path: Path) -> None:
    append(tmp_path / "r.jsonl", replace(GOOD[0], answer="a heart \ud83d"))
    assert read_records(tmp_path / "r.jsonl")[0].answer == "a heart ?"


def test_a_full_disk_leaves_no_half_record(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    append(path, GOOD[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, hard))
    try:
        with pytest.raises(ConfigError, match="cannot be written"):
            append(path, GOOD[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    append(path, GOOD[2])
    assert read_records(path) == [GOOD[0], GOOD[2]]


def test_a_report_needs_nothing_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, [*GOOD, replace(BAD[0], answer="<script>alert(1)</script>", notes=("late",))], "A <title>")
    page = path.read_text()
    assert page.count("<svg") == 3
    assert "A &lt;title&gt;" in page
    assert "<script" not in page
    assert "late" in page
    assert not re.search(r"(?:src|href)=[\"']?https?:", page)
    assert "sign-flip" in page
    write_report(path, [*GOOD, replace(BAD[0], answer="<script>alert(1)</script>", notes=("late",))], "A <title>")
    assert path.read_text() == page
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(tmp_path / "none" / "r.html", GOOD, "t")


def test_the_plot_of_f1_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "f1.svg"
    write_report(path, [*GOOD, *BAD], "t")
    root = ElementTree.fromstring(path.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {record.system for record in (*GOOD, *BAD)} <= set(root.itertext())
