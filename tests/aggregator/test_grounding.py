"""Sentences stand if they say what the sub-answers say, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.aggregator.base import Part
from compllm.aggregator.grounding import Content, is_kept, says_more, sentences, sources, without_repeats

QUESTION = "What do a cardiologist and an endocrinologist treat?"
HEART = Part(1, "What does a cardiologist treat?", "A cardiologist treats diseases of the heart.", "medicine")
GLANDS = Part(
    2, "What does an endocrinologist treat?", "Endocrinologists treat diabetes and disorders of glands.", "medicine"
)
PARTS = (HEART, GLANDS)
AUTHOR = Part(1, "Who wrote Middlemarch?", "George Eliot wrote Middlemarch in 1871.", "literature")
BIRTH = Part(2, "Where was George Eliot born?", "She was born in Nuneaton.", "history", (1,))
PRICE = Part(3, "What does it cost?", "It costs 12 pounds.", "shop")


@pytest.mark.parametrize(
    ("sentence", "steps"),
    [
        ("A cardiologist treats diseases of the heart.", (1,)),
        ("Heart diseases are treated by a cardiologist.", (1,)),
        ("Endocrinologists treat diabetes.", (2,)),
        ("A cardiologist treats the heart, while an endocrinologist treats diabetes and glands.", (1, 2)),
        ("A cardiologist treats diabetes.", ()),
        ("An endocrinologist treats the heart, while a cardiologist treats diabetes.", ()),
        ("A cardiologist treats 3 diseases of the heart.", ()),
        ("A cardiologist like Doctor House treats the heart.", ()),
        ("A cardiologist does not treat diseases of the heart.", ()),
        ("Cardiologists never treat the heart.", ()),
        ("Astronauts repair broken satellites quickly.", ()),
        ("It is so.", ()),
    ],
)
def test_what_a_sentence_draws_from(sentence: str, steps: tuple[int, ...]) -> None:
    assert sources(sentence, QUESTION, PARTS) == steps


@pytest.mark.parametrize(
    ("sentence", "steps"),
    [
        ("George Eliot, who wrote Middlemarch, was born in Nuneaton.", (1, 2)),
        ("Middlemarch of 1871 costs 12 pounds.", ()),
        ("She was born in Nuneaton for 12 pounds.", ()),
    ],
)
def test_only_answers_that_build_on_each_other_may_mix(sentence: str, steps: tuple[int, ...]) -> None:
    assert sources(sentence, "Where was the author born?", (AUTHOR, BIRTH, PRICE)) == steps


FIRST = Part(1, "When was Ann Lee born?", "6 February 1869", "history")
SECOND = Part(2, "When was Bob Ray born?", "28 May 1863", "history")
THIRD = Part(3, "Who was born first, Ann Lee or Bob Ray?", "Bob Ray", "history", (1, 2))
BORN = "Who was born first, Ann Lee or Bob Ray?"


@pytest.mark.parametrize(
    ("sentence", "steps"),
    [
        ("Bob Ray was born first [3].", (3,)),
        ("Ann Lee was born on 6 February 1869 [1], and Bob Ray was born on 28 May 1863 [2].", (1, 2)),
        ("Ann Lee was born on 6 February 1869, after Bob Ray [3].", (3,)),
        ("Both were born in the 1860s [1][2].", ()),
        ("Bob Ray [2], not Ann Lee [1].", ()),
        ("Ann Lee was born on 28 May 1863 [1].", ()),
        ("Bob Ray was born on 28 May 1863 [1].", ()),
        ("Ann Lee was not born on 6 February 1869 [1].", ()),
        ("Ann Lee was born on 6 February 1869 [1], a Saturday of storms.", ()),
        ("Ann Lee was born on 6 February 1869 [4].", ()),
        ("[1]", (1,)),
    ],
)
def test_a_sentence_that_cites_is_held_to_what_it_cites(sentence: str, steps: tuple[int, ...]) -> None:
    assert sources(sentence, BORN, (FIRST, SECOND, THIRD)) == steps


def test_what_all_steps_say_may_be_said_of_the_one_that_is_cited() -> None:
    parts = (Part(1, "Is tea hot?", "Tea is hot.", "x"), Part(2, "Is hot tea hot?", "Hot tea is hot.", "x"))
    assert sources("Tea is hot [1].", "Is tea hot?", parts) == (1,)
    assert sources("Tea is hot.", "Is tea hot?", parts) == ()


def test_a_citation_is_no_part_of_what_is_said() -> None:
    assert Content.of("Ann has 2 cats [1, 3].").words == {"ann", "ha", "2", "cat"} - {"ha"}
    assert not is_kept(Part(1, "How many?", "1", "x"), ["There is one [1]."], "How many?")


def test_an_answer_with_a_negation_may_be_told_with_it() -> None:
    part = Part(1, "Is it safe?", "It is not safe for children.", "medicine")
    assert sources("It is not safe for children.", "Is it safe?", (part,)) == (1,)


@pytest.mark.parametrize(
    ("kept", "whole"),
    [
        (["George Eliot wrote Middlemarch in 1871."], True),
        (["Middlemarch, of 1871, was written by George Eliot, who wrote much."], True),
        (["George Eliot wrote Middlemarch."], False),
        (["George Eliot wrote Middlemarch in 1872."], False),
        (["Eliot.", "Middlemarch in 1871, George wrote."], True),
        ([], False),
    ],
)
def test_a_part_is_kept_when_its_numbers_names_and_most_words_are(kept: list[str], whole: bool) -> None:
    assert is_kept(AUTHOR, kept, "Who?") is whole


@pytest.mark.parametrize(
    ("answer", "told", "whole"),
    [
        ("Dogs are not allowed in the main building.", "Dogs are allowed in the main building.", False),
        ("Dogs aren't allowed in the main building.", "Dogs are not allowed in the main building.", True),
        ("You get five days of leave a year.", "You get nine days of leave a year.", False),
        ("The hepatitis B vaccine is required.", "The hepatitis A vaccine is required.", False),
        ("The freezer is kept at -18 degrees.", "The freezer is kept at 18 degrees.", False),
        ("Paris", "Berlin is older.", False),
        ("Paris", "Paris is older.", True),
        ("Both.", "The office opens at nine.", False),
        ("Both.", "It is both.", True),
    ],
)
def test_an_answer_is_kept_with_its_negations_its_number_words_and_its_few_words(
    answer: str, told: str, whole: bool
) -> None:
    assert is_kept(Part(1, "Berlin or Paris?", answer, "x"), [told], "Which is older, Berlin or Paris?") is whole


def test_a_negation_in_another_form_is_one_too_many() -> None:
    part = Part(1, "Are dogs allowed?", "Dogs are allowed in the garden.", "x")
    assert sources("Dogs aren't allowed in the garden [1].", "Are dogs allowed?", (part,)) == ()


def test_the_first_word_of_a_sentence_is_a_name_only_with_capitals_inside() -> None:
    assert Content.of("Hearts beat. DNA copies. In 1990 it did.").marks == {"dna", "1990"}
    assert Content.of("He met Ada on 5 June.").marks == {"ada", "5", "june"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One [1]. Two [2, 3]! Three?", ["One [1].", "Two [2, 3]!", "Three?"]),
        ("George W. Bush won. He did.", ["George W. Bush won.", "He did."]),
        ("It is 3.5 m. That is all", ["It is 3.5 m.", "That is all"]),
        ("", []),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    assert sentences(text) == found


@pytest.mark.parametrize(
    ("sentence", "more"),
    [
        ("They also use the electrocardiogram.", False),
        ("They use the electrocardiogram and ultrasound.", True),
        ("They do not use the electrocardiogram.", True),
        ("They use 2 electrocardiograms.", True),
        ("So they do.", False),
    ],
)
def test_a_sentence_says_more_with_a_new_content_word(sentence: str, more: bool) -> None:
    assert says_more(sentence, "They use the electrocardiogram.") is more


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("They use the ECG. They also use the ECG.", "They use the ECG."),
        ("It beats.\nIt pumps.\nIt beats.", "It beats.\nIt pumps."),
        ("Yes. It is so.", "Yes."),
        ("It is. It was.", "It is."),
        ("- a[0] = 1\n- b[1] = 2", "- a[0] = 1\n- b[1] = 2"),
        ("It is safe. It is not safe.", "It is safe. It is not safe."),
        ("Spain beat Italy. Italy beat Spain.", "Spain beat Italy. Italy beat Spain."),
        ("1. Mix. 2. Bake. 3. Mix. 4. Serve.", "1. Mix. 2. Bake. 3. Mix. 4. Serve."),
        ("", ""),
    ],
)
def test_repeats_are_left_out_and_the_rest_stands_as_it_was(text: str, left: str) -> None:
    assert without_repeats(text) == left


@given(st.text(max_size=200))
def test_leaving_out_repeats_loses_no_word(text: str) -> None:
    left = without_repeats(text)
    assert Content.of(left).words == Content.of(text).words
    assert without_repeats(left) == left
