"""Admission: which runs count as open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.admission import Admission
from compllm.errors import QueueFullError

MOVES = st.tuples(st.sampled_from(["admit", "admit going on", "nodes ended", "end"]), st.integers(0, 4))


@given(st.integers(0, 3), st.lists(MOVES, max_size=40))
def test_no_more_runs_are_open_than_allowed_and_each_until_its_end(most: int, moves: list[tuple[str, int]]) -> None:
    admission, bounded, going_on = Admission(most), set[str](), set[str]()
    for number, (move, which) in enumerate(moves):
        if move.startswith("admit"):
            if len(bounded | going_on) < most:
                (going_on if "going on" in move else bounded).add(f"{which}.{number}")
                admission.admit(f"{which}.{number}", goes_on="going on" in move)
            else:
                with pytest.raises(QueueFullError, match=f"{most} runs are open"):
                    admission.admit("one more", goes_on=True)
        else:
            for run in [each for each in bounded | going_on if each.startswith(str(which))]:
                ends = move == "end"
                (admission.end if ends else admission.note_nodes_ended)(run)
                bounded.discard(run)
                going_on -= {run} if ends else set()
        assert len(admission) == len(bounded | going_on)


def test_a_smaller_limit_ends_nothing_that_is_open() -> None:
    admission = Admission(2)
    for name in "ab":
        admission.admit(name, goes_on=False)
    admission.most_runs = 1
    admission.end("a")
    with pytest.raises(QueueFullError):
        admission.admit("c", goes_on=False)
    admission.end("b")
    admission.admit("c", goes_on=False)
