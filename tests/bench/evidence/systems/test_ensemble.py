from __future__ import annotations

from pathlib import Path

import pytest

from compllm.bench.evidence.rows import EvidenceRow
from compllm.bench.evidence.systems.ensemble import majority
from compllm.errors import ExpertResponseError
from compllm.experts.fake import FakeExpert
from tests.bench.evidence.lab import bench_team

pytestmark = pytest.mark.anyio

ROW = EvidenceRow("x", "P", "What is the heart pulse?", (("70",),))


def saying(*texts: str) -> FakeExpert:
    left = list(texts)
    return FakeExpert(lambda asked: left.pop(0))


async def test_the_most_frequent_answer_wins(tmp_path: Path) -> None:
    fake = saying("60", "70.", "80", "70", "90")
    async with bench_team(tmp_path, one=fake) as team:
        reply = await majority(team, ROW)
    assert reply.text in ("70.", "70")
    assert {call.seed for call in fake.calls} == set(range(5))
    assert all(call.temperature > 0 for call in fake.calls)
    assert len(reply.final_answers) == 1


async def test_among_different_answers_the_central_one_wins(tmp_path: Path) -> None:
    fake = saying("red", "the red fox", "red fox runs", "blue", "red fox")
    async with bench_team(tmp_path, one=fake) as team:
        assert (await majority(team, ROW)).text in ("the red fox", "red fox")


async def test_no_sample_is_no_answer(tmp_path: Path) -> None:
    fake = FakeExpert(failures={n: ExpertResponseError("its documents do not say") for n in range(1, 6)})
    async with bench_team(tmp_path, one=fake) as team:
        reply = await majority(team, ROW)
    assert (reply.text, reply.notes) == ("", ("no sample has an answer",))


async def test_a_failing_model_is_an_error(tmp_path: Path) -> None:
    fake = FakeExpert(failures={1: ExpertResponseError("broken", retryable=True)})
    async with bench_team(tmp_path, one=fake) as team:
        with pytest.raises(ExpertResponseError, match="broken"):
            await majority(team, ROW)
