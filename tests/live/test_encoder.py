"""The bundled encoder: properties that hold for sentence vectors."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from compllm.cli.main import app
from compllm.core.routing import ExpertProfile
from compllm.router.onnx_encoder import OnnxEncoder
from compllm.router.router import Router

pytestmark = pytest.mark.live

TEXTS = [
    "What is the capital of France?",
    "",
    "word " * 500,
    "Wie heißt die Hauptstadt von Frankreich?",
    "日本の首都はどこですか",
    "lone \ud800 surrogate and \x00 zero",
    "Which medicine lowers blood pressure?",
]


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder(threads=1)


def test_vectors_are_unit_float32_of_384_dimensions(encoder: OnnxEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, 384)


def test_neither_the_batch_nor_the_order_changes_a_vector(encoder: OnnxEncoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1]), together[::-1], atol=1e-4)


def test_a_paraphrase_is_closer_than_something_else(encoder: OnnxEncoder) -> None:
    one, same, other = encoder.encode(
        ["How do I lower my blood pressure?", "Ways of reducing hypertension", "Who composed The Magic Flute?"]
    )
    assert one @ same > one @ other + 0.3


def test_text_beyond_256_tokens_does_not_count(encoder: OnnxEncoder) -> None:
    short, long = encoder.encode(["river " * 300, "river " * 300 + "completely different ending"])
    np.testing.assert_allclose(short, long, atol=1e-5)


def test_many_passages_leave_little_memory_behind() -> None:
    script = """
import psutil
from compllm.router.onnx_encoder import OnnxEncoder
encoder, process = OnnxEncoder(threads=1), psutil.Process()
encoder.encode(["one"])
before_bytes = process.memory_info().rss
encoder.encode(["many words " * 60] * 24)
print(process.memory_info().rss - before_bytes)
"""
    grown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert int(grown.stdout) < 40 * 2**20


def test_threads_get_their_own_answers_also_when_the_model_is_closed_in_between(encoder: OnnxEncoder) -> None:
    expected = encoder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(encoder.encode, [text]) for text in TEXTS * 2]
        encoder.close()
        found = np.concatenate([future.result() for future in futures])
    np.testing.assert_allclose(found, np.concatenate([expected, expected]), atol=1e-4)


def test_the_shipped_calibration_routes_clear_questions_and_refuses_commands(encoder: OnnxEncoder) -> None:
    experts = [
        ExpertProfile(
            "medicine",
            "m",
            "An expert in medicine who answers questions about diseases, symptoms, drugs and treatment.",
            ("What are the symptoms of measles?", "Which drug treats malaria?", "What causes anaemia?"),
        ),
        ExpertProfile(
            "geography",
            "m",
            "An expert in geography who answers questions about countries, capitals, rivers and mountains.",
            ("What is the capital of Peru?", "Which river flows through Baghdad?", "Which countries border Laos?"),
        ),
        ExpertProfile("general", "m", ""),
    ]
    router = Router(encoder, experts, fallback="general")
    assert router.route("What is the capital of Kenya?").expert == "geography"
    assert router.route("Which drug treats tuberculosis?").expert == "medicine"
    assert router.route("set an alarm for seven").expert == "general"
    assert router.route("What is the usual dose?", "medicine").mode == "tag"


def test_the_bench_command_prints_json_alone_on_stdout_and_tables_otherwise(tmp_path: Path) -> None:
    experts = [
        {
            "name": "law",
            "description": "An expert in law who answers questions about courts.",
            "examples": ["Who sues?"],
        },
        {
            "name": "music",
            "description": "An expert in music who answers questions about songs.",
            "examples": ["Who sang?"],
        },
    ]
    asked = [("Who judges an appeal?", "law"), ("Who composed the song?", "music"), ("What is a crime?", "law")]
    rows = [{"question": question, "domain": domain, "split": "test"} for question, domain in asked]
    (tmp_path / "experts.json").write_text(json.dumps(experts))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    call = ["bench", "route", str(tmp_path / "rows.jsonl"), "--experts", str(tmp_path / "experts.json")]
    figures = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert figures["representations"][2]["argmax_accuracy"] == 1.0
    assert set(figures["shipped"]) == {"coverage", "precision"}
    shown = CliRunner().invoke(app, call)
    assert shown.exit_code == 0
    assert "What stands for an expert" in shown.stdout
