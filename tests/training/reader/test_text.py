import random

import pytest

from training.reader.text import cut, excerpt, holds, normalised, repaired, sentences, span

PASSAGE = (
    "The mill was built in 1820. It burned twice. The owner was Ada Finch. She sold it in 1850. It is a museum now."
)


def test_normal_form_drops_case_articles_and_punctuation() -> None:
    assert normalised("The  Rhine, (a river).") == "rhine river"


def test_holds_whole_words_only() -> None:
    assert holds("It has 12 rooms.", "12")
    assert not holds("It has 123 rooms.", "12")


def test_initials_and_titles_end_no_sentence() -> None:
    assert sentences("J. S. Bach met Dr. Hale. They spoke.") == ["J. S. Bach met Dr. Hale.", "They spoke."]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("the Rhine", "Rhine"), ("a week.", "week"), ("U.S.", "U.S."), ("The", "The")],
)
def test_span_is_bare(answer: str, expected: str) -> None:
    assert span(answer) == expected


def test_cut_holds_the_answer_at_varied_places() -> None:
    cuts = {cut(PASSAGE, "Ada Finch", "Who owned the mill?", 14, random.Random(seed)) for seed in range(20)}
    assert len(cuts) > 2
    assert all(part and "Ada Finch" in part and len(part.split()) <= 14 for part in cuts)
    assert all(part and part.endswith(".") for part in cuts)


def test_cut_means_the_sentence_like_the_question() -> None:
    text = "In 1900 Ann Lee was mayor. Many years later the bridge was opened by Ann Lee."
    assert cut(text, "Ann Lee", "By whom was the bridge opened?", 3, random.Random(0)) == sentences(text)[1]


def test_cut_without_the_answer_is_none() -> None:
    assert cut(PASSAGE, "Bo Finch", "Who?", 50, random.Random(0)) is None


def test_excerpt_of_a_short_passage_starts_where_it_names_its_subject() -> None:
    assert excerpt("Fern Hall is a house. It is old.", 40, random.Random(3)).startswith("Fern Hall")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Orla( born 3 May 1950) was a half- sister .", "Orla (born 3 May 1950) was a half-sister."),
        ('" Dawn" is on the album" Night".', '"Dawn" is on the album "Night".'),
        ("Eric (17 April 195613 January 2014) ran.", "Eric (17 April 1956 – 13 January 2014) ran."),
    ],
)
def test_repaired_white_space(text: str, expected: str) -> None:
    assert repaired(text) == expected
