"""The ledger: bytes, cores, slots, and where models may live."""

from __future__ import annotations

import pytest

from compllm.core.ledger import REMOTE, Device, Ledger, Model, Replica, place_models
from compllm.errors import InvalidTransition, ModelTooLargeError

CPU = Device("cpu", 100, 2)


def model(name: str, footprint_bytes: int = 40, *, pinned: bool = False, slots: int = 2, threads: int = 1) -> Model:
    return Model(name, footprint_bytes, slots, threads, ("cpu",), pinned)


def resident(ledger: Ledger, of: Model) -> Replica:
    replica = ledger.reserve(of, "cpu", owed_to=None)
    assert ledger.confirm(replica, of.footprint_bytes, 0.0)
    return replica


def test_bytes_count_from_reservation_to_release() -> None:
    ledger = Ledger([CPU])
    replica = ledger.reserve(model("a"), "cpu", owed_to="n")
    assert ledger.free_bytes("cpu") == 60
    assert ledger.confirm(replica, 50, 1.0)
    assert ledger.free_bytes("cpu") == 50
    replica.owed_to = None
    ledger.begin_eviction(replica)
    assert ledger.free_bytes("cpu") == 50
    ledger.check()
    ledger.release(replica, 0.0)
    assert ledger.free_bytes("cpu") == 100
    assert ledger.get("a") is None
    ledger.check()


def test_a_reservation_that_does_not_fit_is_refused() -> None:
    ledger = Ledger([CPU])
    ledger.reserve(model("a", 70), "cpu", owed_to=None)
    with pytest.raises(InvalidTransition, match="31 of 30 bytes free"):
        ledger.reserve(model("b", 31), "cpu", owed_to=None)
    with pytest.raises(InvalidTransition, match="loaded twice"):
        ledger.reserve(model("a", 1), "cpu", owed_to=None)


def test_an_overrun_is_reported_and_must_go_whoever_asked_for_it() -> None:
    ledger = Ledger([CPU])
    resident(ledger, model("b", 60))
    replica = ledger.reserve(model("a", 40, pinned=True), "cpu", owed_to="n")
    assert not ledger.confirm(replica, 41, 0.0)
    assert ledger.free_bytes("cpu") == 0
    ledger.begin_eviction(replica, overrun=True)
    assert replica.owed_to is None
    ledger.check()


@pytest.mark.parametrize("reason", ["leased", "owed", "pinned", "loading", "evicting"])
def test_what_may_not_be_evicted(reason: str) -> None:
    ledger = Ledger([CPU])
    replica = ledger.reserve(model("a", pinned=reason == "pinned"), "cpu", owed_to="n" if reason == "owed" else None)
    if reason != "loading":
        ledger.confirm(replica, 40, 0.0)
    if reason == "leased":
        ledger.lease(replica, "n", 0.0)
    if reason == "evicting":
        ledger.begin_eviction(replica)
    assert not replica.evictable
    with pytest.raises(InvalidTransition):
        ledger.begin_eviction(replica)


def test_the_first_lease_takes_the_cores_and_the_last_one_frees_them() -> None:
    ledger = Ledger([CPU])
    one, two = resident(ledger, model("a", threads=2)), resident(ledger, model("b", threads=1))
    ledger.lease(one, "n1", 0.0)
    assert (ledger.free_cores("cpu"), ledger.can_compute(one), ledger.can_compute(two)) == (0, True, False)
    ledger.lease(one, "n2", 0.0)
    assert one.free_slots == 0
    with pytest.raises(InvalidTransition, match="no free slot or core"):
        ledger.lease(one, "n3", 0.0)
    with pytest.raises(InvalidTransition, match="no free slot or core"):
        ledger.lease(two, "n3", 0.0)
    ledger.end_lease(one, "n1", 3.0)
    assert ledger.free_cores("cpu") == 0
    ledger.end_lease(one, "n2", 4.0)
    assert (ledger.free_cores("cpu"), one.used_at_s) == (2, 4.0)
    ledger.check()


def test_the_lease_of_the_node_it_is_owed_to_settles_the_debt() -> None:
    ledger = Ledger([CPU])
    replica = ledger.reserve(model("a"), "cpu", owed_to="n1")
    ledger.confirm(replica, 40, 0.0)
    ledger.lease(replica, "n2", 0.0)
    assert replica.owed_to == "n1"
    ledger.lease(replica, "n1", 0.0)
    assert replica.owed_to is None


def test_a_crash_frees_bytes_and_cores_with_its_leases() -> None:
    ledger = Ledger([CPU])
    replica = resident(ledger, model("a", threads=2))
    ledger.lease(replica, "n", 0.0)
    ledger.release(replica, 0.0)
    assert (ledger.free_bytes("cpu"), ledger.free_cores("cpu")) == (100, 2)
    ledger.check()


def test_a_remote_model_costs_nothing_and_stays() -> None:
    ledger = Ledger([CPU])
    ledger.add_remote(Model("far", slots=1, threads=64))
    replica = ledger.get("far")
    assert replica is not None
    assert (replica.device, replica.evictable, ledger.can_compute(replica)) == (REMOTE, False, True)
    ledger.lease(replica, "n", 0.0)
    assert replica.free_slots == 0
    ledger.check()


def test_check_notices_books_that_disagree() -> None:
    ledger = Ledger([CPU])
    replica = resident(ledger, model("a"))
    replica.bytes += 1
    with pytest.raises(InvalidTransition, match="cpu holds 41 bytes"):
        ledger.check()
    replica.bytes -= 1
    replica.leases.add("n")
    with pytest.raises(InvalidTransition, match="computes with 1 threads"):
        ledger.check()


# --- where models may live -------------------------------------------------------------------------------------------


def place(*models: Model, devices: tuple[Device, ...] = (CPU, Device("gpu", 60, 1))) -> dict[str, tuple[str, ...]]:
    return place_models(models, devices)


def test_models_may_live_wherever_they_fit() -> None:
    both = ("gpu", "cpu")
    placed = place(
        Model("small", 50, devices=both),
        Model("large", 61, devices=both),
        Model("wide", 10, threads=2, devices=both),
        Model("far"),
    )
    assert placed == {"small": both, "large": ("cpu",), "wide": ("cpu",), "far": ()}


def test_a_pinned_model_has_one_home_and_others_must_fit_beside_it() -> None:
    both = ("gpu", "cpu")
    placed = place(
        Model("pin", 50, devices=both, pinned=True), Model("m", 20, devices=both), Model("s", 9, devices=both)
    )
    assert placed == {"pin": ("gpu",), "m": ("cpu",), "s": both}


def test_a_model_larger_than_every_device_is_refused_with_what_to_do() -> None:
    with pytest.raises(ModelTooLargeError, match="raise the device's capacity") as caught:
        place(Model("huge", 101, devices=("cpu", "gpu")))
    assert (caught.value.need_bytes, caught.value.capacity_bytes) == (101, 100)


def test_pins_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ModelTooLargeError, match="pinned models hold"):
        place(model("pin", 70, pinned=True), model("m", 31))
    with pytest.raises(ModelTooLargeError, match="pinned models hold"):
        place(model("p1", 70, pinned=True), model("p2", 31, pinned=True))
    assert place(model("pin", 70, pinned=True), model("m", 30))


def test_more_threads_than_cores_are_refused() -> None:
    with pytest.raises(ModelTooLargeError, match="3 threads"):
        place(model("a", 10, threads=3))
