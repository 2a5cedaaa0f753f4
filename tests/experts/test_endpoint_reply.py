"""A reply means the same however the connection cuts it into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.errors import ExpertError
from compllm.experts.base import Chunk
from compllm.experts.endpoint_reply import Reply, said_in
from tests.experts.misbehaving import DONE, ROLE, USAGE, delta


@given(st.text(min_size=1).filter(str.strip), st.lists(st.integers(0, 400), max_size=8))
def test_any_text_survives_any_cut_into_pieces(text: str, cuts: list[int]) -> None:
    raw = b": a comment\r\n\r\n" + ROLE + delta(text, finish_reason="stop").replace(b"\n", b"\r\n") + USAGE + DONE
    reply = Reply("text/event-stream", 9, lambda *_, **__: ExpertError("wrong"))
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [chunk for begin, end in pairwise(edges) for chunk in reply.feed(raw[begin:end])]
    assert reply.done
    assert [*chunks, *reply.end()] == [Chunk(text), Chunk("", 7, 2, "stop")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("no VRAM is left\n", "no VRAM is left"),
        ("<html><body>It works!</body></html>", ""),
        ({"message": "context is full", "detail": "x"}, "context is full"),
        ({"detail": "no such field"}, "no such field"),
        ({"detail": {"message": "no such field"}}, "no such field"),
        (
            {
                "detail": [
                    {"loc": ["body", "messages", 0], "msg": "is empty"},
                    {"loc": ["body", "seed"], "msg": "no int"},
                ]
            },
            "body.messages.0: is empty; body.seed: no int",
        ),
        ({"detail": [{"msg": "no place"}, 5, "a text"]}, "a text"),
        ({"message": None}, ""),
        ({"message": None, "detail": "no such field"}, "no such field"),
        (None, ""),
        (5, ""),
    ],
)
def test_the_reason_is_found_wherever_servers_put_it(body: object, said: str) -> None:
    assert said_in(body) == said
