"""Fair shares between users: whoever has been served least goes first."""

from __future__ import annotations

from collections import Counter


class Shares:
    """Virtual token counters (Sheng et al. 2024, "Fairness in Serving Large Language Models", section 4).

    A counter only grows, so an order by counters can be kept in heaps. Who comes back after a pause starts no lower
    than those who stayed: nobody saves service up.
    """

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._overpaid: dict[str, float] = {}
        self._waiting: Counter[str] = Counter()
        self._floor = 0.0

    def spent(self, user: str) -> float:
        """Return the virtual tokens that a user was served."""
        return self._spent.get(user, 0.0)

    def enter(self, user: str) -> None:
        """Note that a node of the user waits."""
        if not self._waiting[user]:
            self._spent[user] = max(self.spent(user), self._floor)
        self._waiting[user] += 1

    def leave(self, user: str) -> None:
        """Note that a node of the user waits no longer; one who was never served more than the others is forgotten."""
        self._waiting[user] -= 1
        if not self._waiting[user]:
            del self._waiting[user]
            if self.spent(user) <= self._floor and user not in self._overpaid:
                self._spent.pop(user, None)

    def serve(self, user: str, tokens: float) -> None:
        """Charge a user whose turn it is for what is about to be done."""
        self._floor = max(self._floor, self.spent(user))
        self.charge(user, tokens)

    def charge(self, user: str, tokens: float) -> None:
        """Add to a user's counter; what was charged too much (`tokens` below zero) is taken off the next charges."""
        due = tokens - self._overpaid.pop(user, 0.0)
        if due < 0:
            self._overpaid[user] = -due
        else:
            self._spent[user] = self.spent(user) + due
