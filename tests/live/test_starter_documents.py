"""The starter team's documents, searched with the bundled encoder."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib import resources
from pathlib import Path

import pytest

from compllm.experts.documents import DocumentIndex
from compllm.router.onnx_encoder import OnnxEncoder

pytestmark = pytest.mark.live

PACKS = Path(str(resources.files("compllm"))) / "assets" / "starter" / "documents"
EXPERTS = (
    "history",
    "literature",
    "science",
    "geography",
    "medicine",
    "law",
    "finance",
    "computing",
    "music",
    "cooking",
)


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DocumentIndex]]:
    cache = tmp_path_factory.mktemp("cache")
    with closing(OnnxEncoder()) as encoder, ExitStack() as stack:
        yield {
            expert: stack.enter_context(closing(DocumentIndex.open([PACKS / f"{expert}.md"], encoder, cache)))
            for expert in EXPERTS
        }


@pytest.mark.parametrize(
    ("expert", "question", "title"),
    [
        ("history", "Who ruled first over a united China?", "The first emperor of China"),
        ("history", "How did the steam engine and factories change Britain?", "The Industrial Revolution"),
        ("literature", "Who is the author of Middlemarch?", "Middlemarch"),
        (
            "literature",
            "How did industrialisation shape Victorian novels?",
            "The Industrial Revolution in Victorian literature",
        ),
        ("science", "What is the powerhouse of the cell?", "Cells"),
        ("science", "Who found radium?", "Marie Curie"),
        ("geography", "What is the capital of France?", "France"),
        ("geography", "What is the population of Paris?", "Paris"),
        ("medicine", "Which doctor should treat heart failure?", "Cardiologist"),
        ("medicine", "What kind of doctor looks after children?", "Pediatrician"),
        ("law", "What protects me from being jailed without a judge?", "Habeas corpus"),
        ("law", "How many years until an author's rights run out?", "Copyright"),
        ("finance", "What happens to existing bonds when rates go up?", "Bond"),
        ("finance", "How does interest on interest work?", "Compound interest"),
        ("computing", "Who made Python?", "Python"),
        ("computing", "What paper introduced attention-based networks?", "Transformers"),
        ("music", "How many keys are on a piano?", "The piano"),
        ("music", "Who wrote the Ode to Joy symphony?", "Ludwig van Beethoven"),
        ("cooking", "Why does steak turn brown in the pan?", "The Maillard reaction"),
        ("cooking", "At what temperature is chicken done?", "Safe cooking temperatures"),
    ],
)
def test_the_right_passage_is_among_the_first_three(
    starter: dict[str, DocumentIndex], expert: str, question: str, title: str
) -> None:
    assert title in [passage.title for passage in starter[expert].search(question)]


@pytest.mark.parametrize(
    ("expert", "question"),
    [
        ("music", "How is a mortgage repaid?"),
        ("law", "Which planet is the largest?"),
        ("cooking", "Who won the Battle of Waterloo?"),
    ],
)
def test_another_experts_question_finds_nothing(starter: dict[str, DocumentIndex], expert: str, question: str) -> None:
    assert starter[expert].search(question) == ()


@pytest.mark.parametrize("expert", EXPERTS)
def test_a_pack_is_broad_and_its_passages_are_short(expert: str) -> None:
    _, *sections = re.split(r"^## ", (PACKS / f"{expert}.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sizes = {section.split("\n")[0]: len(section.partition("\n")[2].split()) for section in sections}
    assert 25 <= len(sizes) <= 40
    assert {title: size for title, size in sizes.items() if not 40 <= size <= 90} == {}
