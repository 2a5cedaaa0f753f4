"""Draws a plan as layers from left to right: pure geometry, in the pixels of the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from compllm.explain import NodeStory
from compllm.explain.lines import clip

BOX_WIDTH, BOX_HEIGHT = 208, 60
_COLUMN, _ROW, _MARGIN = BOX_WIDTH + 52, BOX_HEIGHT + 16, 4
_LABEL_CELLS, _TEXT_CELLS = 20, 23

Layers: TypeAlias = tuple[tuple[int, ...], ...]
# A place in a column: `(node,)` for a node, `(parent, child, column)` where an arrow passes by.
_Slot: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A node in the drawing; `x` and `y` are its upper left corner."""

    node: int
    x: float
    y: float
    state: str
    label: str
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """An answer on its way from parent to child; `path` is in the language of SVG's `d`."""

    parent: int
    child: int
    path: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plan, drawn."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    box_width: float = BOX_WIDTH
    box_height: float = BOX_HEIGHT


def layers(parents: Mapping[int, Sequence[int]]) -> Layers:
    """Return the nodes by the length of the longest path that leads to them; parents stand before their children.

    Parents that are not among the nodes are left out.
    """
    depth: dict[int, int] = {}
    for node, needed in parents.items():
        depth[node] = max((depth[parent] + 1 for parent in needed if parent in depth), default=0)
    deepest = max(depth.values(), default=-1)
    return tuple(tuple(node for node in depth if depth[node] == level) for level in range(deepest + 1))


def draw(nodes: Sequence[NodeStory]) -> Drawing:
    """Lay out the nodes of a plan, parents first, as layered drawings are (Sugiyama, Tagawa and Toda 1981).

    Arrows that skip a layer keep a place in it, and each layer is ordered by the mean place of its neighbours.
    O((nodes + arrows * layers) * log).
    """
    stories = {story.node: story for story in nodes}
    chains = _chains({story.node: story.parents for story in nodes})
    columns = _ordered(_columns(layers({story.node: story.parents for story in nodes}), chains), chains)
    rows = max(map(len, columns), default=0)
    places = {
        slot: (_MARGIN + at * _COLUMN, _MARGIN + (row + (rows - len(column)) / 2) * _ROW)
        for at, column in enumerate(columns)
        for row, slot in enumerate(column)
    }
    return Drawing(
        width=2 * _MARGIN + max(0, len(columns) * _COLUMN - (_COLUMN - BOX_WIDTH)),
        height=2 * _MARGIN + max(0, rows * _ROW - (_ROW - BOX_HEIGHT)),
        boxes=tuple(_box(story, *places[(story.node,)]) for story in nodes),
        arrows=tuple(_arrow(chain, places, stories[chain[0][0]]) for chain in chains),
    )


def _chains(parents: Mapping[int, Sequence[int]]) -> list[list[_Slot]]:
    """Return each arrow as the slots that it goes through, from its parent to its child."""
    depth = {node: level for level, layer in enumerate(layers(parents)) for node in layer}
    return [
        [(parent,), *((parent, child, level) for level in range(depth[parent] + 1, depth[child])), (child,)]
        for child, needed in parents.items()
        for parent in needed
        if parent in depth
    ]


def _columns(levels: Layers, chains: Sequence[Sequence[_Slot]]) -> list[list[_Slot]]:
    columns: list[list[_Slot]] = [[(node,) for node in layer] for layer in levels]
    for chain in chains:
        for slot in chain[1:-1]:
            columns[slot[2]].append(slot)
    return columns


def _ordered(columns: list[list[_Slot]], chains: Sequence[Sequence[_Slot]]) -> list[list[_Slot]]:
    """Order every column by its neighbours to the left, then to the right, then to the left again."""
    links = [link for chain in chains for link in pairwise(chain)]
    before: dict[_Slot, list[_Slot]] = {}
    after: dict[_Slot, list[_Slot]] = {}
    for left, right in links:
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    for neighbours, sweep in ((before, columns), (after, columns[::-1]), (before, columns)):
        for fixed, loose in pairwise(sweep):
            rank = {slot: place - (len(fixed) - 1) / 2 for place, slot in enumerate(fixed)}
            loose.sort(key=lambda slot: _mean([rank[each] for each in neighbours.get(slot, ())]))
    return columns


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _box(story: NodeStory, x: float, y: float) -> Box:
    expert = story.expert or "nobody"
    return Box(
        node=story.node,
        x=x,
        y=y,
        state=story.state,
        label=clip(f"#{story.node} {expert}", _LABEL_CELLS),
        text=clip(story.question, _TEXT_CELLS),
        title=f"#{story.node} {expert}, {story.state}: {story.question}",
    )


def _arrow(chain: Sequence[_Slot], places: Mapping[_Slot, tuple[float, float]], parent: NodeStory) -> Arrow:
    """Draw a curve from the right side of the parent through its slots to the left side of the child."""
    path = ""
    for left, right in pairwise(chain):
        x1, y1 = places[left][0] + BOX_WIDTH, places[left][1] + BOX_HEIGHT / 2
        x2, y2 = places[right][0], places[right][1] + BOX_HEIGHT / 2
        middle = (x1 + x2) / 2
        path += f"{'L' if path else 'M'}{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"
    return Arrow(chain[0][0], chain[-1][0], path, is_done=parent.state == "completed")
