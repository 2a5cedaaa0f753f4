"""Teams on fake experts: asking, streaming, stopping, planning ahead, and what a team file makes of itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import anyio
import psutil
import pytest

from compllm.assembly import make_backend
from compllm.config import TeamFile, load_team
from compllm.core import events as ev
from compllm.core.ledger import REMOTE
from compllm.core.routing import Gate
from compllm.errors import ConfigError, ModelTooLargeError, PlanError, QueueFullError, RoutingError, RunError
from compllm.experts.base import Backend
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.fake import FakeExpert
from compllm.journal import Journal
from compllm.pipeline import Team
from compllm.planner.language import parse_plan
from compllm.router.base import Encoder, Vectors
from compllm.router.calibration import Calibration
from compllm.settings import Settings
from compllm.simulation.record import record_workload
from tests.clinic import CLINIC
from tests.experts.test_embedded_footprint import gguf_bytes
from tests.router.encoders import WordEncoder
from tests.wiring import GatedFake, questions

pytestmark = pytest.mark.anyio


def team_of(folder: Path, text: str = CLINIC, encoder: Encoder | None = None, **fakes: FakeExpert) -> Team:
    """Open a team whose models are fakes and whose encoder counts words."""
    path = folder / "compllm.yaml"
    path.write_text(text)
    file = load_team(path)
    backends = {name: fakes.get(name) or FakeExpert() for name in file.config.models}
    return Team(file, Settings(folder / "cache", folder / "data"), backends=backends, encoder=encoder or WordEncoder())


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


@pytest.mark.parametrize(("max_steps", "steps"), [(2, 2), (1, 1)])
async def test_a_team_that_plans_by_rules_keeps_to_its_longest_plan(tmp_path: Path, max_steps: int, steps: int) -> None:
    async with team_of(tmp_path, f"{CLINIC}planner: {{max_steps: {max_steps}}}\n") as team:
        plan, _, _ = await team.plan("What is the heart pulse, and what is insulin of glands?")
    assert len(plan) == steps


async def test_a_step_of_a_plan_may_be_as_long_as_a_question(tmp_path: Path) -> None:
    async with team_of(tmp_path) as team:
        assert (await team.ask("?", plan=parse_plan(f"1. {'x' * 16_000}"))).gaps == ()
        with pytest.raises(PlanError, match="step 2 of the plan has 16,001 characters; this team takes 16,000 at most"):
            await team.ask("?", plan=parse_plan(f"1. a\n2. {'x' * 16_001}"))


async def test_whoever_waits_while_the_team_closes_is_told_that_the_run_was_interrupted(tmp_path: Path) -> None:
    async def ask(team: Team) -> None:
        with pytest.raises(RunError, match="interrupted"):
            await team.ask("What?")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as waiting, team_of(tmp_path, one=FakeExpert(hang=True)) as team:
            waiting.start_soon(ask, team)
            await anyio.wait_all_tasks_blocked()


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
    text = f"{CLINIC}planner: {{kind: model, model: one}}\naggregator: {{kind: model, model: one}}\n"
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
    assert not team_of(tmp_path, CLINIC + "on_failure: continue\n")._executor.scheduler.rules.skip_descendants


async def test_a_team_counts_what_planning_and_aggregating_take(tmp_path: Path) -> None:
    text = f"{CLINIC}planner: {{kind: model, model: one}}\naggregator: {{kind: model, model: one}}\n"
    plan = "1. [heart] x\n2. [glands] y\n"
    fake = FakeExpert(lambda prompt: plan if prompt.startswith("Both") else "two words")
    async with team_of(tmp_path, text, one=fake, two=FakeExpert(lambda _: "b")) as team:
        story = (await team.ask("Both?")).explanation
    assert story.completion_tokens == len(plan.split()) + 2 + 1 + 2
    assert story.prompt_tokens == sum(len(m.content.split()) for call in fake.calls for m in call.messages) + 1


async def test_an_unknown_expert_is_refused_with_the_names_of_those_there_are(tmp_path: Path) -> None:
    async with team_of(tmp_path) as team:
        with pytest.raises(RoutingError, match="no expert 'nose'; it has heart, glands, general"):
            team.start("What?", expert="nose")


async def test_a_snapshot_tells_what_is_running_where(tmp_path: Path) -> None:
    async with team_of(tmp_path, one=FakeExpert(hang=True)) as team:
        run = team.start("What is the heart pulse?", user="ann")
        async with run.events:
            async for stamped in run.events:
                if isinstance(stamped.event, ev.NodeStarted):
                    break
        now = team.snapshot()
    assert (now.open_runs, now.nodes) == (1, {"running": 1})
    assert [(r.model, r.device, r.state, r.slots, r.leases) for r in now.replicas] == [
        ("one", REMOTE, "resident", 3, 1),
        ("two", REMOTE, "resident", 4, 0),
    ]
    assert [device.name for device in now.devices] == ["cpu"]
    assert now.devices[0].free_bytes == now.devices[0].capacity_bytes


async def test_observers_are_told_of_every_event_once(tmp_path: Path) -> None:
    class Watch:
        def __init__(self) -> None:
            self.seen: list[ev.Event] = []

        def observe(self, event: ev.Event) -> None:
            self.seen.append(event)

    watch = Watch()
    path = tmp_path / "compllm.yaml"
    path.write_text(CLINIC)
    backends = {"one": FakeExpert(), "two": FakeExpert()}
    settings = Settings(tmp_path / "cache", tmp_path / "data")
    file = load_team(path)
    async with Team(file, settings, backends=backends, encoder=WordEncoder(), observers=[watch]) as team:
        runs = [await team.ask("What is the heart pulse?", user="ann", priority=place) for place in range(2)]
    started = [event for event in watch.seen if isinstance(event, ev.RunStarted)]
    assert [(event.run, event.user) for event in started] == [(run.run, "ann") for run in runs]
    assert [(run.user, run.priority) for run in record_workload(team.journal, 2).runs] == [("ann", 0), ("ann", 1)]
    kinds = [event.kind for event in watch.seen]
    assert kinds.count("node_completed") == kinds.count("run_completed") == 2


async def test_an_observer_that_fails_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def observe(self, event: ev.Event) -> None:
            raise ValueError("secret")

    path = tmp_path / "compllm.yaml"
    path.write_text(CLINIC)
    backends = {name: FakeExpert(str.upper) for name in ("one", "two")}
    settings = Settings(tmp_path / "cache", tmp_path / "data")
    team = Team(load_team(path), settings, backends=backends, encoder=WordEncoder(), observers=(Failing(),))
    async with team:
        assert (await team.ask("What is pulse?")).text == "WHAT IS PULSE?"
    assert {record.message for record in caplog.records} == {"an observer failed"}
    assert "secret" not in caplog.text


RELOADED = CLINIC.replace(
    "  general:", "  nose: {model: three, description: An expert in nose who answers about nose.}\n  general:"
).replace("experts:", '  three: {backend: endpoint, base_url: "http://127.0.0.1:9/v1", model: m}\nexperts:')


async def test_a_reloaded_team_has_new_experts_and_open_runs_keep_theirs(tmp_path: Path) -> None:
    gated = GatedFake("What", answers=str.upper)
    async with team_of(tmp_path, two=gated) as team:
        run = team.start("What is insulin of glands?")
        path = tmp_path / "compllm.yaml"
        path.write_text(
            RELOADED.replace("  glands: {model: two", "  kidneys: {model: two").replace("in glands", "in kidneys")
        )
        team.reload(load_team(path))
        assert list(team.experts) == ["heart", "kidneys", "nose", "general"]
        assert "three" in {replica.model for replica in team.snapshot().replicas}
        assert team.router.route("What?", "nose").expert == "nose"
        gated.let("What")
        assert (await team.answer(run)).text == "WHAT IS INSULIN OF GLANDS?"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("slots: 3", "slots: 5", "models.one"),
        ("limits:", "devices: {gpu: {capacity: 1GiB}}\nlimits:", "devices"),
        ("limits:", "on_failure: continue\nlimits:", "on_failure"),
        ("threshold: 0.5", 'threshold: 0.5, encoder: {base_url: "http://127.0.0.1:9/v1", model: e}', "router.encoder"),
    ],
)
async def test_what_cannot_change_in_an_open_team_is_refused_and_nothing_has_changed(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    text = CLINIC + "limits: {runs: 40}\n"
    async with team_of(tmp_path, text) as team:
        before = team.file
        path = tmp_path / "compllm.yaml"
        path.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match=what):
            team.reload(load_team(path))
        assert team.file is before


READING = CLINIC.replace("  heart: {", "  heart: {documents: [heart.md], ")


class CountingEncoder(WordEncoder):
    """Counts what is indexed, and lets others run meanwhile."""

    indexed = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.indexed += len(texts) > 16
        time.sleep(0)
        return super().encode(texts)


async def test_those_who_ask_at_the_same_time_share_one_index(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    (tmp_path / "heart.md").write_text("\n".join(f"## Part {part}\nA pulse." for part in range(17)))
    async with team_of(tmp_path, READING, encoder) as team:
        retrieve = team.experts["heart"].retrieve
        assert retrieve is not None
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(retrieve, ["What is a pulse?"] * 8, [1] * 8))
    assert {len(passages) for passages in found} == {1}
    assert encoder.indexed == 1


async def test_a_document_that_cannot_be_read_costs_its_own_expert_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "heart.md").write_text("")
    gate = Gate(intercept=9.0, best=0.0, margin=0.0, mean=0.0, description=0.0, background=0.0)
    Calibration("words", 0.05, gate).save(tmp_path / "words.json")
    text = READING.replace("mode: tag", "mode: auto, calibration: words.json")
    async with team_of(tmp_path, text, two=FakeExpert(str.upper)) as team:
        answer = await team.ask("What is insulin of glands?")
        with pytest.raises(RunError, match=r"^no answer: the document .*heart\.md is empty"):
            await team.ask_expert("heart", "What is a pulse?")
    assert answer.text == "WHAT IS INSULIN OF GLANDS?"
    assert "the expert heart cannot be chosen by its documents: the document" in caplog.text


async def test_a_reloaded_team_keeps_no_index_that_nobody_uses(tmp_path: Path) -> None:
    (tmp_path / "heart.md").write_text("A pulse.")
    async with team_of(tmp_path, READING) as team:
        for _ in range(3):
            team.reload(load_team(tmp_path / "compllm.yaml"))
            retrieve = team.experts["heart"].retrieve
            assert retrieve is not None
            retrieve("What is a pulse?", 1)
        opened = [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path / "cache"))]
    assert len(opened) == 1


async def test_a_reload_changes_how_many_runs_may_be_open(tmp_path: Path) -> None:
    gated = GatedFake("What", answers=str.upper)
    async with team_of(tmp_path, CLINIC + "limits: {runs: 1}\n", two=gated) as team:
        run = team.start("What is insulin of glands?")
        with pytest.raises(QueueFullError):
            team.start("What is a pulse?")
        path = tmp_path / "compllm.yaml"
        path.write_text(CLINIC + "limits: {runs: 2}\n")
        team.reload(load_team(path))
        other = team.start("What is insulin of glands?")
        gated.let("What")
        assert (await team.answer(run)).text == (await team.answer(other)).text == "WHAT IS INSULIN OF GLANDS?"


async def test_a_run_whose_answer_is_being_written_is_open(tmp_path: Path) -> None:
    gated = GatedFake("[1]")
    text = CLINIC + "limits: {runs: 1}\naggregator: {kind: model, model: two, checked: false}\n"
    plan = parse_plan("1. [heart] a heart?\n2. [heart] b heart?")
    async with team_of(tmp_path, text, two=gated) as team:
        async with aclosing(team.stream("?", plan=plan)) as events:
            async for stamped in events:
                if isinstance(stamped.event, ev.AggregationStarted):
                    break
            await anyio.wait_all_tasks_blocked()
            assert team.snapshot().open_runs == 1
            with pytest.raises(QueueFullError):
                team.start("?", plan=plan)
            gated.let("[1]")
            assert [each.event async for each in events][-1].kind == "run_completed"
        assert team.snapshot().open_runs == 0


async def test_a_model_that_was_dropped_comes_back_only_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "compllm.yaml"
    async with team_of(tmp_path) as team:
        for text in (RELOADED, CLINIC, RELOADED):
            path.write_text(text)
            team.reload(load_team(path))
        path.write_text(CLINIC)
        team.reload(load_team(path))
        path.write_text(RELOADED.replace("model: m}\nexperts", "model: other}\nexperts"))
        with pytest.raises(ConfigError, match=r"models\.three cannot change"):
            team.reload(load_team(path))


async def test_a_model_that_a_reload_adds_begins_with_the_footprint_measured_before(tmp_path: Path) -> None:
    path = tmp_path / "compllm.yaml"
    async with team_of(tmp_path) as team:
        path.write_text(CLINIC.replace("experts:", "  three: {backend: embedded, context_tokens: 512}\nexperts:"))
        added = make_backend(load_team(path), "three", team.settings)
        assert isinstance(added, EmbeddedBackend)
        team.journal.remember(f"footprint of {added.identity}", {"bytes": 123_456, "load_s": 2.5})
        team.reload(load_team(path))
        model = team._executor.scheduler.models["three"]
        assert (model.footprint_bytes, model.load_s) == (123_456, 2.5)


async def test_a_model_file_that_is_replaced_or_removed_meanwhile_costs_nothing_learned(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes())
    path = tmp_path / "compllm.yaml"
    path.write_text(CLINIC.replace("experts:", "  three: {backend: embedded, file: m.gguf}\nexperts:"))
    settings = Settings(tmp_path / "cache", tmp_path / "data")
    made = make_backend(load_team(path), "three", settings)
    assert isinstance(made, EmbeddedBackend)
    backends: dict[str, Backend] = {"one": FakeExpert(), "two": FakeExpert(), "three": made}
    before = made.identity
    async with Team(load_team(path), settings, backends=backends, encoder=WordEncoder()) as team:
        team._executor.scheduler.correct("three", 123_456, 2.5)
        file.unlink()
    with Journal(settings.journal_path) as journal:
        assert journal.recall(f"footprint of {before}") == {"bytes": 123_456, "load_s": 2.5}


async def test_a_reload_that_is_refused_has_changed_nothing(tmp_path: Path) -> None:
    def written(capacity_bytes: int, **contexts: int) -> TeamFile:
        models = "".join(f"  {name}: {{backend: embedded, context_tokens: {n}}}\n" for name, n in contexts.items())
        path = tmp_path / "compllm.yaml"
        path.write_text(
            CLINIC.replace("experts:", f"{models}experts:") + f"devices: {{cpu: {{capacity: {capacity_bytes}}}}}"
        )
        return load_team(path)

    settings = Settings(tmp_path / "cache", tmp_path / "data")
    made = make_backend(written(2**40, three=512), "three", settings)
    assert isinstance(made, EmbeddedBackend)
    room_bytes = 5 * made.estimated_footprint_bytes() // 2
    fakes = {"one": FakeExpert(), "two": FakeExpert()}
    team = Team(written(room_bytes, three=512), settings, backends={**fakes, "three": made}, encoder=WordEncoder())
    async with team:
        with pytest.raises(ModelTooLargeError, match="'five'"):
            team.reload(written(room_bytes, three=512, four=512, five=1_000_000))
        assert made.alone
        team.reload(written(room_bytes, three=512, four=512))
        assert not made.alone


async def test_a_missing_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    path = tmp_path / "compllm.yaml"
    path.write_text(CLINIC.replace("model: m, slots: 3", "model: m, api_key_env: NO_SUCH_KEY"))
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        Team(load_team(path), encoder=WordEncoder())
