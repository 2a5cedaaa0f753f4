from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from compllm.bench.evidence.judge import Judge
from compllm.bench.evidence.metering import Meter
from compllm.bench.evidence.records import read_records
from compllm.bench.evidence.reply import Reply
from compllm.bench.evidence.rows import EvidenceRow, GoldStep
from compllm.bench.evidence.run import remaining, run_system
from compllm.bench.evidence.systems.base import Endpoint, Factory, Setting, System, fingerprint
from compllm.config import load_team
from compllm.errors import ConfigError, ExpertResponseError, PlanError
from compllm.experts.fake import FakeExpert
from compllm.settings import Settings
from tests.bench.evidence.lab import ROW, clinic
from tests.clinic import CLINIC

pytestmark = pytest.mark.anyio


@dataclass
class Said:
    """A system that says what it is told to, or raises it."""

    replies: dict[str, Reply | Exception]
    meter: Meter = field(default_factory=Meter)

    async def answer(self, row: EvidenceRow) -> Reply:
        self.meter.calls += 1
        reply = self.replies[row.id]
        if isinstance(reply, Exception):
            raise reply
        return reply


def factory(replies: dict[str, Reply | Exception]) -> Factory:
    @asynccontextmanager
    async def opened(setting: Setting) -> AsyncIterator[System]:
        yield Said(replies)

    return opened


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(clinic(tmp_path), Settings(tmp_path, tmp_path))


ROWS = [replace(ROW, id=f"p-{n}") for n in range(3)]


async def test_every_question_leaves_a_record_and_none_is_asked_twice(tmp_path: Path, setting: Setting) -> None:
    out, systems = tmp_path / "results.jsonl", {"a": factory({row.id: Reply("70, a hormone") for row in ROWS})}
    (work,) = remaining(ROWS[:2], systems, out, "as now")
    await run_system(work, setting, out)
    (work,) = remaining(ROWS, systems, out, "as now")
    assert [row.id for row in work.rows] == ["p-2"]
    await run_system(work, setting, out)
    records = read_records(out)
    assert [record.key for record in records] == [("a", row.id) for row in ROWS]
    assert all(record.scores.f1 == 1.0 and record.cost.calls == 1 for record in records)
    assert all(record.cost.latency_s > 0 for record in records)
    assert remaining(ROWS, systems, out, "as now") == []


async def test_a_failing_model_is_no_answer(tmp_path: Path, setting: Setting) -> None:
    out, systems = tmp_path / "results.jsonl", {"a": factory({"p-0": ExpertResponseError("broken")})}
    await run_system(remaining(ROWS[:1], systems, out, "as now")[0], setting, out)
    (record,) = read_records(out)
    assert (record.answer, record.scores.f1, record.notes) == ("", 0.0, ("broken",))


async def test_an_oracle_that_misses_something_ends_the_bench(tmp_path: Path, setting: Setting) -> None:
    out, systems = tmp_path / "results.jsonl", {"a": factory({"p-0": PlanError("no plan")})}
    with pytest.raises(PlanError, match="no plan"):  # not in a group, which the command line would not report
        await run_system(remaining(ROWS[:1], systems, out, "as now")[0], setting, out)


def test_results_of_another_set_are_not_mixed_in(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    out.write_text('{"system": "a"}\n')
    with pytest.raises(ConfigError, match=r"results\.jsonl:1: not a result"):
        remaining(ROWS, {}, out, "as now")


@pytest.mark.parametrize("change", [{"question": "Else?"}, {"parts": (("71",), ("a hormone",))}])
async def test_the_same_ids_with_other_questions_are_refused(
    tmp_path: Path, setting: Setting, change: dict[str, Any]
) -> None:
    out, systems = tmp_path / "results.jsonl", {"a": factory({"p-0": Reply("70")})}
    await run_system(remaining(ROWS[:1], systems, out, "as now")[0], setting, out)
    with pytest.raises(ConfigError, match="another set"):
        remaining([replace(ROWS[0], **change)], systems, out, "as now")


async def test_results_of_another_setting_are_not_mixed_in(tmp_path: Path, setting: Setting) -> None:
    out, systems = tmp_path / "results.jsonl", {"a": factory({row.id: Reply("70") for row in ROWS})}
    await run_system(remaining(ROWS[:1], systems, out, "as then")[0], setting, out)
    with pytest.raises(ConfigError, match="another team"):
        remaining(ROWS, systems, out, "as now")
    assert [work.system for work in remaining(ROWS, {"b": systems["a"]}, out, "as now")] == ["b"]


async def test_results_by_another_gold_plan_are_not_mixed_in(tmp_path: Path, setting: Setting) -> None:
    out, systems = tmp_path / "results.jsonl", {"a": factory({row.id: Reply("70") for row in ROWS})}
    await run_system(remaining(ROWS[:1], systems, out, "as now")[0], setting, out)
    assert remaining(ROWS[:1], systems, out, "as now") == []
    mended = replace(ROWS[0], plan=(*ROWS[0].plan, GoldStep(9, "And then?")))
    with pytest.raises(ConfigError, match="another gold plan"):
        remaining([mended], systems, out, "as now")


def test_a_setting_is_told_by_team_documents_judge_and_endpoint(tmp_path: Path) -> None:
    (tmp_path / "pulse.md").write_text("The pulse is 70.")
    file = tmp_path / "compllm.yaml"

    def print_of(text: str, *servers: Endpoint | None) -> str:
        file.write_text(text)
        return fingerprint(load_team(tmp_path), *servers)

    team = CLINIC.replace("heart: {", "heart: {documents: [pulse.md], ")
    first = print_of(team)
    assert print_of(team) == print_of(team + "server: {port: 9}\n") == first
    others = {
        print_of(team.replace("about heart", "about hearts")),
        print_of(team, Endpoint("http://127.0.0.1:9", "m")),
        print_of(team, None, Endpoint("http://127.0.0.1:9", "m")),
        print_of(team, None, Endpoint("http://127.0.0.1:9", "n")),
    }
    (tmp_path / "pulse.md").write_text("The pulse is 80.")
    assert len({first, print_of(team), *others}) == 6


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ("1, 2", 1.0),
        ("2", 0.5),
        ("None.", 0.0),
        ("None of the 2 facts is stated.", 0.0),
        ("1 and 7", 0.5),
        ("1-2", 1.0),
        ("2 to 9", 0.5),
    ],
)
async def test_a_judge_counts_the_facts(said: str, share: float) -> None:
    fake = FakeExpert(lambda asked: said)
    assert await Judge(fake).share(ROW, Reply("It is 70.")) == share
    assert "1. 70 / seventy\n2. a hormone" in fake.calls[0].messages[-1].content
    assert await Judge(fake).share(ROW, Reply("")) == 0.0


async def test_a_judge_that_gives_no_grade_is_an_error() -> None:
    with pytest.raises(ExpertResponseError, match="no grade"):
        await Judge(FakeExpert(lambda asked: "Well done!")).share(ROW, Reply("70"))


async def test_an_answer_without_a_grade_is_recorded_with_what_the_judge_said(tmp_path: Path, setting: Setting) -> None:
    out, systems = tmp_path / "results.jsonl", {"a": factory({"p-0": Reply("70")})}
    (work,) = remaining(ROWS[:1], systems, out, "as now")
    await run_system(work, setting, out, Judge(FakeExpert(lambda asked: "Well done!")))
    (record,) = read_records(out)
    assert record.scores.judged is None
    assert record.scores.f1 > 0
    assert record.notes == ("the judge gave no grade but said: Well done!",)
