"""Users, priorities, deadlines and admission, as the scheduler honours them."""

from __future__ import annotations

import pytest

from compllm.core import events as ev
from compllm.core.answers import SubAnswer
from compllm.core.events import FinishRun, GiveUpNode
from compllm.core.ledger import Device, Model
from compllm.core.rules import Rules
from compllm.core.scheduler import Scheduler
from compllm.errors import QueueFullError
from tests.core.test_scheduler import Bench, local, run


def open_run(bench: Bench, name: str, user: str = "", priority: int = 0, deadline_s: float | None = None) -> None:
    bench.send(ev.RunOpened(name, user, priority, deadline_s))


def order_of(bench: Bench, running: tuple[str, int], count: int, tokens: dict[str, int]) -> list[str]:
    """Complete what runs, one after another; return whose runs were served."""
    served = []
    for _ in range(count):
        name, node = running
        answer = SubAnswer("yes", "e", "m", (), 0, tokens[name], 0.1, 1.0)
        commands = bench.send(ev.NodeCompleted(name, node, answer))
        started = [c for c in commands if isinstance(c, ev.RunNode)]
        if not started:
            break
        running = (started[0].run, started[0].node)
        served.append(running[0])
    return served


def test_a_user_who_asks_for_much_does_not_delay_one_who_asks_for_little() -> None:
    bench = Bench(Model("far", slots=1))
    open_run(bench, "many", "greedy")
    for node in range(1, 21):
        bench.add(node, "far", run="many")
    open_run(bench, "few", "modest")
    for node in (1, 2):
        bench.add(node, "far", run="few")
    assert order_of(bench, ("many", 1), 4, {"many": 32, "few": 32}) == ["many", "few", "many", "few"]


def test_who_asks_in_the_name_of_many_gets_no_more() -> None:
    bench = Bench(Model("far", slots=1))
    for number in range(10):
        open_run(bench, f"ann{number}", f"ann/user{number}")
        for node in range(1, 11):
            bench.add(node, "far", run=f"ann{number}")
    open_run(bench, "bob", "bob")
    for node in range(1, 41):
        bench.add(node, "far", run="bob")
    runs = dict.fromkeys(("bob", *(f"ann{number}" for number in range(10))), 32)
    served = order_of(bench, ("ann0", 1), 60, runs)
    assert 28 <= served.count("bob") <= 32
    by_user = [served.count(f"ann{number}") for number in range(10)]
    assert max(by_user) - min(by_user) <= 1


def test_shares_are_by_tokens_and_not_by_nodes() -> None:
    """An answer of `long` costs four times one of `short`, so `short` gets about four for each."""
    bench = Bench(Model("far", slots=1))
    for name in ("long", "short"):
        open_run(bench, name, name)
    for node in range(1, 101):
        bench.add(node, "far", run="long")
        bench.add(node, "far", run="short")
    served = order_of(bench, ("long", 1), 60, {"long": 200, "short": 50})
    assert 3.0 < served[10:].count("short") / served[10:].count("long") < 5.0


def test_a_load_is_charged_to_the_user_whose_node_asked_for_it() -> None:
    bench = Bench(local("a"))
    open_run(bench, "r", "asker")
    bench.add(1, "a")
    bench.send(ev.ModelLoaded("a", "cpu", 4, 3.0))
    default = bench.scheduler.estimates.tokens("expert-a")
    assert bench.scheduler.shares.spent("asker") == (bench.scheduler.estimates.load_tokens("a", 3.0) + default, 0.0)


def test_a_higher_priority_goes_first_whoever_asks() -> None:
    bench = Bench(Model("far", slots=1))
    open_run(bench, "normal", "u")
    bench.add(1, "far", run="normal", s=9.0)
    bench.add(2, "far", run="normal", s=9.0)
    open_run(bench, "urgent", "u", priority=1)
    bench.add(1, "far", run="urgent", s=0.1)
    assert bench.done(1, run="normal") == [run(1, "far", of="urgent", device="remote")]


TOO_LATE = "it can no longer be answered before the deadline"


def teach(bench: Bench, model: str, *lasted_s: float, device: str = "remote") -> None:
    """Have the model's expert answer several times, each in so many seconds."""
    for number, elapsed_s in enumerate(lasted_s):
        name = f"lesson{number}"
        assert bench.add(1, model, run=name) == [run(1, model, of=name, device=device)]
        bench.now_s += elapsed_s
        bench.send(ev.NodeCompleted(name, 1, SubAnswer("yes", "e", "m", (), 10, 10, 0.1, elapsed_s)))
        bench.send(ev.PlanClosed(name))


def test_a_node_that_cannot_end_before_the_deadline_is_not_started() -> None:
    bench = Bench(Model("far", slots=1))
    teach(bench, "far", 5.0, 6.0)
    open_run(bench, "late", deadline_s=bench.now_s + 4.0)
    assert bench.add(1, "far", run="late") == [GiveUpNode("late", 1, TOO_LATE)]
    open_run(bench, "early", deadline_s=bench.now_s + 5.0)
    assert bench.add(1, "far", run="early") == [run(1, "far", of="early", device="remote")]


def test_one_slow_answer_is_not_enough_to_refuse_others() -> None:
    bench = Bench(Model("far", slots=1))
    teach(bench, "far", 5.0)
    open_run(bench, "r", deadline_s=bench.now_s + 4.0)
    assert bench.add(1, "far") == [run(1, "far", device="remote")]


def test_after_a_refusal_another_node_may_show_that_answers_have_become_faster() -> None:
    bench = Bench(Model("far", slots=1))
    teach(bench, "far", 5.0, 5.0)
    for name in "abcd":
        open_run(bench, name, deadline_s=bench.now_s + 4.0)
    assert bench.add(1, "far", run="a") == [GiveUpNode("a", 1, TOO_LATE)]
    assert bench.add(1, "far", run="b") == [run(1, "far", of="b", device="remote")]
    assert bench.failed(1, run="b") == [GiveUpNode("b", 1, "no")]  # nothing was learned
    assert bench.add(1, "far", run="c") == [GiveUpNode("c", 1, TOO_LATE)]
    assert bench.add(1, "far", run="d") == [run(1, "far", of="d", device="remote")]
    bench.now_s += 1.0
    bench.send(ev.NodeCompleted("d", 1, SubAnswer("yes", "e", "m", (), 10, 10, 0.1, 1.0)))
    for name in "ef":
        open_run(bench, name, deadline_s=bench.now_s + 4.0)
        assert bench.add(1, "far", run=name) == [run(1, "far", of=name, device="remote")]
        bench.failed(1, run=name)


def test_after_its_deadline_no_node_is_started_to_learn_from() -> None:
    bench = Bench(Model("far", slots=1))
    for name in "ab":
        open_run(bench, name, deadline_s=1.0)
    bench.now_s = 2.0
    for name in "ab":
        assert bench.add(1, "far", run=name) == [GiveUpNode(name, 1, TOO_LATE)]


def test_what_is_left_until_a_deadline_counts_as_more_on_a_faster_device() -> None:
    model = Model("m", 4, devices=("gpu",))
    bench = Bench(model)
    bench.scheduler = Scheduler([model], [Device("gpu", 10, speed=4.0)])
    bench.add(1, "m")
    bench.loaded("m", device="gpu")
    bench.done(1)
    teach(bench, "m", 1.0, 1.0, device="gpu")
    open_run(bench, "soon", deadline_s=bench.now_s + 1.0)
    assert bench.add(1, "m", run="soon") == [run(1, "m", of="soon", device="gpu")]


def test_more_runs_than_allowed_are_refused_and_nothing_changes() -> None:
    bench = Bench(Model("far"), rules=Rules(max_runs=1))
    open_run(bench, "r")
    with pytest.raises(QueueFullError, match="1 runs are open, and no more are taken at once; ask again later"):
        open_run(bench, "s")
    bench.send(ev.RunOpened("r:planner", part_of="r"))  # work for an open run is never refused
    bench.send(ev.PlanClosed("r:planner"))
    assert bench.close("r") == [FinishRun("r")]
    open_run(bench, "s")


def test_a_run_that_goes_on_counts_as_open_until_its_end_is_told() -> None:
    bench = Bench(Model("far"), rules=Rules(max_runs=1))
    bench.send(ev.RunOpened("r", goes_on=True))
    assert bench.close("r") == [FinishRun("r")]
    with pytest.raises(QueueFullError):
        open_run(bench, "s")
    bench.scheduler.admission.end("r")
    open_run(bench, "s")


def test_work_for_a_run_goes_by_its_own_terms_when_the_nodes_have_ended() -> None:
    bench = Bench(Model("far", slots=1))
    open_run(bench, "r", "ann", 3)
    assert bench.close("r") == [FinishRun("r")]
    for node in (1, 2, 3):
        bench.add(node, "far", run="backlog")
    bench.send(ev.RunOpened("writer", "ann", 3, part_of="r"))
    bench.add(1, "far", run="writer")
    assert bench.done(1, run="backlog") == [run(1, "far", of="writer", device="remote")]


def test_a_batch_is_filled_whatever_was_measured() -> None:
    bench = Bench(Model("a", 4, slots=3, devices=("cpu",), curve=(1.0, 1.6, 1.2)))
    for node in (1, 2, 3):
        bench.add(node, "a")
    assert bench.loaded("a") == [run(1, "a"), run(2, "a"), run(3, "a")]


def test_models_that_disturb_each_other_take_turns() -> None:
    """Two computing replicas leave each 40 % of its speed: side by side they get less done than one."""
    bench = Bench(local("a", slots=2), local("b", slots=2), cores=4)
    bench.scheduler.estimates.restore({"corun": {"cpu": [2, 0.4]}})
    for name in "ab":
        bench.add(1, name, run=name)
    bench.loaded("a")
    assert bench.loaded("b") == []
    assert bench.done(1, run="a") == [run(1, "b", of="b")]


def test_a_replica_is_started_beside_another_for_all_that_waits_for_it() -> None:
    """One request beside a full batch would cost more than it brings; a batch of its own does not."""
    curve = (1.0, 2.0, 3.0)
    models = [Model(name, 4, slots=3, devices=("cpu",), curve=curve) for name in "ab"]
    for waiting, started in ((1, 0), (3, 3)):
        bench = Bench(*models, cores=4)
        bench.scheduler.estimates.restore({"corun": {"cpu": [2, 0.55]}})
        for node in (1, 2, 3):
            bench.add(node, "a", run="a")
        for node in range(1, waiting + 1):
            bench.add(node, "b", run="b")
        bench.loaded("a")
        assert len(bench.loaded("b")) == started


def test_a_long_backlog_takes_one_start_in_so_many_from_a_higher_priority() -> None:
    bench = Bench(Model("far", slots=1), rules=Rules(max_overtakes=3))
    open_run(bench, "batch")
    for node in range(30):
        bench.add(node, "far", run="batch")
    running, served = ("batch", 0), []
    for number in range(20):
        open_run(bench, f"chat{number}", priority=1)
        bench.add(1, "far", run=f"chat{number}")
        (started,) = bench.done(running[1], run=running[0])
        assert isinstance(started, ev.RunNode)
        running = (started.run, started.node)
        served.append(started.run[:4])
    assert served == ["chat", "chat", "chat", "batc"] * 5


def test_a_newcomer_and_one_who_waits_are_served_in_turn_whatever_a_third_was_served() -> None:
    bench = Bench(Model("far", slots=1))
    for name, priority in (("first", 0), ("heavy", 1)):
        open_run(bench, name, name, priority)
        for node in range(1, 31):
            bench.add(node, "far", run=name)
    tokens = dict.fromkeys(("first", "heavy", "late"), 32)
    assert order_of(bench, ("first", 1), 30, tokens) == ["heavy"] * 30
    open_run(bench, "late", "late")
    for node in range(1, 31):
        bench.add(node, "far", run="late")
    assert sorted(order_of(bench, ("heavy", 30), 20, tokens)) == ["first"] * 10 + ["late"] * 10
