"""The serving bench in small: real processes, few requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from compllm.bench.serving.measure import compare, many_streams, stop_under_load
from compllm.bench.serving.processes import endpoint_of, litellm_before
from compllm.errors import ConfigError

pytestmark = [pytest.mark.anyio, pytest.mark.live]


async def test_every_server_answers_every_request() -> None:
    rows = await compare(requests=20, at_once=4, litellm=None)
    assert [(row["at_once"], row["requests"], row["errors"]) for row in rows] == [(1, 2, 0), (4, 20, 0)] * 3
    assert all(float(str(row["p50_ms"])) >= 20 for row in rows)


async def test_streams_are_whole_and_a_stop_loses_no_run() -> None:
    streams = await many_streams(20)
    assert (streams["whole"], streams["errors"]) == (60, 0)
    stopped = await stop_under_load(20)
    assert (stopped["runs_lost"], stopped["exit_code"]) == (0, 0)
    assert int(str(stopped["answers_received"])) >= 4


async def test_a_program_that_is_no_litellm_is_said(tmp_path: Path) -> None:
    program = tmp_path / "litellm"
    program.write_text("#!/bin/sh\necho no such option >&2\nexit 2\n")
    program.chmod(0o700)
    async with endpoint_of(tmp_path, 0.0) as endpoint:
        with pytest.raises(ConfigError, match="no such option"):
            async with litellm_before(endpoint, program, tmp_path):
                pass
