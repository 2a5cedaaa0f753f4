"""The journal's runs as a workload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.routing import Assignment, Candidate
from compllm.core.workload import WorkNode
from compllm.errors import ConfigError
from compllm.journal import Journal
from compllm.simulation.record import record_workload

SECRET = "Who has cancer?"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "runs.sqlite3") as opened:
        yield opened


def assigned(*experts: str) -> Assignment:
    candidates = tuple(Candidate(expert, f"{expert}-model") for expert in experts)
    return Assignment(candidates, "given", 1.0, 1.0, passed=True, reason="")


def answer(expert: str, elapsed_s: float) -> SubAnswer:
    return SubAnswer(SECRET, expert, f"{expert}-model", elapsed_s=elapsed_s)


def record(journal: Journal, run: str, *happened: tuple[float, ev.Event], user: str = "", priority: int = 0) -> None:
    for at_s, event in ((0.0, ev.RunStarted(run, SECRET, "team", "rules", user, priority)), *happened):
        journal.record(run, ev.Stamped(at_s, event))


def test_a_run_keeps_its_graph_its_experts_and_its_timings(journal: Journal) -> None:
    record(
        journal,
        "r",
        (0.1, ev.NodeAdded("r", 1, SECRET, (), assigned("law"))),
        (0.3, ev.NodeAdded("r", 2, SECRET, (1,), assigned("law"), final=False)),
        (0.4, ev.PlanClosed("r")),
        (2.1, ev.NodeCompleted("r", 1, answer("law", 2.0))),
        (2.2, ev.NodeRouted("r", 2, SECRET, assigned("tax", "law"))),
        (5.2, ev.NodeCompleted("r", 2, answer("law", 3.0))),
        user="ann",
        priority=2,
    )
    (run,) = record_workload(journal, 10).runs
    assert (run.id, run.at_s, run.user, run.priority, run.closed_s) == ("r", 0.0, "ann", 2, 0.4)
    assert run.nodes == (
        WorkNode(1, (), "law", "law-model", 2.0, added_s=0.1),
        WorkNode(2, (1,), "law", "law-model", 3.0, added_s=0.3),
    )
    assert SECRET not in repr(run)


def test_a_node_without_an_answer_gets_the_mean_of_its_expert_or_of_all(journal: Journal) -> None:
    record(
        journal,
        "r",
        (0.0, ev.NodeAdded("r", 1, "?", (), assigned("law"))),
        (0.0, ev.NodeAdded("r", 2, "?", (), assigned("law"))),
        (0.0, ev.NodeAdded("r", 3, "?", (), assigned("tax"))),
        (0.0, ev.NodeAdded("r", 4, "?", (), assigned("art"))),
        (1.0, ev.NodeCompleted("r", 1, answer("law", 2.0))),
        (1.0, ev.NodeCompleted("r", 3, answer("tax", 4.0))),
    )
    assert [node.duration_s for node in record_workload(journal, 10).runs[0].nodes] == [2.0, 2.0, 4.0, 3.0]


def test_runs_are_in_order_of_their_start_and_only_the_latest_are_taken(journal: Journal) -> None:
    for name in ("r1", "r2", "r3"):
        record(journal, name, (0.0, ev.NodeAdded(name, 1, "?", (), assigned("law"))))
    first, second = record_workload(journal, 2).runs
    assert (first.id, second.id, first.at_s) == ("r2", "r3", 0.0)
    assert second.at_s >= 0.0


def test_a_run_or_a_node_that_nobody_may_answer_is_left_out(journal: Journal) -> None:
    record(journal, "r1")
    nobody = ev.NodeAdded("r2", 1, "?", (), assigned())
    record(journal, "r2", (0.0, nobody), (0.0, ev.NodeAdded("r2", 2, "?", (1,), assigned("law"))))
    (run,) = record_workload(journal, 10).runs
    assert [(node.id, node.parents) for node in run.nodes] == [(2, ())]


def test_a_journal_without_plans_is_said(journal: Journal) -> None:
    record(journal, "r")
    with pytest.raises(ConfigError, match="no run with a plan; ask something first"):
        record_workload(journal, 10)
