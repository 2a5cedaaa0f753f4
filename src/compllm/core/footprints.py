"""What models really take: measured footprints in place of estimates, and which models have become hopeless."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from compllm.core.health import Health
from compllm.core.ledger import Ledger, Model


class Footprints:
    """Corrects the scheduler's `models` in place; `measured` names those whose figures are no estimates any more."""

    def __init__(self, models: dict[str, Model], ledger: Ledger, health: Mapping[str, Health]) -> None:
        self._models = models
        self._ledger = ledger
        self._health = health
        self.measured: set[str] = set()
        self.have_grown = False

    def correct(self, name: str, footprint_bytes: int, load_s: float) -> bool:
        """Replace a model's estimates by measurements; return whether it takes more than was thought."""
        self.measured.add(name)
        grown = footprint_bytes > self._models[name].footprint_bytes
        self.have_grown = self.have_grown or grown
        self._models[name] = replace(self._models[name], footprint_bytes=footprint_bytes, load_s=load_s)
        return grown

    def is_hopeless(self, name: str) -> bool:
        """Whether an absent model is too large for every device of its own, only pinned models beside it."""
        model = self._models[name]
        rooms = (self._room_bytes(device, model) for device in model.devices)
        return self._ledger.get(name) is None and not any(model.footprint_bytes <= room_bytes for room_bytes in rooms)

    def _room_bytes(self, device: str, model: Model) -> int:
        pinned = (other for other in self._models.values() if other.pinned and other.name != model.name)
        kept = (m for m in pinned if device in m.devices and not self._health[m.name].given_up)
        return self._ledger.devices[device].capacity_bytes - sum(m.footprint_bytes for m in kept)
