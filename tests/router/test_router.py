"""The router over a table of vectors: modes, batches, threads and what it refuses."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from compllm.core.routing import THRESHOLD, ExpertProfile, Gate, ScoreMode
from compllm.errors import ConfigError, NoEligibleExpertError
from compllm.router.calibration import Calibration
from compllm.router.index import WANTED_EXPERT, ExpertIndex
from compllm.router.router import Router
from tests.router.encoders import TableEncoder, WordEncoder

GATE = Gate(intercept=-10.0, best=50.0, margin=0.0, mean=0.0, description=0.0, background=0.0)
MEDICINE = ExpertProfile("medicine", "m1", "An expert in medicine.", ("How is flu treated?",))
LAW = ExpertProfile("law", "m2", "An expert in law.", ("Is this contract valid?",))
GENERAL = ExpertProfile("general", "m1", "")
TABLE = {
    MEDICINE.description: [1.0, 0.0, 0.0, 0.0],
    MEDICINE.examples[0]: [0.8, 0.0, 0.6, 0.0],
    LAW.description: [0.0, 1.0, 0.0, 0.0],
    LAW.examples[0]: [0.0, 0.8, 0.6, 0.0],
    "What helps against fever?": [0.6, 0.1, 0.79, 0.0],
    "Is it a crime to poison someone?": [0.5, 0.5, 0.7, 0.0],
    WANTED_EXPERT.format(field="cardiology"): [0.8, 0.1, 0.59, 0.0],
    WANTED_EXPERT.format(field="law"): [0.0, 0.9, 0.43, 0.0],
    WANTED_EXPERT.format(field="forensic medicine"): [0.705, 0.709, 0.0, 0.0],
}


def router(mode: ScoreMode = "auto", fallback: str | None = "general", threshold: float = THRESHOLD) -> Router:
    calibration = Calibration("table", 0.05, GATE)
    members = [MEDICINE, LAW, GENERAL]
    return Router(
        TableEncoder(TABLE), members, mode=mode, fallback=fallback, calibration=calibration, threshold=threshold
    )


def test_tag_mode_compares_the_wanted_expert_with_the_descriptions() -> None:
    decision = router("tag").route("What helps against fever?", "cardiology")
    assert (decision.expert, decision.mode, decision.passed) == ("medicine", "tag", True)
    assert decision.score == pytest.approx(0.8, abs=0.01)
    assert "cardiology" in decision.reason


def test_tag_mode_without_a_tag_compares_the_question_itself_which_does_not_reach_the_threshold() -> None:
    decision = router("tag").route("What helps against fever?")
    assert (decision.expert, decision.passed) == ("general", False)
    assert "no tag" in decision.reason


def test_question_mode_ignores_the_tag() -> None:
    decision = router("question").route("What helps against fever?", "law")
    assert (decision.expert, decision.mode, decision.passed) == ("medicine", "question", True)
    assert decision.score > 0.9


def test_auto_asks_the_documents_first_and_no_other_mode_does() -> None:
    def read(question: str) -> dict[str, float]:
        return {"law": 0.95} if "poison" in question else {"law": 0.3}

    def deciding(mode: ScoreMode) -> Router:
        calibration = Calibration("table", 0.05, GATE)
        return Router(TableEncoder(TABLE), [MEDICINE, LAW], mode=mode, calibration=calibration, read=read)

    found = deciding("auto").route("Is it a crime to poison someone?", "cardiology")
    assert (found.expert, found.mode) == ("law", "documents")
    assert deciding("auto").route("What helps against fever?", "cardiology").mode == "tag"
    assert deciding("tag").route("Is it a crime to poison someone?", "cardiology").expert == "medicine"


def test_a_fallback_that_reads_everything_is_not_chosen_for_its_passages() -> None:
    library = ExpertProfile("library", "m", "")
    reading = Router(
        TableEncoder(TABLE),
        [MEDICINE, LAW, library],
        fallback="library",
        calibration=Calibration("table", 0.05, GATE),
        read=lambda _: {"law": 0.7, "library": 0.95},
    )
    found = reading.route("Is it a crime to poison someone?")
    assert [candidate.expert for candidate in found.candidates] == ["law", "library"]


def test_auto_asks_an_exact_expert_first_and_the_documents_after_it() -> None:
    def routed(pattern: str) -> tuple[str, list[str]]:
        exact = [replace(MEDICINE, exact_for=re.compile(pattern)), LAW]
        calibration = Calibration("table", 0.05, GATE)
        deciding = Router(TableEncoder(TABLE), exact, calibration=calibration, read=lambda _: {"law": 0.95})
        found = deciding.route("Is it a crime to poison someone?", "cardiology")
        return found.mode, [candidate.expert for candidate in found.candidates]

    assert routed("") == routed("crime|sum") == ("tag", ["medicine", "law"])
    assert routed(r"\d") == ("documents", ["law", "medicine"])


def test_auto_takes_the_tag_if_it_passes_and_the_question_if_not() -> None:
    assert router().route("What helps against fever?", "law").expert == "law"
    unknown = router().route("What helps against fever?", "basket weaving")
    assert (unknown.expert, unknown.mode) == ("medicine", "question")


def test_auto_settles_a_tie_between_two_experts_by_the_question() -> None:
    decision = router().route("What helps against fever?", "forensic medicine")
    assert [candidate.expert for candidate in decision.candidates] == ["medicine", "law", "general"]
    assert "settled by the question" in decision.reason


def test_a_foreign_question_goes_to_the_fallback_and_without_one_it_is_an_error() -> None:
    decision = router().route("zzz")
    assert (decision.expert, decision.passed) == ("general", False)
    with pytest.raises(NoEligibleExpertError, match="fallback"):
        router(fallback=None).route("zzz")


def test_experts_without_description_and_examples_are_never_ranked() -> None:
    assert [name for name, _ in router().route("zzz").scores] == ["law", "medicine"]


def test_many_questions_are_one_batch_and_give_the_same_as_one_by_one() -> None:
    encoder = WordEncoder()
    members = [ExpertProfile("cats", "m", "cats purr"), ExpertProfile("dogs", "m", "dogs bark")]
    one = Router(encoder, members, fallback="cats", calibration=Calibration("words", 0.05, GATE))
    questions, tags = ["why do cats purr", "do dogs bark", "other"], [None, "dogs", "  "]
    together = one.route_many(questions, tags)
    assert len(encoder.batches) == 2
    assert encoder.batches[1] == ["why do cats purr", WANTED_EXPERT.format(field="dogs"), "do dogs bark", "other"]
    assert together == [one.route(question, tag) for question, tag in zip(questions, tags, strict=True)]
    assert one.route_many([]) == []


def test_threads_share_one_index() -> None:
    encoder = WordEncoder()
    one = Router(
        encoder, [ExpertProfile("cats", "m", "cats")], fallback="cats", calibration=Calibration("words", 0.05, GATE)
    )
    with ThreadPoolExecutor(8) as pool:
        decisions = list(pool.map(one.route, ["about cats"] * 16))
    assert len(set(decisions)) == 1
    assert sum(batch == ["cats"] for batch in encoder.batches) == 1


def test_a_lone_expert_answers_its_own_questions_only() -> None:
    alone = Router(
        WordEncoder(),
        [ExpertProfile("cats", "m", "cats purr"), GENERAL],
        mode="question",
        fallback="general",
        calibration=Calibration("words", 0.05, GATE),
    )
    assert alone.route("why do cats purr").expert == "cats"
    assert alone.route("tax return deadline").expert == "general"


def test_a_team_of_fallbacks_alone_works() -> None:
    alone = Router(WordEncoder(), [GENERAL], fallback="general", calibration=Calibration("words", 0.05, GATE))
    assert alone.route("anything", "cats").expert == "general"


def test_calibrations_that_are_missing_or_of_another_encoder_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'other'.*'words'.*--calibrate"):
        Router(WordEncoder(), [MEDICINE], calibration=Calibration("other", 0.05, GATE))
    with pytest.raises(ConfigError, match="--calibrate"):
        Router(WordEncoder(), [MEDICINE])
    assert Router(WordEncoder(), [MEDICINE], mode="tag", fallback="medicine").route("x").expert == "medicine"


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("nan")])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        router(threshold=threshold)


def test_no_experts_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        Router(WordEncoder(), [], mode="tag")


def test_the_index_scores_are_the_mean_of_both_cosines() -> None:
    index = ExpertIndex.build(TableEncoder(TABLE), [MEDICINE, GENERAL, LAW])
    question = TableEncoder(TABLE).encode(["What helps against fever?"])
    examples = TableEncoder(TABLE).encode([MEDICINE.examples[0], LAW.examples[0]])
    assert index.names == ("medicine", "law")
    expected = (index.description_cosines(question) + question @ examples.T) / 2
    np.testing.assert_allclose(index.question_scores(question), expected, atol=1e-6)


def test_an_expert_with_examples_alone_is_ranked_by_them_and_one_with_a_description_alone_by_that() -> None:
    members = [ExpertProfile("a", "m", "", MEDICINE.examples), ExpertProfile("b", "m", LAW.description)]
    index = ExpertIndex.build(TableEncoder(TABLE), members)
    question = TableEncoder(TABLE).encode(["What helps against fever?"])
    examples = TableEncoder(TABLE).encode([MEDICINE.examples[0], LAW.description])
    np.testing.assert_allclose(index.question_scores(question), question @ examples.T, atol=1e-6)
    assert index.description_cosines(question)[0, 0] == 0


def test_thousands_of_experts_are_scored_by_one_product() -> None:
    members = [
        ExpertProfile(f"e{number}", "m", f"word{chr(97 + number % 26)}{'x' * (number // 26)}") for number in range(2000)
    ]
    many = Router(WordEncoder(), members, mode="tag", threshold=0.99)
    decision = many.route("", "wordaxxx")
    assert decision.expert == "e78"
    assert len(decision.scores) == 2000
