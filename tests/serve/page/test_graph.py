"""Layers and the geometry of the drawing of a plan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.routing import Assignment, Candidate
from compllm.explain import NodeStory
from compllm.explain.lines import cells
from compllm.explain.story import NodeState
from compllm.serve.page.graph import BOX_HEIGHT, BOX_WIDTH, draw, layers

_PLANS = st.integers(0, 10).flatmap(
    lambda n: st.tuples(*(st.sets(st.integers(1, k)) if k else st.just(set[int]()) for k in range(n)))
)


def node(number: int, parents: tuple[int, ...] = (), text: str = "What?", state: NodeState = "waiting") -> NodeStory:
    chosen = Assignment((Candidate("heart", "one"),), "given", 1.0, 1.0, passed=True, reason="")
    return NodeStory(number, text, text, None, parents, chosen, "heart", "one", None, state, 0.0, None, None, None)


def test_a_node_stands_one_layer_behind_its_last_parent() -> None:
    assert layers({1: (), 2: (), 3: (1,), 4: (1, 3), 5: (2,)}) == ((1, 2), (3, 5), (4,))
    assert layers({}) == ()
    assert layers({7: (6,)}) == ((7,),)  # its parent is not known


def test_an_arrow_that_skips_a_layer_keeps_clear_of_the_boxes_in_it() -> None:
    drawing = draw([node(1), node(2, (1,)), node(3, (1, 2))])
    middle = next(box for box in drawing.boxes if box.node == 2)
    long = next(arrow for arrow in drawing.arrows if (arrow.parent, arrow.child) == (1, 3))
    at_middle = long.path.split("L")[1].split("C")[0].split()
    assert not middle.y <= float(at_middle[1]) <= middle.y + BOX_HEIGHT


def test_neighbours_are_ordered_so_that_arrows_do_not_cross() -> None:
    drawing = draw([node(1), node(2), node(3, (2,)), node(4, (1,))])
    y = {box.node: box.y for box in drawing.boxes}
    assert (y[1] < y[2]) == (y[4] < y[3])


def test_what_a_completed_node_passes_on_is_told_from_what_is_awaited() -> None:
    arrows = draw([node(1, state="completed"), node(2), node(3, (1, 2))]).arrows
    assert [arrow.is_done for arrow in arrows] == [True, False]


def test_texts_are_cut_to_their_box_and_kept_whole_in_the_title() -> None:
    text = "What is 中文 " * 20
    box = draw([node(1, text=text)]).boxes[0]
    assert cells(box.text) <= 23
    assert text in box.title


@given(_PLANS)
def test_boxes_keep_apart_and_within_the_drawing(plan: tuple[set[int], ...]) -> None:
    drawing = draw([node(at, tuple(sorted(parents))) for at, parents in enumerate(plan, start=1)])
    places = [(box.x, box.y) for box in drawing.boxes]
    assert [box.node for box in drawing.boxes] == list(range(1, len(plan) + 1))
    assert len(drawing.arrows) == sum(map(len, plan))
    for x, y in places:
        assert 0 <= x <= drawing.width - BOX_WIDTH
        assert 0 <= y <= drawing.height - BOX_HEIGHT
    for at, (x, y) in enumerate(places):
        for other_x, other_y in places[:at]:
            assert abs(x - other_x) >= BOX_WIDTH or abs(y - other_y) >= BOX_HEIGHT
    left = {box.node: box.x for box in drawing.boxes}
    assert all(left[arrow.parent] < left[arrow.child] for arrow in drawing.arrows)
