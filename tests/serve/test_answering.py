"""The pieces of an answer where a client cannot bring them about: a run that breaks off with its server."""

from __future__ import annotations

from typing import cast

import pytest

from compllm.run import Run, Stages
from compllm.serve.answering import Failed, pieces
from compllm.serve.cutting import Cutter
from compllm.serve.live import LiveRun

pytestmark = pytest.mark.anyio


async def test_a_run_that_ends_without_an_ending_was_interrupted() -> None:
    run = Run("r", "What?", cast("Stages", None))
    run._send.close()
    live = LiveRun(run)
    await live.keep()
    found = [piece async for piece in pieces(live, Cutter(), 1.0)]
    assert isinstance(found[0], Failed)
    assert (found[0].error.status, found[0].error.code, len(found)) == (503, "run_interrupted", 1)
