"""What models really take: measured footprints in place of estimates, and which models have become hopeless."""

from __future__ import annotations

from dataclasses import replace

from compllm.core.ledger import Ledger, Model


class Footprints:
    """Corrects the scheduler's `models` in place.

    `measured` holds what loads have shown, in bytes and load seconds: only that is worth remembering. What a load that
    ran out of memory suggests is a supposition, for something else may have held the memory.
    """

    def __init__(self, models: dict[str, Model], ledger: Ledger) -> None:
        self._models = models
        self._ledger = ledger
        self._sure_bytes: dict[str, int] = {}
        self._have_grown = False
        self.measured: dict[str, tuple[int, float]] = {}

    def correct(self, name: str, footprint_bytes: int, load_s: float) -> bool:
        """Replace a model's estimates by measurements; return whether some model may be hopeless because of it."""
        self.measured[name] = (footprint_bytes, load_s)
        self._sure_bytes.pop(name, None)
        self._models[name] = replace(self._models[name], load_s=load_s)
        is_larger = self._set(name, footprint_bytes)
        return is_larger or (self._have_grown and self._models[name].pinned)

    def suppose(self, name: str, needed_bytes: int) -> bool:
        """Raise the estimate of an absent model that ran out of memory; return whether there is room for so much.

        If not, the supposition has led nowhere: what was measured last, or the first estimate, holds again.
        """
        known_bytes = self._models[name].footprint_bytes
        sure_bytes = self._sure_bytes.setdefault(name, known_bytes)
        self._set(name, max(needed_bytes, known_bytes))
        if self.has_room(name):
            return True
        self._set(name, sure_bytes)
        return False

    def is_hopeless(self, name: str) -> bool:
        """Whether an absent model is too large to be loaded, as far as is known now; O(1) unless one has grown."""
        return self._have_grown and self._ledger.get(name) is None and not self.has_room(name)

    def has_room(self, name: str) -> bool:
        """Whether a model fits one of its devices, only pinned models beside it; O(models log models)."""
        model = self._models[name]
        rooms = (self._room_bytes(device, model) for device in model.devices)
        return not model.devices or any(model.footprint_bytes <= room_bytes for room_bytes in rooms)

    def _set(self, name: str, footprint_bytes: int) -> bool:
        """Change a footprint; return whether it has grown."""
        grown = footprint_bytes > self._models[name].footprint_bytes
        self._have_grown = self._have_grown or grown
        self._models[name] = replace(self._models[name], footprint_bytes=footprint_bytes)
        return grown

    def _room_bytes(self, device: str, model: Model) -> int:
        """Return what pins leave of a device: those that are there, then the larger, each if it fits beside the others.

        To a pinned model, those that come before it.
        """
        room_bytes = self._ledger.devices[device].capacity_bytes
        for pin in sorted((m for m in self._models.values() if m.pinned and device in m.devices), key=self._turn):
            if pin.name == model.name:
                break
            if pin.footprint_bytes <= room_bytes:
                room_bytes -= pin.footprint_bytes
        return room_bytes

    def _turn(self, pin: Model) -> tuple[bool, int, str]:
        return self._ledger.get(pin.name) is None, -pin.footprint_bytes, pin.name


def too_large(model: str, needed_bytes: int) -> str:
    """Say why a hopeless model is not tried."""
    return f"{model} turned out to need {needed_bytes} bytes, more than there is room for"
