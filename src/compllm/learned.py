"""What a team has learned, kept in the journal from one life to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compllm.core.scheduler import Scheduler
from compllm.journal import Journal


@dataclass(frozen=True, slots=True)
class Learned:
    """Durations, throughput curves and footprints of a team's scheduler.

    `identities` name what a footprint was measured for, by model: another context or number of slots is another one.
    """

    journal: Journal
    team: str
    scheduler: Scheduler
    identities: Mapping[str, str]

    def recall(self) -> None:
        """Let the scheduler begin with what is known.

        Raises:
            JournalError: the journal cannot be read.
        """
        estimates = self.journal.recall(f"estimates of {self.team}")
        if isinstance(estimates, dict):
            self.scheduler.estimates.restore(estimates)  # type: ignore[arg-type]
        for model, identity in self.identities.items():
            footprint = self.journal.recall(f"footprint of {identity}")
            if isinstance(footprint, dict):
                self.scheduler.correct(model, int(footprint["bytes"]), float(footprint["load_s"]))  # type: ignore[arg-type]

    def remember(self) -> None:
        """Keep what is known now.

        Raises:
            JournalError: the journal cannot be written.
        """
        self.journal.remember(f"estimates of {self.team}", self.scheduler.estimates.dump())  # type: ignore[arg-type]
        for name, identity in self.identities.items():
            if name in self.scheduler.footprints.measured:
                model = self.scheduler.models[name]
                footprint = {"bytes": model.footprint_bytes, "load_s": model.load_s}
                self.journal.remember(f"footprint of {identity}", footprint)  # type: ignore[arg-type]
