"""Puts the questions of a set to systems, one after another, and records what came back and what it cost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compllm.bench.evidence.judge import Judge
from compllm.bench.evidence.metering import Watch, watching
from compllm.bench.evidence.records import Record, append, read_records
from compllm.bench.evidence.reply import Cost, Reply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.bench.evidence.scores import score
from compllm.bench.evidence.systems.base import Factory, Setting, System
from compllm.errors import AggregationError, ConfigError, ExpertError, ExpertResponseError, RoutingError


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do for one system; `setting` is the fingerprint of what it is asked with."""

    system: str
    open: Factory
    rows: tuple[EvidenceRow, ...]
    setting: str


def remaining(rows: Sequence[EvidenceRow], systems: Mapping[str, Factory], out: Path, setting: str) -> list[Work]:
    """Return what the file of results does not hold yet; `setting` is the fingerprint of what is to be measured.

    Raises:
        ConfigError: it is not a file of results, of other questions with the same ids, or of another setting.
    """
    done = read_records(out) if out.is_file() and out.stat().st_size else []
    asked = {row.id: (row.question, row.parts) for row in rows}
    settings = {row.id: setting_of(setting, row) for row in rows}
    for record in done:
        if asked.get(record.id, (record.question, record.gold)) != (record.question, record.gold):
            raise ConfigError(f"{out}: holds results of another set ({record.id} is another question); name a new file")
        if record.system in systems and settings.get(record.id, record.setting) != record.setting:
            raise ConfigError(
                f"{out}: holds results of {record.system} with another team, other documents or adapters, another "
                "judge or endpoint, or another gold plan; name a new file"
            )
    keys = {record.key for record in done}
    left = [
        Work(name, factory, tuple(row for row in rows if (name, row.id) not in keys), setting)
        for name, factory in systems.items()
    ]
    return [work for work in left if work.rows]


async def run_system(
    work: Work, setting: Setting, out: Path, judge: Judge | None = None, advance: Callable[[], object] = lambda: None
) -> None:
    """Open a system, put its questions to it and append a record for each; what a model fails at is no answer.

    An answer to which the judge gives no grade has none, and a note of what it said instead.

    Raises:
        ConfigError: the system cannot be opened, or the results cannot be written.
        PlanError: an oracle misses what it needs.
        ExpertError: the judge cannot be reached.
    """
    async with work.open(setting) as system:
        for row in work.rows:
            record = await _asked(work.system, system, row, judge)
            append(out, replace(record, setting=setting_of(work.setting, row)))
            advance()


def setting_of(setting: str, row: EvidenceRow) -> str:
    """Return what a result depends on besides its question: oracles follow the gold plan, and all are scored by it."""
    return f"{setting}-{hashlib.sha256(repr(row.plan).encode()).hexdigest()[:8]}"


async def _asked(name: str, system: System, row: EvidenceRow, judge: Judge | None) -> Record:
    system.meter.reset()
    async with watching() as watch:
        try:
            reply = await system.answer(row)
        except (ExpertError, AggregationError, RoutingError) as error:
            reply = Reply("", notes=(str(error),))
    grade = None
    if judge is not None:
        try:
            grade = await judge.share(row, reply)
        except ExpertResponseError as error:
            reply = replace(reply, notes=(*reply.notes, str(error)))
    scores = score(row, reply, grade)
    steps = tuple((step.expert, step.question, step.answer) for step in reply.steps)
    return Record(
        name,
        row.id,
        row.set,
        row.question,
        row.parts,
        reply.text,
        scores,
        _cost(system, reply, watch),
        steps,
        reply.notes,
    )


def _cost(system: System, reply: Reply, watch: Watch) -> Cost:
    meter = system.meter
    return Cost(
        meter.calls,
        meter.prompt_tokens,
        meter.completion_tokens,
        meter.load_s,
        watch.elapsed_s,
        watch.elapsed_s if reply.ttft_s is None else reply.ttft_s,
        watch.peak_bytes,
    )
