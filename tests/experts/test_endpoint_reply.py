"""A reply means the same however the connection cuts it into pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from compllm.errors import ExpertError
from compllm.experts.base import Chunk
from compllm.experts.endpoint_reply import Reply
from tests.experts.misbehaving import DONE, ROLE, USAGE, delta


@given(st.text(min_size=1).filter(str.strip), st.lists(st.integers(0, 400), max_size=8))
def test_any_text_survives_any_cut_into_pieces(text: str, cuts: list[int]) -> None:
    raw = b": a comment\r\n\r\n" + ROLE + delta(text, finish_reason="stop").replace(b"\n", b"\r\n") + USAGE + DONE
    reply = Reply("text/event-stream", 9, lambda *_, **__: ExpertError("wrong"))
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [chunk for begin, end in pairwise(edges) for chunk in reply.feed(raw[begin:end])]
    assert reply.done
    assert [*chunks, *reply.end()] == [Chunk(text), Chunk("", 7, 2, "stop")]
