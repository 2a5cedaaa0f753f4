"""What a team has learned, kept in the journal from one life to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compllm.core.scheduler import Scheduler
from compllm.journal import Journal


@dataclass(frozen=True, slots=True)
class Learned:
    """Durations, throughput curves and footprints of a team's scheduler.

    What is called `identities` names what a footprint was measured for, by model: another context or number of slots is
    another one.
    """

    journal: Journal
    team: str
    scheduler: Scheduler

    def recall(self, identities: Mapping[str, str]) -> None:
        """Let the scheduler begin with what is known.

        Raises:
            JournalError: the journal cannot be read.
        """
        estimates = self.journal.recall(f"estimates of {self.team}")
        if isinstance(estimates, dict):
            self.scheduler.estimates.restore(estimates)  # type: ignore[arg-type]
        self.correct(self.footprints(identities))

    def footprints(self, identities: Mapping[str, str]) -> dict[str, tuple[int, float]]:
        """Return the bytes and the load seconds that were measured, by model.

        Raises:
            JournalError: the journal cannot be read.
        """
        kept = {model: self.journal.recall(f"footprint of {identity}") for model, identity in identities.items()}
        return {
            model: (int(each["bytes"]), float(each["load_s"]))  # type: ignore[arg-type]
            for model, each in kept.items()
            if isinstance(each, dict)
        }

    def correct(self, footprints: Mapping[str, tuple[int, float]]) -> None:
        """Let the scheduler count with these footprints, by model."""
        for model, (footprint_bytes, load_s) in footprints.items():
            self.scheduler.correct(model, footprint_bytes, load_s)

    def remember(self, identities: Mapping[str, str]) -> None:
        """Keep what is known now.

        Raises:
            JournalError: the journal cannot be written.
        """
        self.journal.remember(f"estimates of {self.team}", self.scheduler.estimates.dump())  # type: ignore[arg-type]
        for name, identity in identities.items():
            if name in self.scheduler.footprints.measured:
                footprint_bytes, load_s = self.scheduler.footprints.measured[name]
                footprint = {"bytes": footprint_bytes, "load_s": load_s}
                self.journal.remember(f"footprint of {identity}", footprint)  # type: ignore[arg-type]
