import json
import random

import pytest

from training.lora.rows import Curriculum, Row, encode_row, epoch_batches, learning_rate, read_rows

LENGTHS = [5, 90, 7, 40, 41, 8, 300, 6, 39, 7]


def test_a_batch_and_its_padding_keep_to_the_budget_and_every_example_is_in_one() -> None:
    batches = epoch_batches(LENGTHS, 100, random.Random(0))
    assert sorted(index for batch in batches for index in batch) == list(range(len(LENGTHS)))
    assert all(len(batch) * max(LENGTHS[i] for i in batch) <= 100 or len(batch) == 1 for batch in batches)
    assert len(batches) < len(LENGTHS) / 1.5


def test_a_resumed_curriculum_goes_on_exactly_and_epochs_differ() -> None:
    whole = Curriculum(LENGTHS, 100, seed=3)
    steps = 3 * whole.steps_per_epoch
    batches = [whole.batch(step) for step in range(steps)]
    resumed = Curriculum(LENGTHS, 100, seed=3)
    assert [resumed.batch(step) for step in range(7, steps)] == batches[7:]
    epochs = [batches[i : i + whole.steps_per_epoch] for i in range(0, steps, whole.steps_per_epoch)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert all(sorted(i for batch in epoch for i in batch) == list(range(len(LENGTHS))) for epoch in epochs)


def test_another_seed_is_another_order() -> None:
    first, second = (Curriculum(LENGTHS, 100, seed) for seed in (0, 1))
    assert [first.batch(i) for i in range(5)] != [second.batch(i) for i in range(5)]


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no row"):
        Curriculum([], 100, 0)


def test_loss_falls_on_the_completion_and_its_end_only() -> None:
    texts: list[str] = []

    def encode(text: str) -> list[int]:
        texts.append(text)
        return list(range(len(text)))

    example = encode_row(Row("Plan.", "Who?", "1. Who?"), encode)
    assert texts == [
        "<|im_start|>system\nPlan.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
        "1. Who?<|im_end|>",
    ]
    assert example.prompt_tokens == len(texts[0])
    assert len(example.tokens) == len(texts[0]) + len(texts[1])


def test_rows_are_read_and_a_bad_line_is_named() -> None:
    good = json.dumps({"system": "s", "user": "u", "completion": "c", "source": "x", "shape": "y"})
    assert read_rows([good, "\n"]) == [Row("s", "u", "c")]
    with pytest.raises(ValueError, match="line 2"):
        read_rows([good, '{"system": "s"}'])


def test_the_rate_warms_up_and_decays() -> None:
    assert learning_rate(1.0, 0, 0.0) == pytest.approx(0.05)
    assert learning_rate(1.0, 19, 0.0) == pytest.approx(1.0)
    assert learning_rate(1.0, 500, 0.5) == pytest.approx(0.5)
    assert learning_rate(1.0, 999, 1.0) == pytest.approx(0.05)
