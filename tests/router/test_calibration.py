"""Fitting, saving and refusing calibrations."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.routing import ExpertProfile, Gate, softmax
from compllm.errors import ConfigError
from compllm.router.calibration import Calibration, LabelledQuestion, calibrate, read_labelled
from compllm.router.fitting import auroc, expected_calibration_error, fit_logistic, fit_temperature
from compllm.router.onnx_encoder import ENCODER_NAME
from tests.router.encoders import TableEncoder, WordEncoder

GATE = Gate(intercept=-1.0, best=2.0, margin=3.0, mean=-4.0, description=0.5, background=0.1, threshold=0.4)
CATS = ExpertProfile("cats", "m", "An expert in cats who answers questions about kittens.", ("why do cats purr",))
CARS = ExpertProfile("cars", "m", "An expert in cars who answers questions about engines.", ("how do engines start",))
OWN = [
    *(LabelledQuestion(f"{word} cats kittens", "cats") for word in ("feeding", "old", "wild", "small", "lost", "sick")),
    *(LabelledQuestion(f"{word} cars engines", "cars") for word in ("fast", "blue", "used", "cheap", "loud", "new")),
]
FOREIGN = [LabelledQuestion(text, None) for text in ("tulip bulbs", "tax forms", "moon phases", "jazz chords")]


def test_a_calibration_survives_the_file(tmp_path: Path) -> None:
    written = Calibration("words", 0.05, GATE, "card", {"coverage": 0.5})
    written.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json", encoder="words") == written


def test_a_calibration_of_another_encoder_is_refused(tmp_path: Path) -> None:
    Calibration("words", 0.05, GATE).save(tmp_path / "c.json")
    with pytest.raises(ConfigError, match=r"'words'.*'e5'"):
        Calibration.load(tmp_path / "c.json", encoder="e5")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"encoder": "words", "temperature": 0.1, "gate": {"best": 1}}',
        '{"encoder": "words", "gate": 3}',
    ],
)
def test_files_that_are_no_calibration_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.json"):
        Calibration.load(tmp_path / "c.json", encoder="words")


@pytest.mark.parametrize("temperature", [0, -1, "NaN"])
def test_impossible_temperatures_are_refused(tmp_path: Path, temperature: object) -> None:
    Calibration("words", 0.05, GATE).save(tmp_path / "c.json")
    data = json.loads((tmp_path / "c.json").read_text()) | {"temperature": temperature}
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError, match="temperature"):
        Calibration.load(tmp_path / "c.json", encoder="words")


def test_missing_files_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json"):
        Calibration.load(tmp_path / "none.json", encoder="words")
    with pytest.raises(ConfigError, match="written"):
        Calibration("words", 0.05, GATE).save(tmp_path / "no" / "c.json")


def test_the_bundled_encoder_has_a_shipped_calibration_and_others_have_none() -> None:
    shipped = Calibration.shipped(ENCODER_NAME)
    assert shipped is not None
    assert 0.02 < shipped.temperature < 0.05
    assert shipped.card
    assert Calibration.shipped("words") is None
    assert Calibration.shipped(f"../calibration/{ENCODER_NAME}") is None


def test_calibrating_with_foreign_questions_routes_the_own_and_refuses_the_foreign() -> None:
    report = calibrate(WordEncoder(), [CATS, CARS], OWN * 5 + FOREIGN * 5)
    assert (report.questions, report.no_expert_questions) == (60, 20)
    assert report.accuracy == 1.0
    assert report.coverage > 0.9
    assert report.precision == 1.0
    assert report.wrong_routes is not None
    assert report.wrong_routes < 0.1
    assert report.calibration.encoder == "words"


def test_without_foreign_questions_the_gate_learns_from_questions_whose_expert_is_taken_away() -> None:
    report = calibrate(WordEncoder(), [CATS, CARS], OWN * 5)
    assert report.wrong_routes is None
    assert report.coverage > 0.9
    assert any("no expert" in warning for warning in report.warnings)


def test_a_lone_expert_can_be_calibrated_without_foreign_questions() -> None:
    report = calibrate(WordEncoder(), [CATS], [row for row in OWN if row.expert == "cats"] * 10)
    assert report.coverage > 0.5


def test_nothing_and_everything_that_passes_is_a_warning() -> None:
    blind = TableEncoder({"": [1.0, 0.0]})
    report = calibrate(blind, [CATS, CARS], OWN)
    assert any(warning.startswith("nothing passes:") for warning in report.warnings)
    assert any(warning.startswith("everything passes by tag") for warning in report.warnings)
    axes = {CATS.description: [1.0, 0.0, 0.0], CARS.description: [0.0, 1.0, 0.0]}
    assert any(
        warning.startswith("nothing passes by tag")
        for warning in calibrate(TableEncoder(axes), [CATS, CARS], OWN).warnings
    )


def test_what_the_choice_of_questions_hides_is_a_warning() -> None:
    general = ExpertProfile("general", "m", "")
    rows = [LabelledQuestion(CATS.examples[0], "cats"), LabelledQuestion("Hello.", "general")]
    warnings = calibrate(WordEncoder(), [CATS, CARS, general], rows * 5).warnings
    assert "no labelled questions for cars: the figures say nothing of them" in warnings
    assert any(warning.startswith("questions of general count as ones for no expert") for warning in warnings)
    assert any(warning.startswith("5 labelled questions are examples of experts") for warning in warnings)
    complete = calibrate(WordEncoder(), [CATS, CARS], OWN * 5 + FOREIGN * 5).warnings
    assert complete == ()


def test_rows_for_nobody_alone_cannot_be_fitted() -> None:
    with pytest.raises(ConfigError, match="every row says no expert"):
        calibrate(WordEncoder(), [CATS, CARS], FOREIGN)


def test_labelled_rows_are_read_with_either_key(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "q", "expert": "cats"}\n\n{"question": "r", "domain": null}\n')
    assert read_labelled(file, ["cats"]) == [LabelledQuestion("q", "cats"), LabelledQuestion("r", None)]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"question": "q"}',
        '{"question": "", "expert": null}',
        '{"question": "q", "expert": "dogs"}',
        '{"question": "q", "expert": 3}',
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "q", "expert": "cats"}\n' + line + "\n")
    with pytest.raises(ConfigError, match=r"rows\.jsonl:2"):
        read_labelled(file, ["cats"])


def test_a_byte_order_mark_before_the_rows_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "q", "expert": "cats"}\n', encoding="utf-8-sig")
    assert read_labelled(file, ["cats"]) == [LabelledQuestion("q", "cats")]


def test_empty_and_missing_files_of_rows_are_config_errors(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match="no rows"):
        read_labelled(tmp_path / "rows.jsonl", ["cats"])
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        read_labelled(tmp_path / "none.jsonl", ["cats"])


@pytest.mark.parametrize("truth", [0.02, 0.1, 1.0])
def test_the_temperature_that_made_the_labels_is_found(truth: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2 * truth, (4000, 5))
    labels = np.array([rng.choice(5, p=p) for p in softmax(scores, truth)])
    assert fit_temperature(scores, labels) == pytest.approx(truth, rel=0.1)


def test_a_few_questions_that_are_all_right_do_not_make_the_router_certain() -> None:
    scores = np.array([[0.3, 0.1], [0.1, 0.3]] * 10)
    temperature = fit_temperature(scores, np.array([0, 1] * 10))
    assert 0.9 < softmax(scores[:1], temperature).max() < 0.99


def test_logistic_regression_finds_the_weights_that_made_the_targets() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (20000, 2))
    p = 1 / (1 + np.exp(-(-1 + 0.8 * features[:, 0] - 0.5 * features[:, 1])))
    np.testing.assert_allclose(fit_logistic(features, rng.random(20000) < p), [-1, 0.8, -0.5], atol=0.1)


def test_logistic_regression_stays_finite_on_separable_constant_and_single_class_data() -> None:
    features = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    for targets in ([False, False, True, True], [True] * 4, [False] * 4):
        assert np.isfinite(fit_logistic(features, np.array(targets))).all()


def test_calibration_error_of_a_perfect_and_of_a_boastful_model() -> None:
    correct = np.array([True] * 9 + [False])
    assert expected_calibration_error(np.full(10, 0.9), correct) == pytest.approx(0)
    assert expected_calibration_error(np.ones(10), correct) == pytest.approx(0.1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_auroc_is_the_share_of_pairs_in_order(inside: list[int], outside: list[int]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
    assert auroc(np.array(inside, dtype=float), np.array(outside, dtype=float)) == pytest.approx(np.mean(pairs))
