"""Footprints: what is measured and what is only supposed, and which models have no room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compllm.core.footprints import Footprints
from compllm.core.ledger import Device, Ledger, Model


def of(*models: Model, capacity_bytes: int = 10) -> tuple[Footprints, dict[str, Model], Ledger]:
    known, ledger = {model.name: model for model in models}, Ledger([Device("cpu", capacity_bytes)])
    return Footprints(known, ledger), known, ledger


def local(name: str, footprint_bytes: int, *, pinned: bool = False) -> Model:
    return Model(name, footprint_bytes, devices=("cpu",), pinned=pinned)


@given(st.integers(1, 10), st.lists(st.integers(1, 30), max_size=9))
def test_a_supposition_fits_or_is_dropped_and_is_never_a_measurement(first: int, supposed: list[int]) -> None:
    footprints, models, _ = of(local("m", first))
    for needed_bytes in supposed:
        largest = max(needed_bytes, models["m"].footprint_bytes)
        assert footprints.suppose("m", needed_bytes) == (largest <= 10)
        assert models["m"].footprint_bytes == (largest if largest <= 10 else first)
        assert not footprints.is_hopeless("m")
    assert footprints.measured == {}


def test_what_was_measured_holds_again_when_a_supposition_leads_nowhere() -> None:
    footprints, models, _ = of(local("m", 4))
    footprints.correct("m", 6, 2.0)
    assert footprints.suppose("m", 8)
    assert not footprints.suppose("m", 11)
    assert (models["m"].footprint_bytes, footprints.measured) == (6, {"m": (6, 2.0)})


def test_a_model_is_hopeless_for_as_long_as_the_pins_leave_no_room() -> None:
    footprints, models, ledger = of(local("pin", 4, pinned=True), local("m", 5))
    for pin_bytes, hopeless in ((6, True), (5, False), (7, True)):
        footprints.correct("pin", pin_bytes, 1.0)
        assert footprints.is_hopeless("m") is hopeless
    ledger.reserve(models["m"], "cpu", None)
    assert not footprints.is_hopeless("m")  # it is there
    assert not footprints.has_room("m")


def test_of_pins_that_do_not_fit_together_the_one_that_is_there_keeps_its_room() -> None:
    footprints, models, ledger = of(local("a", 2, pinned=True), local("b", 3, pinned=True), local("m", 5))
    footprints.correct("a", 5, 1.0)
    footprints.correct("b", 6, 1.0)
    assert [footprints.has_room(name) for name in "abm"] == [False, True, False]
    ledger.reserve(models["a"], "cpu", None)
    assert [footprints.has_room(name) for name in "abm"] == [True, False, True]
