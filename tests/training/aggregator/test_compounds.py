import random
import re

import pytest

from training.aggregator import compounds
from training.aggregator.compounds import HELD_OUT_WORDINGS, WORDINGS
from training.aggregator.facts import Fact, openings, short, told
from training.aggregator.rows import is_grounded, paragraph
from training.reader import handbooks

FACTS = (
    Fact("What is the capital of France?", "Paris", "geography", "invented"),
    Fact("Who built the mill?", "Ada Finch", "history", "invented"),
    Fact("How high is the tower?", "96 metres", "art", "invented"),
)
FILM = "{0} is a 19{1} Welsh drama film directed by {2}."
ARTICLES = [
    {"title": "The Mill", "text": FILM.format("The Mill", 50, "Orla Finch")},
    {"title": "The Weir", "text": FILM.format("The Weir", 61, "Bo Lund")},
    {"title": "Orla Finch", "text": "Orla Finch (born 3 May 1910) is a Welsh film director."},
    {"title": "Bo Lund", "text": "Bo Lund (born 9 June 1921) is a Danish film director."},
]


@pytest.mark.parametrize("wording", [*WORDINGS, *HELD_OUT_WORDINGS])
def test_every_wording_asks_all(wording: str) -> None:
    made = compounds.side_by_side(FACTS, wording, "invented")
    for fact in FACTS:
        assert fact.question[1:-1] in made.question
    assert made.question[0].isupper()


def test_a_bridge_asks_about_the_first_answer() -> None:
    made = list(compounds.bridges(compounds.known(ARTICLES), random.Random(0)))
    assert made
    for bridge in made:
        first, second = bridge.steps
        assert first.answer is not None
        assert first.answer in second.question
        assert first.answer not in bridge.question
        assert second.parents == (1,)


def test_comparisons_name_the_right_winner() -> None:
    known = compounds.known(ARTICLES)
    for made in (
        *compounds.comparisons(known, random.Random(1)),
        *compounds.bridged_comparisons(known, random.Random(1)),
    ):
        last = made.steps[-1]
        assert made.leads
        expected = {
            "comparison of years": {"The Mill", "1950"},
            "comparison of dates": {"Orla Finch"},
            "comparison of nationalities": {"No"},
            "comparison of bridges": {"The Mill" if "older" in made.question else "The Weir"},
        }[made.shape]
        assert last.answer in expected


def test_the_greater_number_wins() -> None:
    for made in compounds.weighed(40, handbooks.load(), random.Random(2)):
        numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,.]*", made.steps[2].question)]
        assert made.steps[2].answer is not None
        assert re.findall(r"\d[\d,.]*", made.steps[2].answer)[0].replace(",", "") in {
            str(max(numbers)),
            str(int(max(numbers))),
        }


def test_every_scene_is_whole_and_grounded() -> None:
    rng = random.Random(3)
    for scene in compounds.scenes(rng):
        assert not re.search(r"[{}|]", scene.question)
        assert all(set(step.parents) < {s.number for s in scene.steps} for step in scene.steps)
        assert is_grounded(scene, paragraph(scene, frozenset(), rng)), scene.question


def test_a_gap_takes_what_was_built_on_it() -> None:
    (bridge, *_) = compounds.bridges(compounds.known(ARTICLES), random.Random(0))
    for seed in range(10):
        gapped = compounds.with_gap(bridge, random.Random(seed))
        assert gapped.steps[-1].answer is None
        assert any(step.answer for step in gapped.steps)
        assert gapped.shape.endswith(", gap")


def test_a_lost_answer_is_a_reference_again() -> None:
    for made in compounds.weighed(20, handbooks.load(), random.Random(2)):
        for seed in range(6):
            gapped = compounds.with_gap(made, random.Random(seed))
            for step in gapped.steps[:2]:
                assert (f"#{step.number}" in gapped.steps[2].question) == (step.answer is None)


def test_short_questions_are_filtered() -> None:
    rows = [
        {"question": "Who built the old mill?", "answer": "Ada Finch.", "domain": "d", "source": "OpenTriviaQA"},
        {"question": "Who was Finchs brother in it?", "answer": "Bo", "domain": "d", "source": "OpenTriviaQA"},
        {"question": "Who built the old mill?", "answer": "Ada Finch", "domain": "d", "source": "unknown"},
    ]
    assert [fact.answer for fact in short(rows)] == ["Ada Finch"]


def test_chatty_answers_say_the_same() -> None:
    answers = {told(FACTS[0], frozenset(), random.Random(seed)).answer for seed in range(20)}
    assert answers == {"Paris", "The capital of France is Paris."}


def test_openings_ask_who_of_people_and_what_of_things() -> None:
    people = {"title": "Ann Lee", "text": "Ann Lee is a Welsh film director of many short and long films."}
    asked = [fact.question for fact in openings([*ARTICLES[:1], people], "wiki", random.Random(0))]
    assert asked == ["What is The Mill?", "Who is Ann Lee?"]
