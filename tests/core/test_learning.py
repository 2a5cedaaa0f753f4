"""Learning: medians that outliers cannot move, curves and co-run factors, and what survives a restart."""

from __future__ import annotations

import json

import pytest

from compllm.core.answers import SubAnswer
from compllm.core.learning import DEFAULT_DURATION_S, DEFAULT_TOKENS, Company, Estimates, Rates


def answer(elapsed_s: float, *, tokens: int = 41, ttft_s: float = 0.5, expert: str = "e") -> SubAnswer:
    return SubAnswer("yes", expert, "m", (), 100, tokens, ttft_s, elapsed_s)


def learned(*answers: tuple[SubAnswer, Company]) -> Estimates:
    estimates = Estimates()
    for each, company in answers:
        estimates.learn("m", "cpu", each, company, ())
    return estimates


ALONE, IN_FOUR = Company(1.0, 1.0), Company(4.0, 1.0)


def test_nothing_known_means_the_defaults() -> None:
    estimates = Estimates()
    assert (estimates.duration_s("e"), estimates.tokens("e")) == (DEFAULT_DURATION_S, DEFAULT_TOKENS)
    assert estimates.shortest_s("e") == 0.0
    assert (estimates.speedup("m", 3), estimates.corun("cpu", 2)) == (3.0, 1.0)
    assert estimates.speedup("m", 3, (1.0, 1.5, 1.8)) == 1.8


def test_one_outlier_does_not_move_a_duration() -> None:
    assert learned((answer(2.0), ALONE)).shortest_s("e") == 0.0
    estimates = learned(*[(answer(2.0), ALONE)] * 5, (answer(500.0), ALONE))
    assert estimates.duration_s("e") == 2.0
    assert estimates.shortest_s("e") == 2.0
    assert estimates.tokens("e") == 100 + 2 * 41


def test_an_outlier_moves_a_rate_by_a_bounded_step() -> None:
    rates = Rates()
    rates.learn(1, 10.0)
    rates.learn(1, 10_000.0)
    assert rates.at(1) == 15.0


def test_rates_between_those_seen_lie_on_a_line() -> None:
    rates = Rates({1: 40.0, 3: 20.0})
    assert [rates.at(count) for count in (1, 2, 3, 9)] == [40.0, 30.0, 20.0, 20.0]
    assert Rates().at(1) is None


def test_a_batch_of_four_teaches_its_speedup_and_does_not_spoil_the_duration_alone() -> None:
    """Alone 41 tokens take a second after the first half; in a batch of four, twice as long."""
    estimates = learned((answer(1.5), ALONE), (answer(2.5), IN_FOUR), (answer(2.5), IN_FOUR))
    assert estimates.speedup("m", 4) == pytest.approx(2.0)
    assert estimates.duration_s("e") == pytest.approx(1.5)
    assert estimates.throughput("m").predict_s(100, 41, 4) == pytest.approx(2.5)


def test_a_batch_is_never_learned_to_get_less_done_than_a_smaller_one() -> None:
    """Pauses while others' prompts are read make a full batch look slow."""
    estimates = learned((answer(1.5), ALONE), (answer(1.5), Company(2.0, 1.0)), (answer(40.0), IN_FOUR))
    assert estimates.speedup("m", 2) == estimates.speedup("m", 4) == pytest.approx(2.0)


def test_the_curve_between_counts_that_were_seen_lies_between_them() -> None:
    estimates = learned((answer(1.5), ALONE), (answer(2.5), IN_FOUR))
    assert 1.0 < estimates.speedup("m", 2) < estimates.speedup("m", 3) <= estimates.speedup("m", 4)
    assert estimates.speedup("m", 5, (1.0, 1.0, 1.0, 1.0, 3.0)) == 3.0  # beyond what was seen, the model's own


def test_computing_neighbours_teach_the_co_run_factor() -> None:
    estimates = learned((answer(1.5), ALONE), (answer(2.5), Company(1.0, 2.0)))
    assert estimates.corun("cpu", 2) == pytest.approx(0.5)
    assert estimates.throughput("m").decode.by_count == {1: pytest.approx(41.0)}


def test_a_prompt_from_the_cache_does_not_make_neighbours_look_bad() -> None:
    cached = answer(1.01, ttft_s=0.01)
    assert learned((cached, ALONE), (answer(2.5), Company(1.0, 2.0))).corun("cpu", 2) == pytest.approx(0.5)


def test_a_batch_beside_neighbours_is_held_against_a_batch_alone_and_an_assumed_curve_is_not_trusted() -> None:
    in_eight = Company(8.0, 2.0)
    assert learned((answer(1.5), ALONE), (answer(90.0), in_eight)).corun("cpu", 2) == pytest.approx(0.5)
    assert learned((answer(1.5), ALONE), (answer(2.0), in_eight)).corun("cpu", 2) == pytest.approx(2 / 3)
    estimates = learned((answer(1.5), ALONE), (answer(4.5), IN_FOUR), (answer(8.5), in_eight))
    assert estimates.corun("cpu", 2) == pytest.approx(0.5)


def test_a_new_expert_is_expected_to_be_as_fast_as_its_model() -> None:
    estimates = learned((answer(1.5), ALONE))
    assert estimates.duration_s("new", "m") == pytest.approx(64 / 200 + 32 / 41)
    assert estimates.duration_s("new", "other") == DEFAULT_DURATION_S
    assert estimates.duration_s("e", "m") == 1.5


def test_a_company_that_changed_all_the_time_teaches_no_curve() -> None:
    estimates = learned((answer(1.5), Company(1.5, 1.0)))
    assert estimates.throughput("m").decode.by_count == {}


def test_what_was_learned_survives_as_json() -> None:
    estimates = learned((answer(1.5), ALONE), (answer(2.5), IN_FOUR), (answer(3.0), Company(1.0, 2.0)))
    revived = Estimates()
    revived.restore(json.loads(json.dumps(estimates.dump())))
    assert revived.dump() == estimates.dump()
    assert revived.speedup("m", 4) == estimates.speedup("m", 4)
