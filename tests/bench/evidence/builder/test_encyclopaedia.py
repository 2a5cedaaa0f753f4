from __future__ import annotations

import pytest

from compllm.bench.evidence.builder.encyclopaedia import dates, library_facts, read_library

FILM = {"id": "1", "title": "Dust (1956 film)", "text": "Dust is a 1956 American western film directed by Anna B. Ash."}
ANNA = {
    "id": "2",
    "title": "Anna B. Ash",
    "text": "Anna B. Ash( 2 May 1921 in Bath, England – 23 April 1992) was a director.",
}


def person(text: str) -> tuple[str, str, str] | None:
    library = read_library([{"id": "2", "title": "Anna Ash", "text": text}])
    found = library.people.get("Anna Ash")
    return (found.born, found.birthplace, found.died) if found else None


def test_works_lead_to_their_makers() -> None:
    library = read_library([FILM, ANNA])
    ((work, maker),) = library.bridges
    assert (work.title, work.maker, work.year, work.kind.domain) == ("Dust", "Anna B. Ash", 1956, "film")
    assert (maker.born, maker.birthplace, maker.died) == ("2 May 1921", "Bath, England", "23 April 1992")
    assert [(fact.question, fact.answers[0]) for fact in library_facts(library)] == [
        ("Who directed the film Dust?", "Anna B. Ash"),
        ("In which year did the film Dust come out?", "1956"),
        ("When was Anna B. Ash born?", "2 May 1921"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Anna Ash (born May 2, 1921) is a director.", ("May 2, 1921", "", "")),
        ("Anna Ash (1917 – 24 July 1955) was a director.", None),
        ("Anna Ash (May 2, 1921 June 3, 1999) was a director.", None),
        ("Anna Ash (2 May 1921 – 3 June 1922) was a director.", None),
        ("The film (2 May 1921) has Anna in it.", None),
        ("Anna Ash is a director.", None),
    ],
)
def test_only_plain_lives_are_read(text: str, found: tuple[str, str, str] | None) -> None:
    assert person(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "It is a 1956 film directed by Anna Ash.",
        "Dust is a song.",
        "Dust is a 1990 album released by Hard Records.",
        "Dust is a 1956 film directed by Anna Ash and Bert Oak.",
        "Dust is a 1956 film directed by Anna Ash, Cleo Elm and Bert Oak.",
    ],
)
def test_other_openings_are_no_works(text: str) -> None:
    assert read_library([{"id": "1", "title": "Dust", "text": text}]).works == ()


def test_names_that_several_have_are_left_out() -> None:
    again = FILM | {"id": "3", "title": "Dust (2001 film)", "text": "Dust is a 2001 film directed by Bert Birch."}
    assert read_library([FILM, again]).works == ()
    assert len(read_library([FILM, FILM | {"id": "4"}]).works) == 1


def test_a_date_has_two_forms() -> None:
    assert dates("2 May 1921") == ("2 May 1921", "May 2, 1921")
    assert dates("May 2, 1921") == ("May 2, 1921", "2 May 1921")
