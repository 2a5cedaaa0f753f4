"""The wire form of events."""

import json
import math
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compllm.codec import JSON, decode, encode
from compllm.core.answers import Passage, SubAnswer
from compllm.core.events import Event, ModelLoaded, NodeAdded, NodeCompleted, NodeStarted, PlanClosed, Stamped, Woken
from compllm.core.routing import Assignment, Candidate
from compllm.errors import JournalError

EVENT_CLASSES: tuple[type[Event], ...] = get_args(Event)

events = st.one_of([st.from_type(cls) for cls in EVENT_CLASSES])


@given(st.floats(min_value=0, max_value=1e9), events)
@settings(max_examples=200, deadline=None)
def test_every_event_survives_the_wire(at_s: float, event: Event) -> None:
    stamped = Stamped(at_s, event)
    wire = json.dumps(encode(stamped), allow_nan=False, ensure_ascii=False).encode()
    back = decode(json.loads(wire))
    assert encode(back) == encode(stamped)
    assert back == stamped or "NaN" in str(encode(stamped))


@pytest.mark.parametrize("cls", EVENT_CLASSES)
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_each_class_keeps_its_class(cls: type[Event], data: st.DataObject) -> None:
    event = data.draw(st.from_type(cls))
    assert type(decode(encode(Stamped(0.0, event))).event) is cls


def test_the_object_is_flat_and_starts_with_time_and_kind() -> None:
    wire = encode(Stamped(0.5, NodeStarted("r", 1, "history", "m", "cpu", 2)))
    assert list(wire)[:2] == ["at_s", "kind"]
    assert wire == {
        "at_s": 0.5,
        "kind": "node_started",
        "run": "r",
        "node": 1,
        "expert": "history",
        "model": "m",
        "device": "cpu",
        "attempt": 2,
    }


def test_nested_values_become_objects_and_lists() -> None:
    answer = SubAnswer("Paris", "geo", "m", passages=(Passage("a.md", "France", "Paris is ...", 0.9),))
    wire = encode(Stamped(1.0, NodeCompleted("r", 1, answer)))
    assert isinstance(wire["answer"], dict)
    assert wire["answer"]["passages"] == [
        {"source": "a.md", "title": "France", "text": "Paris is ...", "score": 0.9},
    ]


def test_a_field_with_a_default_may_be_missing() -> None:
    stamped = Stamped(1.0, NodeCompleted("r", 1, SubAnswer("Paris", "geo", "m")))
    wire = encode(stamped)
    assert isinstance(wire["answer"], dict)
    del wire["attempt"], wire["answer"]["is_cut"]
    assert decode(wire) == stamped


def test_numpy_scores_become_plain_numbers() -> None:
    assignment = Assignment((Candidate("a", "m"),), "question", np.float64(0.8), np.inf, passed=True, reason="best")
    wire = encode(Stamped(0.0, NodeAdded("r", 1, "q", (), assignment)))
    assert isinstance(wire["assignment"], dict)
    assert type(wire["assignment"]["score"]) is float
    assert wire["assignment"]["margin"] == "Infinity"


def test_not_a_number_stays_not_a_number() -> None:
    back = decode(encode(Stamped(0.0, ModelLoaded("m", "cpu", 1, math.nan)))).event
    assert isinstance(back, ModelLoaded)
    assert math.isnan(back.load_s)


def test_half_a_surrogate_pair_does_not_break_utf8() -> None:
    wire = encode(Stamped(0.0, PlanClosed("r\udc80")))
    assert wire["run"] == "r?"


def test_a_value_without_wire_form_is_refused() -> None:
    with pytest.raises(TypeError, match="holds a set"):
        encode(Stamped(0.0, PlanClosed({"r"})))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        ({"at_s": 0, "kind": "node_teleported", "run": "r"}, "unknown kind 'node_teleported'"),
        ({"at_s": 0, "run": "r"}, "'kind' is missing"),
        ({"at_s": 0, "kind": "plan_closed"}, "plan_closed has an unusable field 'run'"),
        ({"at_s": 0, "kind": "plan_closed", "run": "r", "mood": 1}, "plan_closed has an unusable field 'mood'"),
        ({"kind": "woken"}, "'at_s' must be a number"),
        ({"at_s": True, "kind": "woken"}, "'at_s' must be a number"),
        (
            {"at_s": 0, "kind": "node_completed", "run": "r", "node": 1, "answer": {"text": 3}},
            "unusable field 'answer.text'",
        ),
    ],
)
def test_what_is_wrong_is_named(wire: dict[str, JSON], says: str) -> None:
    with pytest.raises(JournalError, match=says):
        decode(wire)


def test_an_error_does_not_repeat_the_value() -> None:
    with pytest.raises(JournalError) as caught:
        decode({"at_s": 0, "kind": "plan_closed", "run": ["sk-secret"]})
    assert "sk-secret" not in str(caught.value)


def test_decoding_leaves_its_argument_alone() -> None:
    wire = encode(Stamped(3.0, Woken()))
    decode(wire)
    assert wire == {"at_s": 3.0, "kind": "woken"}


def test_importing_and_encoding_do_not_build_the_schemas() -> None:
    code = (
        "import sys; from compllm.codec import encode; from compllm.core.events import Stamped, Woken;"
        "encode(Stamped(0.0, Woken())); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
