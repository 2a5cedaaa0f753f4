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
