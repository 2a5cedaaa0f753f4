"""How many runs may be open at once."""

from __future__ import annotations

from compllm.errors import QueueFullError


class Admission:
    """Counts the open runs: each until its nodes have ended, or, if it goes on after that, until its end is told."""

    def __init__(self, most_runs: int) -> None:
        self.most_runs = most_runs
        self._goes_on: dict[str, bool] = {}

    def __len__(self) -> int:
        return len(self._goes_on)

    def admit(self, run: str, *, goes_on: bool) -> None:
        """Count a run as open.

        Raises:
            QueueFullError: no more runs are taken; nothing has changed.
        """
        if len(self) >= self.most_runs:
            raise QueueFullError(f"{len(self)} runs are open, and no more are taken at once; ask again later")
        self._goes_on[run] = goes_on

    def note_nodes_ended(self, run: str) -> None:
        """Count a run no longer, unless it goes on."""
        if not self._goes_on.get(run):
            self.end(run)

    def end(self, run: str) -> None:
        """Count a run no longer; nothing to do for one that was not admitted."""
        self._goes_on.pop(run, None)
