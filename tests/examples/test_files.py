"""The files of the applications: teams that load, questions that documents answer, passages that a reader can use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compllm.bench.application import QUESTIONS_FILE, Question, read_questions
from compllm.bench.squad import normalised
from compllm.config import TeamFile, load_team
from compllm.experts.excerpts import excerpts
from compllm.router.calibration import read_json_lines

EXAMPLES = Path(__file__).parents[2] / "examples"
APPLICATIONS = ("business", "medicine", "education", "edge")


def team(application: str) -> TeamFile:
    return load_team(EXAMPLES / application)


def questions(application: str) -> list[Question]:
    return read_questions(EXAMPLES / application / QUESTIONS_FILE)


def documents(file: TeamFile, expert: str) -> list[Path]:
    return [file.resolve(path) for path in file.config.experts[expert].documents]


@pytest.mark.parametrize("application", APPLICATIONS)
def test_a_team_has_experts_with_documents_and_examples(application: str) -> None:
    file = team(application)
    assert file.config.name == application
    for name, expert in file.config.experts.items():
        assert documents(file, name)
        assert not expert.description or len(expert.examples) >= 5


@pytest.mark.parametrize("application", APPLICATIONS)
def test_questions_are_many_distinct_and_for_experts_of_the_team(application: str) -> None:
    asked, experts = questions(application), set(team(application).config.experts)
    assert len(asked) >= 25
    assert len({question.id for question in asked}) == len({question.text for question in asked}) == len(asked)
    assert {expert for question in asked for expert in question.experts} <= experts
    sizes = [len(question.experts) for question in asked]
    assert {1, 2, 3} >= set(sizes) >= {1, 2, 3}
    assert len([question for question in asked if question.id.startswith("bridge")]) >= 3


@pytest.mark.parametrize("application", APPLICATIONS)
def test_no_question_is_one_that_routing_was_made_with(application: str) -> None:
    file = team(application)
    known = {example for expert in file.config.experts.values() for example in expert.examples}
    labelled = EXAMPLES / application / "routing.jsonl"
    if labelled.exists():
        known |= {str(row["question"]) for _, row in read_json_lines(labelled)}
    assert known & {question.text for question in questions(application)} == set()


@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_part_is_in_the_documents_of_an_expert_that_is_named_for_it(application: str) -> None:
    file = team(application)
    for question in questions(application):
        texts = [path.read_text("utf-8") for expert in question.experts for path in documents(file, expert)]
        known = f" {normalised(' '.join(texts))} "
        assert [part for part in question.parts if not any(f" {normalised(each)} " in known for each in part)] == []


@pytest.mark.parametrize("application", APPLICATIONS)
def test_passages_are_short_and_stand_under_a_heading_of_their_own(application: str) -> None:
    for path in sorted((EXAMPLES / application / "documents").glob("*.md")):
        sections = re.split(r"^## ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]
        assert len(excerpts(path, path.read_bytes())) == len(sections) >= 10
        sizes = {section.split("\n")[0]: len(section.partition("\n")[2].split()) for section in sections}
        assert {title: size for title, size in sizes.items() if not 20 <= size <= 75} == {}


@pytest.mark.parametrize("application", APPLICATIONS)
def test_a_readme_says_how_to_ask_and_how_to_measure(application: str) -> None:
    text = (EXAMPLES / application / "README.md").read_text("utf-8")
    assert f"compllm ask --team examples/{application} " in text
    assert f"compllm bench application examples/{application}" in text
