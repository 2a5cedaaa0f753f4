"""Runs the commands whose tables stand in docs/benchmarks.md, one after another: `python docs/evidence.py [FOLDER]`.

Into FOLDER (build/evidence) go NAME.json (what the command printed, with machine and time), NAME.md (the same as
tables) and README.md (the list). What is there already is not run again; a command that fails, or takes longer than it
may, is told at the end and in the exit code, and the others go on. Together they may take 60 minutes.

`--data DATA` names a folder for the commands that need files which are not part of this repository: psplib/ (*.sm,
optimum.csv), route.jsonl, ood.jsonl, experts.json, plan.jsonl, read.jsonl and aggregate.jsonl. What it lacks is left
out, and listed; so is the monolith of twice the size, unless its weights lie where examples/multiexpertqa/gemma says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

import compllm

ROOT = Path(__file__).parents[1]
_GRACE_S = 10.0
_SETS = ROOT / "examples" / "multiexpertqa"
_SYSTEMS = (
    "monolith,monolith-base,top1,ensemble,cot,react,sequential,unconstrained,compllm,"
    "read-route,gold-plan,gold-route,gold-answers"
)
# A third of All: 20 questions of P, 7 of D and 6 of J.
_COMPARED = (
    f"bench run {{sets}}/All.jsonl --team {{sets}} --limit 33 --systems {_SYSTEMS} --out {{out}}/multiexpertqa.jsonl"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command of `compllm` (without `--json`), the seconds it may take, and the files that it needs.

    In both `{data}`, `{out}` and `{sets}` stand for the folders: of the data, of the results, and of MultiExpertQA.
    """

    name: str
    arguments: str
    limit_s: float
    needs: tuple[str, ...] = ()

    def command(self, data: Path | None, out: Path) -> list[str]:
        """Return the arguments with the folders in their places."""
        return [*(_placed(argument, data, out) for argument in self.arguments.split()), "--json"]

    def missing(self, data: Path | None, out: Path) -> list[str]:
        """Return what it needs and is not there."""
        return [need for need in (_placed(need, data, out) for need in self.needs) if not Path(need).exists()]


def _placed(text: str, data: Path | None, out: Path) -> str:
    return text.format_map({"data": str(data or "DATA"), "out": str(out), "sets": str(_SETS)})


STEPS = (
    Step("engine", "bench engine", 30),
    Step("projection-h100", "bench projection --plot {out}/projection.png", 80),
    Step("projection-a100", "bench projection --gpu a100", 80),
    Step("scale", "simulate --scale", 100),
    Step("serving", "bench serving", 150),
    Step("speedup", "bench speedup", 150),
    Step("residency", "bench schedule --residency", 120),
    Step("optimum", "bench schedule --exact", 240),
    Step("real-workers", "bench schedule --real", 720),
    Step("multiexpertqa", f"{_COMPARED} --report {{out}}/multiexpertqa.html", 1260),
    Step(
        "multiexpertqa-gemma",
        "bench run {sets}/All.jsonl --team {sets}/gemma --limit 33 --systems monolith "
        "--out {out}/multiexpertqa-gemma.jsonl",
        150,
        ("{sets}/gemma/gemma3-270m.gguf",),
    ),
    Step(
        "multiexpertqa-plot",
        f"{_COMPARED} --report {{out}}/multiexpertqa.svg",
        20,
        ("{out}/multiexpertqa.html",),
    ),
    *(
        Step(
            f"compllm-against-{name}",
            f"bench compare {{out}}/multiexpertqa.jsonl@compllm {{out}}/{file}",
            10,
            ("{out}/multiexpertqa.jsonl", f"{{out}}/{file.partition('@')[0]}"),
        )
        for name, file in (
            ("monolith", "multiexpertqa.jsonl@monolith"),
            ("sequential", "multiexpertqa.jsonl@sequential"),
            ("gemma", "multiexpertqa-gemma.jsonl@monolith"),
        )
    ),
    Step(
        "psplib",
        "bench schedule --psplib {data}/psplib --sets j30 --schedules 200 --budget-ms 20",
        60,
        ("{data}/psplib",),
    ),
    Step(
        "routing",
        "bench route {data}/route.jsonl --experts {data}/experts.json --ood {data}/ood.jsonl",
        80,
        ("{data}/route.jsonl", "{data}/experts.json", "{data}/ood.jsonl"),
    ),
    Step(
        "planning",
        "bench plan {data}/plan.jsonl --experts {data}/experts.json --limit 100 --at-once 4",
        120,
        ("{data}/plan.jsonl", "{data}/experts.json"),
    ),
    Step("reading", "bench read {data}/read.jsonl --limit 30 --at-once 4", 60, ("{data}/read.jsonl",)),
    Step("joining", "bench aggregate {data}/aggregate.jsonl --limit 20 --at-once 4", 60, ("{data}/aggregate.jsonl",)),
)


# --- one command -----------------------------------------------------------------------------------------------------


def machine() -> dict[str, object]:
    """Return what the figures were taken on, and how busy that was."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "compllm": compllm.__version__,
        "load": [round(load, 2) for load in psutil.getloadavg()],
    }


def _processor() -> str:
    """Return the processor's name as Linux tells it, else as Python knows it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def run(program: Sequence[str], step: Step, data: Path | None, out: Path) -> str | None:
    """Run a step and write what it printed; return why it failed, or None."""
    began, began_s, on = datetime.now(UTC), time.monotonic(), machine()
    try:
        reports = parse(_printed([*program, *step.command(data, out)], step.limit_s))
    except subprocess.TimeoutExpired:
        return f"stopped after {step.limit_s:g} s"
    except subprocess.CalledProcessError as error:
        return f"exit code {error.returncode}"
    except json.JSONDecodeError as error:
        return f"printed what is not JSON: {error}"
    seconds = round(time.monotonic() - began_s, 1)
    told = f"compllm {' '.join(step.arguments.split())}"
    record = {"command": told, "began": began.isoformat(), "seconds": seconds, "machine": on, "reports": reports}
    (out / f"{step.name}.md").write_text(page(step.name, record), encoding="utf-8")
    # The JSON comes last and at once: it says that the step is done.
    half = out / f"{step.name}.json.part"
    half.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    half.replace(out / f"{step.name}.json")
    return None


def _printed(command: Sequence[str], limit_s: float) -> str:
    """Return what a command prints; one that takes longer is ended with the workers that it started.

    Raises:
        CalledProcessError: it failed.
        TimeoutExpired: it took longer.
    """
    with subprocess.Popen(  # noqa: S603 - our own commands
        command, stdout=subprocess.PIPE, cwd=ROOT, text=True, start_new_session=True
    ) as process:
        try:
            printed, _ = process.communicate(timeout=limit_s)
        finally:
            _end(process)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return printed


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt a command that still runs, so that it can end its workers; kill it if it does not."""
    for how in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, how)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)


def parse(printed: str) -> list[Any]:
    """Return every JSON document of a text, one after another.

    Raises:
        JSONDecodeError: something else stands between them, or nothing at all.
    """
    decoder, rest = json.JSONDecoder(), printed.strip()
    reports: list[Any] = []
    while rest or not reports:
        report, end = decoder.raw_decode(rest)
        reports.append(report)
        rest = rest[end:].lstrip()
    return reports


# --- pages -----------------------------------------------------------------------------------------------------------


def page(name: str, record: Mapping[str, Any]) -> str:
    """Return the page of a step: its command, its machine, and everything it reported as tables."""
    on = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
    head = f"# {name}\n\n    {record['command']}\n\n{record['began']}, {record['seconds']} s; {on}\n"
    return "\n".join([head, *(table for report in record["reports"] for table in tables("", report))])


def tables(title: str, report: Any) -> Iterator[str]:
    """Return the tables of a report: one for each list of rows, and one for the single figures beside them."""
    if isinstance(report, list):
        yield _titled(title, _rows([row for row in report if isinstance(row, dict)]))
    elif isinstance(report, dict):
        figures = {key: value for key, value in report.items() if not isinstance(value, dict | list)}
        if figures:
            yield _titled(title, _rows([figures]))
        for key, value in report.items():
            if isinstance(value, dict) or _is_table(value):
                yield from tables(f"{title}, {key}" if title else key, value)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)


def _titled(title: str, table: str) -> str:
    return f"## {title}\n\n{table}" if title else table


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key, value in row.items() if not _is_deep(value)))
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _is_deep(value: object) -> bool:
    """Whether a value would need a table of its own in a cell; it stays in the JSON."""
    return isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values())


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else json.dumps(value) if isinstance(value, dict) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def listing(steps: Sequence[Step], out: Path, outcomes: Mapping[str, str]) -> str:
    """Return the list of all steps: what each came to, and where its tables are."""
    lines = ["# Evidence", "", "| step | command | result |", "|---|---|---|"]
    for step in steps:
        done = (out / f"{step.name}.json").exists()
        name = f"[{step.name}]({step.name}.md)" if done else step.name
        lines.append(f"| {name} | `compllm {step.arguments}` | {outcomes[step.name]} |")
    return "\n".join(lines) + "\n"


# --- all of them -----------------------------------------------------------------------------------------------------


def gather(program: Sequence[str], steps: Sequence[Step], data: Path | None, out: Path) -> int:
    """Run what is not there yet, write the list, and return how many failed."""
    out.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    for number, step in enumerate(steps, 1):
        outcomes[step.name] = _outcome(program, step, data, out, f"[{number}/{len(steps)}] {step.name}")
        print(f"[{number}/{len(steps)}] {step.name}: {outcomes[step.name]}", file=sys.stderr)
    (out / "README.md").write_text(listing(steps, out, outcomes), encoding="utf-8")
    failed = [f"{name} ({outcome})" for name, outcome in outcomes.items() if outcome.startswith("failed")]
    told = f"failed: {', '.join(failed)}; the same command tries again" if failed else "nothing failed"
    print(f"{out}: {told}", file=sys.stderr)
    return len(failed)


def _outcome(program: Sequence[str], step: Step, data: Path | None, out: Path, title: str) -> str:
    if (out / f"{step.name}.json").exists():
        return "there already"
    if missing := step.missing(data, out):
        return f"left out: needs {', '.join(missing)}"
    print(f"{title}: compllm {step.arguments} (at most {step.limit_s:g} s)", file=sys.stderr)
    problem = run(program, step, data, out)
    return f"failed: {problem}" if problem else "done"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Runs the commands of docs/benchmarks.md and keeps what they print.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "evidence", help="where it goes")
    parser.add_argument("--data", type=Path, help="folder with files that are not part of the repository")
    given = parser.parse_args()
    data = given.data.resolve() if given.data else None
    compllm_program = str(Path(sys.executable).with_name("compllm"))
    sys.exit(1 if gather([compllm_program], STEPS, data, given.folder.resolve()) else 0)
