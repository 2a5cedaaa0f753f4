"""Teams on fake experts: asking, streaming, stopping, planning ahead, and what a team file makes of itself."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from compllm.config import Settings, load_team
from compllm.core import events as ev
from compllm.core.ledger import REMOTE
from compllm.core.routing import ExpertProfile
from compllm.errors import ConfigError, PlanError, RunError
from compllm.experts.fake import FakeExpert
from compllm.journal import Journal
from compllm.pipeline import Team
from compllm.planner.language import parse_plan
from compllm.router.router import Router
from tests.router.encoders import WordEncoder
from tests.wiring import questions

pytestmark = pytest.mark.anyio

FILE = """
name: clinic
models:
  one: {backend: endpoint, base_url: "http://127.0.0.1:9/v1", model: m, slots: 3}
  two: {backend: endpoint, base_url: "http://127.0.0.1:9/v1", model: m}
experts:
  heart: {model: one, description: An expert in heart who answers questions about heart and pulse.}
  glands: {model: two, description: An expert in glands who answers questions about glands and insulin.}
  general: {model: one}
router: {mode: tag, threshold: 0.5, fallback: general}
"""


def team_of(folder: Path, text: str = FILE, **fakes: FakeExpert) -> Team:
    """Open a team whose models are fakes and whose encoder counts words."""
    path = folder / "compllm.yaml"
    path.write_text(text)
    team = Team(load_team(path), Settings(folder / "cache", folder / "data"))
    for name in team.file.config.models:
        team._backends[name] = fakes.get(name) or FakeExpert()
    profiles = [
        ExpertProfile(name, expert.model, expert.description) for name, expert in team.file.config.experts.items()
    ]
    team.router = Router(WordEncoder(), profiles, mode="tag", threshold=0.5, fallback="general")
    return team


async def test_a_question_is_split_answered_by_specialists_and_recorded(tmp_path: Path) -> None:
    one, two = FakeExpert(str.upper), FakeExpert(str.upper)
    async with team_of(tmp_path, one=one, two=two) as team:
        answer = await team.ask(" What is the heart pulse, and what is insulin of glands? ")
    assert str(answer) == answer.text == "WHAT IS THE HEART PULSE? [1]\nWHAT IS INSULIN OF GLANDS? [2]"
    assert answer.gaps == ()
    assert (questions(one), questions(two)) == (["What is the heart pulse?"], ["What is insulin of glands?"])
    with Journal(tmp_path / "data" / "runs.sqlite3") as journal:
        assert isinstance(journal.events(answer.run)[-1].event, ev.RunCompleted)


@pytest.mark.parametrize("question", ["", "  \n", "x" * 16_001, "a\0b"])
async def test_what_is_no_question_is_refused_as_what_it_is(tmp_path: Path, question: str) -> None:
    """The error comes out of the team's context as it is, not in a group."""

    async def ask() -> None:
        async with team_of(tmp_path) as team:
            await team.ask(question)

    with pytest.raises(PlanError, match="the question"):
        await ask()


async def test_a_run_without_an_answer_is_an_error_that_names_the_run(tmp_path: Path) -> None:
    async def ask() -> None:
        async with team_of(tmp_path, one=FakeExpert({}), two=FakeExpert({})) as team:
            await team.ask("What?")

    with pytest.raises(RunError, match="no answer: no answer is scripted for 'What\\?'") as failure:
        await ask()
    with Journal(tmp_path / "data" / "runs.sqlite3") as journal:
        assert isinstance(journal.events(failure.value.run)[-1].event, ev.RunFailed)


async def test_a_plan_of_ones_own_is_followed(tmp_path: Path) -> None:
    one, two = FakeExpert({"who?": "Ada"}), FakeExpert({"when was Ada born?": "1815"})
    async with team_of(tmp_path, one=one, two=two) as team:
        answer = await team.ask("?", plan=parse_plan("1. [heart] who?\n2. [glands] when was #1 born?"))
    assert answer.text == "Ada. [1]\n1815. [2]"


async def test_whoever_stops_reading_cancels(tmp_path: Path) -> None:
    fake = FakeExpert(hang=True)
    async with team_of(tmp_path, one=fake) as team:
        async with aclosing(team.stream("What?")) as events:
            async for stamped in events:
                if isinstance(stamped.event, ev.NodeStarted):
                    break
        with anyio.fail_after(10):
            while not fake.cancelled:
                await anyio.lowlevel.checkpoint()
        assert fake.open_streams == 0
        fake.hang = False
        assert (await team.ask("Again?")).text == "Again?"
    with Journal(tmp_path / "data" / "runs.sqlite3") as journal:
        stopped = journal.events(str(getattr(stamped.event, "run", "")))
    assert stopped[-1].event == ev.RunFailed(str(getattr(stamped.event, "run", "")), "cancelled: the caller went away")


async def test_a_cancelled_question_cancels_its_run(tmp_path: Path) -> None:
    fake = FakeExpert(hang=True)
    async with team_of(tmp_path, one=fake) as team:
        with anyio.move_on_after(0.1):
            await team.ask("What?")
        await anyio.wait_all_tasks_blocked()
        assert (fake.open_streams, len(fake.cancelled)) == (0, 1)


async def test_closing_the_team_ends_a_run_that_somebody_waits_for(tmp_path: Path) -> None:
    fake = FakeExpert(hang=True)
    async with team_of(tmp_path, one=fake) as team:
        run = team.start("What?")
        await anyio.wait_all_tasks_blocked()
    with pytest.raises(RunError, match="interrupted"):
        await team.answer(run)
    assert fake.open_streams == 0


async def test_an_expert_is_asked_by_name(tmp_path: Path) -> None:
    two = FakeExpert({"#1 is what?": "fine"})
    async with team_of(tmp_path, two=two) as team:
        answer = await team.ask_expert("glands", "#1 is what?")
        with pytest.raises(RunError, match="no answer is scripted"):
            await team.ask_expert("glands", "other")
    assert (answer.text, answer.expert, answer.model) == ("fine", "glands", "two")


async def test_a_plan_is_shown_before_anything_runs(tmp_path: Path) -> None:
    one, two = FakeExpert(), FakeExpert()
    async with team_of(tmp_path, one=one, two=two) as team:
        plan, assignments, notes = await team.plan("What is the heart pulse, and what is insulin of glands?")
        assert team.planner_name == "rules (no model)"
    assert [step.text for step in plan.steps] == ["What is the heart pulse?", "What is insulin of glands?"]
    assert [assignments[step.id].expert for step in plan.steps] == ["heart", "glands"]
    assert notes == []
    assert one.calls == two.calls == []


async def test_a_model_may_plan_and_aggregate(tmp_path: Path) -> None:
    def reply(prompt: str) -> str:
        if prompt.startswith("Both"):
            return "1. [heart] x\n2. [glands] y\n"
        return "Joined." if "Combine these facts" in prompt else prompt

    one = FakeExpert(reply)
    text = f"{FILE}planner: {{kind: model, model: one}}\naggregator: {{kind: model, model: one}}\n"
    async with team_of(tmp_path, text, one=one) as team:
        answer = await team.ask("Both?")
        assert team.planner_name == "model one"
    assert answer.text == "Joined."
    assert one.open_streams == 0


async def test_endpoints_take_no_memory_and_as_many_requests_as_the_file_says(tmp_path: Path) -> None:
    team = team_of(tmp_path)
    replica = team._executor.scheduler.ledger.get("one")
    assert replica is not None
    assert (replica.device, replica.bytes, replica.free_slots) == (REMOTE, 0, 3)


async def test_on_failure_is_what_the_file_says(tmp_path: Path) -> None:
    assert team_of(tmp_path)._executor.scheduler.rules.skip_descendants
    assert not team_of(tmp_path, FILE + "on_failure: continue\n")._executor.scheduler.rules.skip_descendants


async def test_a_missing_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        team_of(tmp_path, FILE.replace("model: m, slots: 3", "model: m, api_key_env: NO_SUCH_KEY"))
