from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from compllm.bench.evidence.builder.build import Built, Sources, compose, read_material, team_yaml, write
from compllm.bench.evidence.builder.facts import Trained, stands_alone
from compllm.bench.evidence.builder.fields import CALCULATOR, described, tag_of
from compllm.bench.evidence.external import read_set
from compllm.bench.evidence.rows import EvidenceRow
from compllm.config import load_team
from compllm.errors import ConfigError
from compllm.router.calibration import read_json_lines

PLACES = ("Rome", "Paris", "Vienna", "Prague", "Madrid", "Lisbon")
FILMS = ("Dust", "Rain", "Snow", "Fog", "Hail", "Dew")
NAMES = ("Anna Ash", "Bert Birch", "Cora Cedar", "Dora Dell", "Emil Elm", "Fred Fir")


def lines(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rule(name: str) -> str:
    return f"A rule that most people still call after {name} of old."


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    titles = {"Rhine": "geography", "Oxygen": "science", "Amazon": "geography"}
    years = {place: 1800 + 10 * number for number, place in enumerate(PLACES)}
    paragraphs = [
        {
            "id": f"xquad-{title}-0",
            "title": title,
            "domain": domain,
            "text": " ".join(f"Of {title}, the {place} papers say {year}." for place, year in years.items()),
        }
        for title, domain in titles.items()
    ]
    questions = [
        {
            "id": f"{title}-{place}",
            "question": f"What do the {place} papers say of {title}?",
            "answer": str(year),
            "domain": domain,
            "doc_title": title,
            "doc_index": 0,
        }
        for title, domain in titles.items()
        for place, year in years.items()
    ]
    terms = [
        {"id": f"t-{n}", "title": f"Term {n}", "text": rule(name), "domain": "law", "source": "terms", "licence": "CC0"}
        for n, name in enumerate(NAMES)
    ]
    wiki = [
        {"id": f"f-{n}", "title": f"{film} (film)", "text": f"{film} is a 193{n} film directed by {NAMES[n]}."}
        for n, film in enumerate(FILMS)
    ]
    wiki += [
        {
            "id": f"n-{n}",
            "title": name,
            "text": f"{name} (born {n + 1} May 191{n} in Bath – 2 June 1999) directed.",
        }
        for n, name in enumerate(NAMES)
    ]
    events = [{"id": f"Rhine-{place}", "event": f"the {place} papers", "kind": "year"} for place in PLACES]
    return Sources(
        lines(tmp_path / "qa.jsonl", questions),
        lines(tmp_path / "paragraphs.jsonl", paragraphs),
        (lines(tmp_path / "law_terms.jsonl", terms),),
        (lines(tmp_path / "wiki.jsonl", wiki),),
        lines(tmp_path / "events.jsonl", events),
    )


def built(sources: Sources, seed: int = 0) -> Built:
    return compose(read_material(sources), {"P": 20, "D": 5, "J": 8}, seed)


def test_parallel_parts_are_of_different_fields_and_stand_in_their_documents(sources: Sources) -> None:
    found = built(sources)
    texts = {passage.id: passage.text for passages in found.documents.values() for passage in passages}
    assert len(found.sets["P"]) == 20
    for row in found.sets["P"]:
        experts = [step.expert for step in row.plan]
        assert 2 <= len(experts) == len(set(experts)) <= 5
        assert row.parts == tuple(step.answers for step in row.plan)
        assert all(step.answers[0] in texts[step.passage] for step in row.plan)
        assert not any(step.depends_on for step in row.plan)
        assert all(step.question.rstrip("?").lower() in row.question.lower() for step in row.plan)


def test_a_bridge_leads_from_the_work_to_the_life_of_its_maker(sources: Sources) -> None:
    rows = built(sources).sets["D"]
    assert len(rows) == 5
    for row in rows:
        first, second = row.plan
        assert (first.expert, second.expert, second.depends_on) == ("film", "biography", (1,))
        assert first.answers[0] in NAMES
        assert first.answers[0] not in row.question
        assert row.parts == (second.answers,)
        assert row.gold_plan.edges == ((1, 2),)
    assert len({row.plan[0].answers for row in rows}) == 5


def value(row: EvidenceRow, step: int) -> int:
    return int(row.plan[step].answers[0][-4:])


def test_a_join_compares_what_its_steps_found(sources: Sources) -> None:
    rows = built(sources).sets["J"]
    assert len(rows) == 8
    for row in rows:
        first, second, last = row.plan
        assert first.expert != second.expert
        assert (last.expert, last.depends_on) == (CALCULATOR, (1, 2))
        if row.question.startswith("How many"):
            assert row.parts == ((str(abs(value(row, 0) - value(row, 1))),),)
        else:
            winner = 0 if value(row, 0) < value(row, 1) else 1
            assert row.parts[0][0] in row.question.split(" or ")[winner]


def test_other_articles_omitted_ids_and_trained_texts_stay_out(sources: Sources, tmp_path: Path) -> None:
    seen = lines(tmp_path / "rows.jsonl", [{"user": f"{rule(NAMES[0])} Question: Which?"}])
    strict = Sources(
        sources.questions, sources.paragraphs, sources.glossaries, omitted=frozenset({"Rhine-Rome"}), trained=(seen,)
    )
    ids = {fact.id for fact in read_material(strict).facts}
    assert "Rhine-Paris" in ids
    assert not any(fact.startswith("Amazon") for fact in ids)
    assert "Rhine-Rome" not in ids
    assert {"t-1", "t-5"} <= ids
    assert "t-0" not in ids


def test_a_row_that_lacks_something_is_named(sources: Sources, tmp_path: Path) -> None:
    """Above all one of training: what it does not show cannot be shunned."""
    seen = lines(tmp_path / "rows.jsonl", [{"user": "a"}, {"prompt": rule(NAMES[0])}])
    with pytest.raises(ConfigError, match=r'rows\.jsonl:2: a row needs "user"'):
        read_material(replace(sources, trained=(seen,)))
    with pytest.raises(ConfigError, match=r'qa\.jsonl:1: a row needs "title"'):
        read_material(replace(sources, paragraphs=sources.questions))


def test_one_field_gives_no_parallel_questions(sources: Sources) -> None:
    material = read_material(Sources(sources.questions, sources.paragraphs, articles=frozenset({"Rhine"})))
    with pytest.raises(ConfigError, match="two fields"):
        compose(material, {"P": 1, "D": 0, "J": 0}, 0)
    assert compose(material, {"P": 0, "D": 0, "J": 0}, 0).sets["P"] == ()


def test_ten_words_in_a_row_are_seen() -> None:
    trained = Trained.of(["one two three four five six seven eight nine ten eleven"])
    assert trained.has_seen("Zero. One two three four five six seven eight nine ten!")
    assert not trained.has_seen("one two three four five six seven eight nine")


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(sources: Sources, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        counts = write(built(sources, seed), folder)
    assert counts["All"] == 33
    first, again, other = (sorted((f.relative_to(d), f.read_bytes()) for f in d.rglob("*.*")) for d in folders)
    assert first == again != other


def test_what_is_written_can_be_asked(sources: Sources, tmp_path: Path) -> None:
    write(built(sources), tmp_path / "out")
    team = load_team(tmp_path / "out")
    rows = read_set(str(tmp_path / "out" / "All.jsonl"))
    assert {step.expert for row in rows for step in row.plan} == set(team.config.experts) - {"general"}
    for expert in team.config.experts.values():
        assert all(read_json_lines(team.resolve(path)) for path in expert.documents)


@pytest.mark.parametrize(
    ("question", "alone"),
    [
        ("Who was the V&A's first director?", True),
        ("When was he elected by Nixon?", False),
        ("What is the bad air theory called?", False),
        ("What field studies the immune system?", True),
        ("Who won in 2000?", True),
    ],
)
def test_a_question_stands_alone_if_it_names_something(question: str, alone: bool) -> None:
    assert stands_alone(question, "Immune_system") is alone


def test_every_field_has_an_expert_that_routing_can_describe() -> None:
    found = described(["history", "film", "pottery_of_china"])
    assert found["history"][1]
    assert found["film"][0].startswith("An expert in film and television")
    assert found["pottery_of_china"][0].startswith("An expert in pottery of china")
    assert tag_of("film_tv") == "film and television"


def test_the_fallback_reads_what_all_fields_read() -> None:
    team = yaml.safe_load(team_yaml(["law", "art"]))
    last = team["experts"][team["router"]["fallback"]]
    assert last["documents"] == [*team["experts"]["law"]["documents"], *team["experts"]["art"]["documents"]]
    assert "description" not in last
