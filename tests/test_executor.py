"""The executor on fake backends: loads, evictions, leases, crashes, cancellation and shutdown."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TypedDict

import anyio
import pytest

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.health import Backoff
from compllm.core.learning import DEFAULT_TOKENS
from compllm.core.ledger import Device, Model
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import ExpertError, ExpertLoadError, ExpertOutOfMemoryError
from compllm.executor import Executor
from compllm.experts.base import ChatRequest, LoadReport, Message
from compllm.experts.fake import FakeExpert
from compllm.run import Run
from tests.wiring import GatedFake, ScriptedPlanner, answer_of, lab, notes, of, questions, router, told

pytestmark = pytest.mark.anyio


class Room(TypedDict):
    bytes_each: int
    capacity_bytes: int


ONE = Room(bytes_each=100, capacity_bytes=150)
BOTH = Room(bytes_each=100, capacity_bytes=200)


def residency(events: list[ev.Event]) -> list[str]:
    """Return loads and evictions in order, as `+model` and `-model`."""
    signs = {ev.ModelLoaded: "+", ev.ModelEvicted: "-"}
    return [signs[type(e)] + e.model for e in events if isinstance(e, ev.ModelLoaded | ev.ModelEvicted)]


async def until_started(run: Run, *nodes: int) -> list[ev.Event]:
    """Read events until these nodes have started and are blocked."""
    waiting, seen = set(nodes), []
    while waiting:
        stamped = await run.events.receive()
        seen.append(stamped.event)
        if isinstance(stamped.event, ev.NodeStarted):
            waiting.discard(stamped.event.node)
    await anyio.wait_all_tasks_blocked()
    return seen


async def rest_of(run: Run) -> list[ev.Event]:
    return [event async for event in told(run)]


class GatedLoad(FakeExpert):
    """Takes until its gate is opened to load."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()

    async def load(self) -> LoadReport:
        await self.gate.wait()
        return await super().load()


class Silent:
    """A run without nodes."""

    async def resolve(self, node: int) -> ev.NodeRouted:
        raise NotImplementedError

    async def answer(self, command: ev.RunNode) -> SubAnswer:
        raise NotImplementedError

    def notify(self, event: ev.Event) -> None:
        """Nothing to note."""


# --- residency -------------------------------------------------------------------------------------------------------


async def test_a_model_is_loaded_when_it_is_first_needed_and_stays() -> None:
    a, b = FakeExpert(footprint_bytes=100), FakeExpert(footprint_bytes=100)
    async with lab({"a": a, "b": b}, **BOTH) as team:
        first = await team.ask("1. [a] x")
        second = await team.ask("1. [a] y")
    assert (residency(first), residency(second)) == (["+a"], [])
    assert [type(event) for event in first if getattr(event, "model", "") == "a"][:2] == [
        ev.ModelLoading,
        ev.ModelLoaded,
    ]
    assert (a.loads, a.evictions, b.loads) == (1, 1, 0)


async def test_one_replica_at_a_time_is_evicted_and_loaded_again() -> None:
    fakes = {"a": FakeExpert(footprint_bytes=100), "b": FakeExpert(footprint_bytes=100)}
    async with lab(fakes, **ONE) as team:
        events = await team.ask("1. [a] x\n2. [b] #1 y\n3. [a] #2 z")
    assert residency(events) == ["+a", "-a", "+b", "-b", "+a"]
    assert questions(fakes["a"]) == ["x", "x y z"]
    assert len(of(ev.NodeCompleted, events)) == 3


async def test_a_busy_replica_is_not_evicted_for_another_model() -> None:
    a, b = GatedFake("x"), FakeExpert(footprint_bytes=100)
    a.footprint_bytes = 100
    async with lab({"a": a, "b": b}, **ONE) as team:
        run = team.start("1. [a] x\n2. [b] y")
        seen = await until_started(run, 1)
        assert (a.loaded, b.loads) == (True, 0)
        a.let("x")
        seen += await rest_of(run)
    assert residency(seen) == ["+a", "-a", "+b"]


async def test_the_footprint_is_the_one_that_was_measured() -> None:
    async with lab({"a": FakeExpert(footprint_bytes=70)}, **BOTH) as team:
        await team.ask("1. x")
        assert team.executor.scheduler.ledger.free_bytes("cpu") == 130


# --- leases ----------------------------------------------------------------------------------------------------------


async def test_a_lease_loads_counts_as_use_and_gives_way_afterwards() -> None:
    fakes = {"a": FakeExpert(footprint_bytes=100), "b": FakeExpert(footprint_bytes=100)}
    async with lab(fakes, **ONE) as team:
        ledger = team.executor.scheduler.ledger
        async with team.executor.lease("a", "planner"):
            replica = ledger.get("a")
            assert replica is not None
            assert len(replica.leases) == 1
            run = team.start("1. [b] x")
            await anyio.wait_all_tasks_blocked()
            assert (fakes["a"].loaded, fakes["b"].loads) == (True, 0)
        events = await rest_of(run)
        assert residency(events)[-2:] == ["-a", "+b"]
        async with team.executor.lease("a", "aggregator"):
            assert (fakes["a"].loaded, fakes["b"].loaded) == (True, False)


async def test_a_lease_has_the_terms_of_its_run_until_that_ends_and_is_charged_its_tokens() -> None:
    def writer_runs() -> list[tuple[str, int, float]]:
        runs = team.executor.scheduler.graph.runs.values()
        return [(run.user, run.priority, run.deadline_s) for run in runs if run.id.startswith("writer")]

    async with lab({"a": FakeExpert()}) as team:
        deadline_s = time.monotonic() + 60.0
        team.executor.open_run("r", Silent(), ev.RunOpened("r", "ann", 3, deadline_s, goes_on=True))
        team.executor.dispatch(ev.PlanClosed("r"))
        assert not team.executor.is_open("r")
        async with team.executor.lease("a", "writer", "r") as backend:
            assert writer_runs() == [("ann", 3, deadline_s)]
            async for _ in backend.stream(ChatRequest((Message("user", "one two three"),))):
                pass
        await anyio.wait_all_tasks_blocked()
        assert team.executor.scheduler.shares.spent("ann") == (DEFAULT_TOKENS, 0.0)  # charged at the start
        async with team.executor.lease("a", "writer", "r") as backend:
            pass
        await anyio.wait_all_tasks_blocked()
        assert team.executor.scheduler.shares.spent("ann") == (DEFAULT_TOKENS + 3 + 2 * 3, 0.0)
        team.executor.end_run("r")
        async with team.executor.lease("a", "writer", "r"):
            assert writer_runs() == [("", 0, math.inf)]


async def test_leases_share_the_slots_of_a_replica() -> None:
    async with lab({"a": FakeExpert()}, slots=1) as team:
        async with team.executor.lease("a", "one"):
            with anyio.move_on_after(0.01) as scope:
                async with team.executor.lease("a", "two"):
                    pytest.fail("two leases of one slot")
            assert scope.cancelled_caught
        async with team.executor.lease("a", "three"):
            pass
        await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("reason", ["no such file", ""])
async def test_a_refused_lease_says_why(reason: str) -> None:
    fake = FakeExpert(load_failures={1: ExpertLoadError(reason)})
    async with lab({"a": fake}, **ONE) as team:
        with pytest.raises(ExpertError) as refusal:
            async with team.executor.lease("a", "planner"):
                pytest.fail("granted")
        assert str(refusal.value) == reason


async def test_a_lease_whose_holder_gives_up_waiting_ends() -> None:
    fake = GatedLoad()
    async with lab({"a": fake}, **ONE) as team:
        with anyio.move_on_after(0.01):
            async with team.executor.lease("a", "planner"):
                pytest.fail("granted before it was loaded")
        assert not team.executor._runs
        fake.gate.set()
        assert answer_of(await team.ask("1. x")) == "x"


async def test_a_lease_that_its_model_did_not_survive_does_not_load_it_again() -> None:
    fake = FakeExpert()
    async with lab({"a": fake}, rules=Rules(backoff=Backoff(first_s=30, longest_s=30)), **ONE) as team:
        async with team.executor.lease("a", "planner"):
            fake.crash("killed")
            await anyio.wait_all_tasks_blocked()
        assert not team.executor._runs
        assert not [node for node in team.executor.scheduler.graph if not node.ended]
        assert fake.loads == 1


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_crash_in_the_middle_of_an_answer_is_tried_again() -> None:
    fake = FakeExpert(hang=True)
    async with lab({"a": fake}, **ONE) as team:
        run = team.start("1. x")
        seen = await until_started(run, 1)
        fake.hang = False
        fake.crash("killed by the kernel")
        seen += await rest_of(run)
    assert answer_of(seen) == "x"
    assert [event.reason for event in of(ev.NodeFailed, seen)] == ["killed by the kernel"]
    assert [event.reason for event in of(ev.ModelCrashed, seen)] == ["killed by the kernel"]
    assert [event.attempt for event in of(ev.NodeStarted, seen)] == [1, 2]
    assert [event.attempt for event in of(ev.NodeCompleted, seen)] == [2]
    assert fake.loads == 2


async def test_a_crash_while_nothing_runs_is_found_before_the_next_question() -> None:
    fake = FakeExpert()
    async with lab({"a": fake}, **ONE) as team:
        await team.ask("1. x")
        fake.crash("killed")
        await anyio.wait_all_tasks_blocked()
        assert team.executor.scheduler.ledger.get("a") is None
        assert answer_of(await team.ask("1. y")) == "y"
    assert fake.loads == 2


async def test_a_crash_at_the_moment_of_its_eviction_is_an_eviction() -> None:
    fakes = {"a": FakeExpert(footprint_bytes=100), "b": FakeExpert(footprint_bytes=100)}
    async with lab(fakes, **ONE) as team:
        await team.ask("1. [a] x")
        await anyio.wait_all_tasks_blocked()

        async def ask_for_b() -> None:
            async with team.executor.lease("b", "planner"):
                pass

        fakes["a"].crash("killed")  # its watch wakes only after the lease has begun the eviction
        await ask_for_b()
        assert answer_of(await team.ask("1. [a] y")) == "y"


async def test_an_open_breaker_sends_the_node_to_the_next_expert() -> None:
    rules = Rules(backoff=Backoff(first_s=0.001, breaker_failures=3, breaker_s=30))
    broken = FakeExpert(load_failures={n: ExpertLoadError("busy", retryable=True) for n in range(1, 99)})
    async with lab({"a": broken, "b": FakeExpert()}, rules=rules, **BOTH) as team:
        events = await team.ask("1. [a] x")
        again = await team.ask("1. [a] y")
    assert broken.loads == 3
    assert [event.expert for event in of(ev.NodeStarted, events + again)] == ["b", "b"]


async def test_a_load_that_cannot_work_fails_over_at_once() -> None:
    broken = FakeExpert(load_failures={1: ExpertLoadError("no such file")})
    async with lab({"a": broken, "b": FakeExpert()}, **BOTH) as team:
        events = await team.ask("1. [a] x")
    assert broken.loads == 1
    assert of(ev.ModelLoadFailed, events)[0].reason == "no such file"
    assert of(ev.NodeCompleted, events)[0].answer.expert == "b"


async def test_a_load_that_raises_anything_is_reported() -> None:
    broken = FakeExpert(load_failures={1: ZeroDivisionError("by zero")})
    async with lab({"a": broken}, **ONE) as team:
        events = await team.ask("1. x")
    assert of(ev.ModelLoadFailed, events)[0].reason == "ZeroDivisionError: by zero"
    assert isinstance(events[-1], ev.RunFailed)


class Stubborn(FakeExpert):
    """Cannot be evicted, or not be watched, without an error."""

    def __init__(self, *, unwatched: bool = False) -> None:
        super().__init__(footprint_bytes=100)
        self.unwatched = unwatched

    async def evict(self) -> None:
        was_loaded = self.loaded
        await super().evict()
        if was_loaded:
            raise ProcessLookupError("it is gone")

    async def crashed(self) -> str:
        if self.unwatched:
            self.unwatched = False
            raise ConnectionError("nobody there")
        return await super().crashed()


async def test_an_eviction_that_raises_is_reported_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    fakes = {"a": Stubborn(), "b": FakeExpert(footprint_bytes=100), "c": Stubborn()}
    async with lab(fakes, bytes_each=100, capacity_bytes=250) as team:
        events = await team.ask("1. [a] x\n2. [b] #1 y\n3. [c] #2 z")
    assert residency(events) == ["+a", "+b", "-a", "+c"]
    assert of(ev.RunCompleted, events)[0].gaps == ()
    assert (fakes["b"].evictions, fakes["c"].evictions) == (1, 1)  # on leaving
    assert [record.message for record in caplog.records] == ["an eviction failed"] * 2


async def test_a_model_that_cannot_be_watched_is_evicted_and_loaded_again() -> None:
    fakes = {"a": Stubborn(unwatched=True)}
    async with lab(fakes, **ONE) as team:
        events = await team.ask("1. [a] x")
    assert of(ev.ModelCrashed, events)[0].reason == "ConnectionError: nobody there"
    assert answer_of(events) == "x"
    assert (fakes["a"].loads, fakes["a"].evictions) == (2, 2)


async def test_running_out_of_memory_corrects_the_footprint_and_tries_again() -> None:
    fakes = {
        "a": FakeExpert(footprint_bytes=110, load_failures={1: ExpertOutOfMemoryError("too large")}),
        "b": FakeExpert(footprint_bytes=100),
    }
    async with lab(fakes, bytes_each=100, capacity_bytes=210) as team:
        await team.ask("1. [b] x")
        events = await team.ask("1. [a] y")
    assert of(ev.ModelLoadFailed, events)[0].needed_bytes == 125
    assert residency(events) == ["-b", "+a"]
    assert answer_of(events) == "y"


async def test_a_model_that_turns_out_too_large_fails_over() -> None:
    oom = {n: ExpertOutOfMemoryError("too large") for n in range(1, 9)}
    fakes = {"a": FakeExpert(load_failures=oom), "b": FakeExpert(footprint_bytes=100)}
    async with lab(fakes, bytes_each=100, capacity_bytes=120) as team:
        events = await team.ask("1. [a] x")
    assert fakes["a"].loads == 1
    assert of(ev.NodeCompleted, events)[0].answer.expert == "b"


async def test_a_load_that_brings_more_than_fits_is_evicted_at_once() -> None:
    fakes = {"a": FakeExpert(footprint_bytes=500), "b": FakeExpert(footprint_bytes=100)}
    async with lab(fakes, **ONE) as team:
        events = await team.ask("1. [a] x")
    assert residency(events) == ["+a", "-a", "+b"]
    assert of(ev.NodeCompleted, events)[0].answer.expert == "b"


async def test_an_error_of_any_kind_is_a_failed_node() -> None:
    fakes = {"a": FakeExpert(failures={1: KeyError("x")}), "b": FakeExpert()}
    async with lab(fakes) as team:
        events = await team.ask("1. [alone] x")
        assert isinstance(events[-1], ev.RunFailed)
        assert events[-1].reason == "KeyError: 'x'"


async def test_a_retryable_error_is_tried_again_and_another_is_not() -> None:
    shaky = FakeExpert(failures={1: ExpertError("busy", retryable=True)})
    refusing = FakeExpert(failures={1: ExpertError("never", retryable=False)})
    async with lab({"a": shaky, "b": refusing}) as team:
        tried_again = await team.ask("1. [a] x")
        failed_over = await team.ask("1. [b] y")
    assert [event.expert for event in of(ev.NodeStarted, tried_again)] == ["a", "a"]
    assert [event.expert for event in of(ev.NodeStarted, failed_over)] == ["b", "a"]


async def test_a_node_that_nobody_may_answer_is_given_up() -> None:
    async with lab({"a": FakeExpert()}) as team:
        events = await team.ask("1. [nobody] x\n2. y")
        assert [event.reason for event in of(ev.NodeGivenUp, events)] == ["no expert may answer"]
        assert "Not answered: x (no expert may answer)" in answer_of(events)


# --- cancellation and shutdown ---------------------------------------------------------------------------------------


async def test_cancelling_during_a_load_ends_the_run_and_keeps_the_replica() -> None:
    fake = GatedLoad()
    async with lab({"a": fake}, **ONE) as team:
        run = team.start("1. x")
        await anyio.wait_all_tasks_blocked()
        run.cancel("enough")
        events = await rest_of(run)
        assert isinstance(events[-1], ev.RunFailed)
        assert events[-1].reason == "cancelled: enough"
        assert not fake.loaded
        fake.gate.set()
        assert answer_of(await team.ask("1. y")) == "y"
    assert fake.loads == 1


async def test_leaving_with_runs_in_flight_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    running, loading = FakeExpert(hang=True), FakeExpert(load_s=60)
    models = [Model(name, 10, 4, devices=("cpu",)) for name in ("a", "b")]
    executor = Executor(Scheduler(models, [Device("cpu", 100, 8)]), {"a": running, "b": loading})
    async with lab({"a": FakeExpert()}) as team:  # lends its parts
        async with executor:
            team.executor, mine = executor, team.executor
            runs = [team.start("1. [a] x\n2. [a] y"), team.start(ScriptedPlanner([anyio.Event()]))]
            team.route = router(b="b")
            runs.append(team.start("1. z"))
            team.executor = mine
            await anyio.wait_all_tasks_blocked()
            assert (running.open_streams, loading.loads) == (2, 1)
        for run in runs:
            await rest_of(run)
    assert (running.open_streams, running.loaded, running.evictions) == (0, False, 1)
    assert asyncio.all_tasks() == before


async def test_an_error_inside_still_evicts_everything() -> None:
    fake = FakeExpert()

    async def fail() -> None:
        async with lab({"a": fake}, **ONE) as team:
            await team.ask("1. x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (fake.loaded, fake.evictions) == (False, 1)


# --- several runs ----------------------------------------------------------------------------------------------------


async def test_runs_share_a_replica_and_get_only_their_own_events() -> None:
    fake = FakeExpert(load_s=0.01)
    async with lab({"a": fake}, slots=3, **ONE) as team:
        runs = [team.start(f"1. x{n}\n2. #1 y\n3. z") for n in range(5)]
        streams = [await rest_of(run) for run in runs]
    assert fake.loads == 1
    assert fake.max_open_streams == 3
    for run, events in zip(runs, streams, strict=True):
        assert {getattr(event, "run", run.id) for event in events} == {run.id}
        assert len(of(ev.ModelLoaded, events)) == 1
        assert len(of(ev.NodeCompleted, events)) == 3
        assert not notes(events)


async def test_a_load_report_may_come_before_anything_else_happens() -> None:
    class Instant(FakeExpert):
        async def load(self) -> LoadReport:
            self.loaded = True
            return LoadReport(0, 0.0)

    async with lab({"a": Instant()}, **ONE) as team:
        assert answer_of(await team.ask("1. x")) == "x"


async def test_many_steps_on_few_slots_all_end() -> None:
    fake = FakeExpert()
    async with lab({"a": fake}, slots=2) as team:
        events = await team.ask("\n".join(f"{n}. x{n}" for n in range(1, 33)))
    assert len(of(ev.NodeCompleted, events)) == 32
    assert fake.max_open_streams == 2
