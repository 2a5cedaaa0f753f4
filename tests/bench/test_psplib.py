"""PSPLIB files are read, measured and reported; the files themselves are not shipped, so these are small ones."""

import json
from pathlib import Path

import pytest

from compllm.bench.psplib import run_psplib
from compllm.bench.psplib_data import read_project, read_sets
from compllm.core.rcpsp import Activity
from compllm.errors import ConfigError
from tests.cli.conftest import Invoke, folder, invoke

__all__ = ["folder", "invoke"]

# Jobs 2 to 5 are P, X, L and M of tests/core/rcpsp/test_passes.py: the parallel scheme needs 14 periods, 10 suffice.
FILE = """\
************************************************************************
file with basedata            : small.bas
************************************************************************
projects                      :  1
jobs (incl. supersource/sink ):  6
************************************************************************
PROJECT INFORMATION:
pronr.  #jobs rel.date duedate tardcost  MPM-Time
    1      4      0       38       26       10
************************************************************************
PRECEDENCE RELATIONS:
jobnr.    #modes  #successors   successors
   1        1          2           2   3
   2        1          1           4
   3        1          1           6
   4        1          1           5
   5        1          1           6
   6        1          0
************************************************************************
REQUESTS/DURATIONS:
jobnr. mode duration  R 1
------------------------------------------------------------------------
  1      1     0       0
  2      1     1       1
  3      1     5       1
  4      1     4       2
  5      1     5       1
  6      1     0       0
************************************************************************
RESOURCEAVAILABILITIES:
  R 1
    2
************************************************************************
"""


def write_library(directory: Path) -> Path:
    """Write two sets: `a` with two instances of known optimum, `b` with one whose optimum has bounds."""
    for name, known in (("a.sm", "a1.sm,10\na2.sm,10\n"), ("b.sm", "b1.sm,9..10\n")):
        optimum = directory / name / "optimum"
        optimum.mkdir(parents=True)
        (optimum / "optimum.csv").write_text("problem,optimum\n" + known)
        for line in known.splitlines():
            (directory / name / line.split(",")[0]).write_text(FILE)
    return directory


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return write_library(tmp_path / "library")


def test_a_file_becomes_a_project(library: Path) -> None:
    project = read_project(library / "a.sm" / "a1.sm")
    assert project.capacities == (2,)
    assert project.activities[3] == Activity(4, (2,), (1,))
    assert project.activities[5] == Activity(0, (0,), (2, 4))
    assert project.critical_path == 10


def test_sets_are_read_by_name_with_what_is_known_of_them(library: Path) -> None:
    first, second = read_sets(library)
    assert (first.name, first.proven, [i.best_known for i in first.instances]) == ("a", True, [10, 10])
    assert (second.name, second.proven, [i.name for i in second.instances]) == ("b", False, ["b1"])
    assert [s.name for s in read_sets(library, ["b.sm"])] == [s.name for s in read_sets(library, ["b"])] == ["b"]
    assert [s.name for s in read_sets(library / "a.sm")] == ["a"]


def test_methods_are_held_against_what_is_known(library: Path) -> None:
    report = run_psplib(library, schedules=30, budget_ms=1000, seed=1)
    rows = {(row.set, row.method): row for row in report.rows}
    single = rows["a", "parallel LFT"]
    assert (single.instances, single.deviation_from, single.best_known_percent) == (2, "optimum", 0)
    assert single.mean_deviation_percent == pytest.approx(40)
    assert rows["b", "parallel LFT"].deviation_from == "critical path"
    for method in ("justified LFT", "search, 30 schedules", "search, 1000 ms"):
        found = rows["a", method]
        assert (found.mean_deviation_percent, found.best_known_percent) == (0, 100)
        assert 1 <= found.schedules_per_instance <= 30


def test_rows_and_their_instances_are_tracked(library: Path) -> None:
    seen: list[tuple[str, int]] = []

    def track(instances, title):  # type: ignore[no-untyped-def]
        seen.append((title, len(instances)))
        return instances

    report = run_psplib(library, ["a"], schedules=1, budget_ms=0, track=track)
    assert seen == [(f"a: {row.method}", 2) for row in report.rows]
    assert report.rows[-1].schedules_per_instance == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("a1.sm", "PRECEDENCE", "PRESEDENCE", "a1.sm: no section 'PRECEDENCE RELATIONS'"),
        ("a1.sm", "  4      1     4       2\n", "", "a1.sm: expected relations and a duration for each job"),
        ("a1.sm", "  4      1     4       2\n", "  4      1\n", "expected 3 numbers or more, not '4 1'"),
        ("a1.sm", "  4      1     4       2\n", "  4      1     x       2\n", "not '4 1 x 2'"),
        (
            "a1.sm",
            "  4      1     4       2\n",
            "  4      1     4       3\n",
            "a1.sm: activity 3 needs 3 of resource 0",
        ),
        (
            "a1.sm",
            "2           2   3\n",
            "2           2   7\n",
            "a1.sm: job 1: expected one mode and 2 known successors",
        ),
        ("a1.sm", "2           2   3\n", "2           2\n", "a1.sm: job 1: expected one mode and 2 known successors"),
        ("optimum/optimum.csv", "10\na2.sm", "ten\na2.sm", "optimum.csv:2: expected a file name and a makespan"),
        ("optimum/optimum.csv", "a1.sm,10\na2.sm,10\n", "", "optimum.csv: no instances are listed"),
        ("optimum/optimum.csv", "a2.sm", "a3.sm", "a3.sm: cannot be read: "),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name(library: Path, name: str, old: str, new: str, said: str) -> None:
    path = library / "a.sm" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_sets(library)
    assert said in str(caught.value)


def test_several_reports_are_a_line_of_json_each(library: Path, invoke: Invoke) -> None:
    options = ("--psplib", str(library), "--sets", "a", "--schedules", "9", "--budget-ms", "5")
    result = invoke("bench", "schedule", *options, "--residency", "--count", "1", "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["schedules"], len(second["traces"])) == (9, 1)


def test_folders_without_instances_or_optima_are_refused(library: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder with PSPLIB files"):
        read_sets(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no set 'c' here, but a, b"):
        read_sets(library, ["a", "c"])
    (library / "b.sm" / "optimum" / "optimum.csv").unlink()
    with pytest.raises(ConfigError, match=r"b\.sm: no optimum\.csv"):
        read_sets(library)


def test_work_without_duration_cannot_be_measured(library: Path) -> None:
    path = library / "b.sm" / "b1.sm"
    path.write_text(path.read_text().replace("1     1  ", "1     0  ").replace("1     5  ", "1     0  "))
    path.write_text(path.read_text().replace("1     4  ", "1     0  "))
    with pytest.raises(ConfigError, match=r"b1\.sm: no job takes any time"):
        read_sets(library)
