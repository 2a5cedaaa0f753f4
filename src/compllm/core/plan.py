"""Plans: sub-queries, the references between them, and what follows from their graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from compllm.errors import PlanCycleError, PlanError

# `#1` stands for the answer of step 1 and `\#` for a number sign; `C#1`, `##1`, `&#1;` and `$1` are ordinary text.
_TOKEN = re.compile(r"\\#|(?<![\w#\\&])#(\d{1,9})(?!\w)")
_AMBIGUOUS = re.compile(r"(?<=\\)#|(?<![\w#\\&])#(?=\d{1,9}(?!\w))")


@dataclass(frozen=True, slots=True)
class SubQuery:
    """One node's question in the plan language: `#n` stands for the answer of step n.

    `after` are further steps that must end before this one, without substitution. `references` follow from the text;
    `parents` are both together, ascending.
    """

    id: int
    text: str
    tag: str | None = None
    after: frozenset[int] = frozenset()
    references: frozenset[int] = field(init=False, compare=False, repr=False)
    parents: tuple[int, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        found = frozenset(int(match[1]) for match in _TOKEN.finditer(self.text) if match[1])
        object.__setattr__(self, "references", found)
        object.__setattr__(self, "parents", tuple(sorted(found | self.after)))

    @classmethod
    def literal(cls, step_id: int, text: str, tag: str | None = None) -> SubQuery:
        """Make a step from plain text in which `#n` is no reference."""
        return cls(step_id, _AMBIGUOUS.sub(r"\\#", text), tag)

    @classmethod
    def shown(cls, step_id: int, display: str, tag: str | None, parents: Collection[int]) -> SubQuery:
        """Make the step that looks like `display`: what is written like a reference is one if it names a parent."""
        text = _TOKEN.sub(lambda match: match[0] if match[1] and int(match[1]) in parents else rf"\{match[0]}", display)
        step = cls(step_id, text, tag)
        return cls(step_id, text, tag, frozenset(parents) - step.references)

    @property
    def display(self) -> str:
        """The text as people read it: references as `#n`, escapes removed."""
        return self._replace(lambda step: f"#{step}")

    def substitute(self, answers: Mapping[int, str]) -> str:
        """Return the text with every reference replaced, in one pass: an answer is never substituted again.

        Raises:
            PlanError: `answers` lacks a referenced step.
        """
        missing = sorted(self.references - answers.keys())
        if missing:
            raise PlanError(f"step {self.id} needs the answer of step {missing[0]}, which is not there")
        return self._replace(lambda step: answers[step].strip())

    def _replace(self, replacement: Callable[[int], str]) -> str:
        if "#" not in self.text:
            return self.text
        return _TOKEN.sub(lambda match: replacement(int(match[1])) if match[1] else "#", self.text)


@dataclass(frozen=True, slots=True)
class Plan:
    """A closed plan: immutable, with unique ids, known parents and no cycle.

    Raises:
        PlanError: it is empty, an id is used twice, or a parent is not in the plan.
        PlanCycleError: steps depend on each other in a circle.
    """

    steps: tuple[SubQuery, ...]
    _by_id: dict[int, SubQuery] = field(init=False, repr=False, compare=False)
    _order: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.steps:
            raise PlanError("the plan has no steps")
        by_id = {step.id: step for step in self.steps}
        if len(by_id) != len(self.steps):
            raise PlanError("two steps of the plan have the same number")
        for step in self.steps:
            unknown = sorted(set(step.parents) - by_id.keys())
            if unknown:
                raise PlanError(f"step {step.id} needs step {unknown[0]}, which is not in the plan")
        object.__setattr__(self, "_by_id", by_id)
        object.__setattr__(self, "_order", _topological_order(by_id))

    def __getitem__(self, step_id: int) -> SubQuery:
        return self._by_id[step_id]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def order(self) -> tuple[int, ...]:
        """The ids, parents before children, smallest id first among equals."""
        return self._order

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Every `(a, b)` where the answer of a is needed for b, ascending."""
        return tuple(sorted((parent, step.id) for step in self.steps for parent in step.parents))

    def ready(self, completed: frozenset[int]) -> frozenset[int]:
        """Return the steps that are not completed and whose parents all are."""
        return frozenset(s.id for s in self.steps if s.id not in completed and completed.issuperset(s.parents))

    def critical_path(self, duration_s: Mapping[int, float]) -> tuple[tuple[int, ...], float]:
        """Return the longest chain of steps and its length in seconds; O(steps + edges)."""
        end_s: dict[int, float] = {}
        before: dict[int, int | None] = {}
        for step_id in self._order:
            latest = max(self[step_id].parents, key=lambda parent: (end_s[parent], -parent), default=None)
            before[step_id] = latest
            end_s[step_id] = duration_s[step_id] + (end_s[latest] if latest is not None else 0.0)
        last: int | None = max(end_s, key=lambda step_id: (end_s[step_id], -step_id))
        length_s = end_s[last] if last is not None else 0.0
        path: list[int] = []
        while last is not None:
            path.append(last)
            last = before[last]
        return tuple(reversed(path)), length_s


def _topological_order(by_id: Mapping[int, SubQuery]) -> tuple[int, ...]:
    """Kahn's algorithm (Kahn 1962) by layers; O(n log n + edges)."""
    missing = {step_id: len(step.parents) for step_id, step in by_id.items()}
    children: dict[int, list[int]] = {step_id: [] for step_id in by_id}
    for step in by_id.values():
        for parent in step.parents:
            children[parent].append(step.id)
    order: list[int] = []
    layer = sorted(step_id for step_id, count in missing.items() if count == 0)
    while layer:
        order.extend(layer)
        freed: list[int] = []
        for step_id in layer:
            for child in children[step_id]:
                missing[child] -= 1
                if missing[child] == 0:
                    freed.append(child)
        layer = sorted(freed)
    if len(order) < len(by_id):
        raise PlanCycleError(_find_cycle(by_id, {i for i, count in missing.items() if count > 0}))
    return tuple(order)


def _find_cycle(by_id: Mapping[int, SubQuery], stuck: set[int]) -> Sequence[int]:
    path = [min(stuck)]
    while path.count(path[-1]) < 2:
        path.append(min(parent for parent in by_id[path[-1]].parents if parent in stuck))
    cycle = path[path.index(path[-1]) :]
    return cycle[::-1]
