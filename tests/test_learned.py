"""What a team has learned survives it."""

from __future__ import annotations

from pathlib import Path

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.ledger import Device, Model
from compllm.core.scheduler import Scheduler
from compllm.journal import Journal
from compllm.learned import Learned
from tests.core.test_scheduler import assigned

IDENTITY = {"a": "weights.gguf context 2048 slots 4"}


def scheduler() -> Scheduler:
    return Scheduler([Model("a", 8, devices=("cpu",))], [Device("cpu", 10)])


def test_durations_and_footprints_are_there_in_the_next_life(tmp_path: Path) -> None:
    with Journal(tmp_path / "runs.sqlite3") as journal:
        first = scheduler()
        first.handle(ev.NodeAdded("r", 1, "?", (), assigned("a")), 0.0)
        first.handle(ev.ModelLoaded("a", "cpu", 6, 2.5), 1.0)
        first.handle(ev.NodeCompleted("r", 1, SubAnswer("yes", "e", "a", (), 9, 9, 0.5, 4.0)), 5.0)
        Learned(journal, "team", first).remember(IDENTITY)
        second = scheduler()
        Learned(journal, "team", second).recall(IDENTITY)
    assert second.estimates.duration_s("expert-a") == 4.0
    assert (second.models["a"].footprint_bytes, second.models["a"].load_s) == (6, 2.5)


def test_a_footprint_holds_for_its_context_and_slots_alone(tmp_path: Path) -> None:
    with Journal(tmp_path / "runs.sqlite3") as journal:
        first = scheduler()
        first.handle(ev.NodeAdded("r", 1, "?", (), assigned("a")), 0.0)
        first.handle(ev.ModelLoaded("a", "cpu", 6, 2.5), 1.0)
        Learned(journal, "team", first).remember(IDENTITY)
        other = scheduler()
        Learned(journal, "team", other).recall({"a": "weights.gguf context 4096 slots 4"})
    assert other.models["a"].footprint_bytes == 8


def test_what_was_never_measured_is_not_remembered(tmp_path: Path) -> None:
    with Journal(tmp_path / "runs.sqlite3") as journal:
        Learned(journal, "team", scheduler()).remember(IDENTITY)
        assert journal.recall("footprint of weights.gguf context 2048 slots 4") is None


def test_what_running_out_of_memory_suggests_is_not_remembered(tmp_path: Path) -> None:
    """It may be true of this hour only; what was measured before is kept."""
    with Journal(tmp_path / "runs.sqlite3") as journal:
        for measured_bytes in (None, 6):
            one = scheduler()
            if measured_bytes is not None:
                one.correct("a", measured_bytes, 2.5)
            one.handle(ev.NodeAdded("r", 1, "?", (), assigned("a")), 0.0)
            one.handle(ev.ModelLoadFailed("a", "cpu", "out of memory", retryable=True, needed_bytes=9), 1.0)
            assert one.models["a"].footprint_bytes == 9
            Learned(journal, "team", one).remember(IDENTITY)
            kept = Learned(journal, "team", scheduler()).footprints(IDENTITY)
            assert kept == ({} if measured_bytes is None else {"a": (6, 2.5)})
