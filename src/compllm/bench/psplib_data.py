"""The files of PSPLIB (Kolisch and Sprecher 1996): single-mode projects and the best makespans known for them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compllm.core.rcpsp import Activity, Project
from compllm.errors import ConfigError, SchedulingError

_KNOWN = ("optimum.csv", "optimum/optimum.csv")
_BOUNDS = re.compile(r"(?:\d*\.\.)?([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Instance:
    """A project and the makespan of the best schedule known; `proven` says whether none can be shorter."""

    name: str
    project: Project
    best_known: int
    proven: bool


@dataclass(frozen=True, slots=True)
class InstanceSet:
    """The instances of one folder."""

    name: str
    instances: tuple[Instance, ...]

    @property
    def proven(self) -> bool:
        """Whether every optimum is known."""
        return all(instance.proven for instance in self.instances)


def read_sets(directory: Path, names: Sequence[str] = ()) -> list[InstanceSet]:
    """Read every folder with `*.sm` files and an `optimum.csv` (in it or in its folder `optimum`), by name.

    The directory itself may be such a folder. `names` chooses folders, with or without their ending `.sm`.

    Raises:
        ConfigError: naming the file and what is wrong with it; or there is no such folder.
    """
    wanted = {name.removesuffix(".sm") for name in names}
    folders = [f for f in [directory, *sorted(directory.glob("*/"))] if any(p.is_file() for p in f.glob("*.sm"))]
    sets = {folder.name.removesuffix(".sm"): folder for folder in folders}
    if not sets:
        raise ConfigError(f"{directory}: no folder with PSPLIB files (*.sm) here")
    if missing := wanted - sets.keys():
        raise ConfigError(f"{directory}: no set {sorted(missing)[0]!r} here, but {', '.join(sets)}")
    return [InstanceSet(n, tuple(_instances(folder))) for n, folder in sets.items() if not wanted or n in wanted]


def read_project(path: Path) -> Project:
    """Read a single-mode `.sm` file; its jobs become activities in the order of the file.

    Raises:
        ConfigError: naming the file, the section or line, and what is wrong there.
    """
    sections = _sections(path)
    relations = _rows(path, sections, "PRECEDENCE RELATIONS", columns=3)
    requests = _rows(path, sections, "REQUESTS/DURATIONS", columns=3)
    capacities = _rows(path, sections, "RESOURCEAVAILABILITIES", columns=1)
    jobs = [row[0] for row in requests]
    if jobs != list(range(1, len(jobs) + 1)) or jobs != [row[0] for row in relations] or len(capacities) != 1:
        raise ConfigError(
            f"{path}: expected relations and a duration for each job from 1 on, and one row of capacities"
        )
    predecessors: list[list[int]] = [[] for _ in jobs]
    for job, modes, count, *successors in relations:
        if modes != 1 or count != len(successors) or not set(successors) <= set(jobs):
            raise ConfigError(f"{path}: job {job}: expected one mode and {count} known successors")
        for successor in successors:
            predecessors[successor - 1].append(job - 1)
    pairs = zip(requests, predecessors, strict=True)
    activities = tuple(Activity(row[2], tuple(row[3:]), tuple(before)) for row, before in pairs)
    try:
        return Project(activities, tuple(capacities[0]))
    except SchedulingError as error:
        raise ConfigError(f"{path}: {error}") from error


def _instances(folder: Path) -> Iterator[Instance]:
    known = next((folder / name for name in _KNOWN if (folder / name).is_file()), None)
    if known is None:
        raise ConfigError(f"{folder}: no {_KNOWN[0]} with the best makespans known")
    rows = list(csv.reader(_text(known).splitlines()))[1:]
    if not rows:
        raise ConfigError(f"{known}: no instances are listed below the first line")
    for line, row in enumerate(rows, start=2):
        match = _BOUNDS.fullmatch(row[1].strip()) if len(row) == 2 else None
        if match is None:
            raise ConfigError(f"{known}:{line}: expected a file name and a makespan, as 43 or 70..72 or ..72")
        project = read_project(folder / row[0])
        if not project.critical_path:
            raise ConfigError(f"{folder / row[0]}: no job takes any time")
        yield Instance(row[0].removesuffix(".sm"), project, int(match[1]), proven=".." not in row[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _sections(path: Path) -> dict[str, list[str]]:
    """Return the lines of each section between rows of stars, by the title in its first line."""
    blocks = re.split(r"^\*+\n", _text(path), flags=re.MULTILINE)
    lines = [block.splitlines() for block in blocks if block.strip()]
    return {block[0].strip().rstrip(":"): block[1:] for block in lines}


def _rows(path: Path, sections: dict[str, list[str]], title: str, columns: int) -> list[list[int]]:
    """Return the rows of at least so many numbers below a section's headings."""
    if title not in sections:
        raise ConfigError(f"{path}: no section {title!r}: is it a single-mode PSPLIB file?")
    rows = [line.split() for line in sections[title] if line.strip() and line.split()[0].isdigit()]
    wrong = [row for row in rows if len(row) < columns or not all(word.isdigit() for word in row)]
    if wrong:
        raise ConfigError(f"{path}: section {title!r}: expected {columns} numbers or more, not {' '.join(wrong[0])!r}")
    return [[int(word) for word in row] for row in rows]
