"""Places: who has been overtaken too often, where."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.ledger import REMOTE, Model
from compllm.core.nodes import Node
from compllm.core.places import Place, Places
from compllm.core.routing import Candidate


def ready(order: int, model: str) -> Node:
    node = Node(("r", order), 1.0, (Candidate("e", model),), final=True, parents=())
    node.move("ready", 0.0)
    node.ready_order = order
    return node


@given(st.integers(0, 5), st.lists(st.integers(1, 30), unique=True, max_size=25), st.integers(1, 30))
def test_a_node_starves_after_as_many_younger_starts_as_allowed(bound: int, starts: list[int], order: int) -> None:
    place = Place(("cpu",), bound)
    for started in starts:
        place.note_start(started)
    assert place.has_starved(ready(order, "m")) == (sum(started > order for started in starts) >= bound)


def placed(models: Iterable[Model], max_overtakes: int) -> Places:
    places = Places(max_overtakes)
    for model in models:
        places.add(model)
    return places


def test_models_of_the_same_devices_share_a_place_and_remote_ones_have_their_own() -> None:
    models = {n: Model(n, devices=d) for n, d in {"a": ("x",), "b": ("x",), "c": ("x", "y"), "far": ()}.items()}
    places = placed(models.values(), 3)
    assert places.of("a") is places.of("b")
    assert places.of("a") is not places.of("c")
    assert [place.bound for place in (places.of("a"), places.of("c"))] == [3, 6]
    assert list(places.on("x", "")) == [places.of("a"), places.of("c")]
    assert list(places.on(REMOTE, "far")) == [places.of("far")]


def test_starts_on_a_shared_device_count_against_everyone_who_could_use_it() -> None:
    models = {n: Model(n, devices=d) for n, d in {"a": ("x",), "c": ("x", "y"), "z": ("y",)}.items()}
    places = placed(models.values(), 1)
    old = {name: ready(order, name) for order, name in enumerate(models, start=1)}
    for node in old.values():
        places.note_ready(node)
    places.note_start(ready(9, "a"), "x")
    assert places.starving("x", "") is old["a"]
    assert places.starving("y", "") is None  # c needs two starts, for it has two devices
    places.note_start(ready(10, "z"), "y")
    assert places.starving("y", "") is old["c"]  # older than z, which starves too
    old["c"].move("running", 1.0)
    assert places.starving("y", "") is old["z"]


@given(st.integers(1, 4), st.lists(st.integers(0, 30), max_size=60))
def test_the_oldest_of_a_place_is_never_overtaken_more_often_than_allowed(bound: int, choices: list[int]) -> None:
    """Whoever chooses whom, as long as only the starving one starts while there is one."""
    places = placed([Model("m", devices=("x",))], bound)
    waiting = [ready(order, "m") for order in range(1, 1 + len(choices))]
    for node in waiting:
        places.note_ready(node)
    overtaken = 0
    for choice in choices:
        node = places.starving("x", "") or waiting[choice % len(waiting)]
        overtaken = 0 if node is waiting[0] else overtaken + 1
        assert overtaken <= bound
        places.note_start(node, "x")
        waiting.remove(node)
        node.move("running", 1.0)


def test_a_starved_node_that_starts_uses_the_credit_up() -> None:
    places = placed([Model("m", devices=("x",)), Model("n", devices=("x",))], 2)
    nodes = [ready(order, "mn"[order % 2]) for order in range(1, 6)]
    for node in nodes:
        places.note_ready(node)
    for late in nodes[3:]:
        places.note_start(late, "x")
        late.move("running", 1.0)
    assert places.starving("x", "") is nodes[0]
    places.note_start(nodes[0], "x")
    nodes[0].move("running", 1.0)
    assert places.starving("x", "") is None  # the next oldest may be overtaken as often again


def test_a_younger_node_that_starts_in_spite_of_a_starving_one_leaves_it_its_turn() -> None:
    """As a replica does that was loaded for it."""
    places = placed([Model("m", devices=("x",))], 1)
    old, owed, late = nodes = [ready(order, "m") for order in (1, 2, 3)]
    for node in nodes:
        places.note_ready(node)
    for node in (late, owed):
        places.note_start(node, "x")
        node.move("running", 1.0)
    assert places.starving("x", "") is old
