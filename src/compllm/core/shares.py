"""Fair shares between users: whoever has been served least goes first."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TypeAlias

Spent: TypeAlias = tuple[float, float]
"""The virtual tokens that a user's group and the user were served; compared in this order."""

_SWEPT_FROM = 64
# So many of those who wait for nothing are remembered: the ones served most.
_MOST_GONE = 1_000


class Shares:
    """Counters of groups, and of the users within each: `ann/bob` is the user `bob` of `ann`, `ann` a group of one.

    The group served least goes first, and within it the user served least, so nobody gets more by asking in the name
    of many.
    """

    def __init__(self) -> None:
        self._groups = Counters()
        self._members: dict[str, Counters] = {}

    def spent(self, user: str) -> Spent:
        """Return the virtual tokens that a user's group and the user were served."""
        group, _, member = user.partition("/")
        within = self._members.get(group)
        return self._groups.spent(group), within.spent(member) if within and member else 0.0

    def enter(self, user: str) -> None:
        """Note that a node of the user waits."""
        for counters, name in self._levels(user):
            counters.enter(name)

    def leave(self, user: str) -> None:
        """Note that a node of the user waits no longer."""
        for counters, name in self._levels(user):
            counters.leave(name)

    def charge(self, user: str, tokens: float) -> None:
        """Add to a user's counters; what was charged too much (`tokens` below zero) is taken off the next charges."""
        for counters, name in self._levels(user):
            counters.charge(name, tokens)

    def _levels(self, user: str) -> list[tuple[Counters, str]]:
        group, _, member = user.partition("/")
        levels = [(self._groups, group)]
        if member:
            levels.append((self._members.setdefault(group, Counters()), member))
        return levels


class Counters:
    """Virtual token counters (Sheng et al. 2024, "Fairness in Serving Large Language Models", section 4).

    A counter only grows, so an order by counters can be kept in heaps. Who comes back after a pause starts no lower
    than the lowest of those who wait, or, when nobody does, than those who have gone: nobody saves service up, and
    nobody is held back by what a third was served. This level never falls, so one that stands no higher and waits for
    nothing is forgotten now and then; O(log n) amortised.
    """

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._overpaid: dict[str, float] = {}
        self._waiting: Counter[str] = Counter()
        self._lowest: list[tuple[float, str]] = []
        self._floor = 0.0
        self._swept_at = _SWEPT_FROM

    def spent(self, name: str) -> float:
        """Return the virtual tokens that somebody was served."""
        return self._spent.get(name, 0.0)

    def enter(self, name: str) -> None:
        """Note that somebody waits for one thing more."""
        if name not in self._waiting:
            self._spent[name] = max(self.spent(name), self._level())
            heapq.heappush(self._lowest, (self._spent[name], name))
        self._waiting[name] += 1

    def leave(self, name: str) -> None:
        """Note that somebody waits for one thing less."""
        self._waiting[name] -= 1
        if not self._waiting[name]:
            del self._waiting[name]
            self._floor = max(self._floor, self.spent(name))
            self._sweep()

    def charge(self, name: str, tokens: float) -> None:
        """Add to a counter; what was charged too much (`tokens` below zero) is taken off the next charges."""
        due = tokens - self._overpaid.pop(name, 0.0)
        if due < 0:
            self._overpaid[name] = -due
        else:
            self._spent[name] = self.spent(name) + due

    def __len__(self) -> int:
        return len(self._spent)

    def _level(self) -> float:
        """Return where somebody starts who waits from now on."""
        heap = self._lowest
        while heap:
            counted, name = heap[0]
            if name not in self._waiting:
                heapq.heappop(heap)
            elif counted < self._spent[name]:
                heapq.heapreplace(heap, (self._spent[name], name))
            else:
                return counted
        return self._floor

    def _sweep(self) -> None:
        if len(self._lowest) > 2 * len(self._waiting) + _SWEPT_FROM:
            self._lowest = sorted((self._spent[name], name) for name in self._waiting)
        if len(self._spent) >= self._swept_at:
            self._forget()

    def _forget(self) -> None:
        level = self._level()
        gone = [name for name, spent in self._spent.items() if name not in self._waiting and spent > level]
        kept = {*self._waiting, *heapq.nlargest(_MOST_GONE, gone, key=self.spent)}
        self._spent = {name: spent for name, spent in self._spent.items() if name in kept}
        self._overpaid = {name: tokens for name, tokens in self._overpaid.items() if name in kept}
        self._swept_at = max(_SWEPT_FROM, 2 * len(self._spent))
