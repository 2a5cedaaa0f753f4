import random
import re

from compllm.bench.evidence.builder.facts import HELD_OUT_ARTICLES
from training.reader import asked, definitions, encyclopaedia, handbooks
from training.reader import sentences as declarative
from training.reader.text import holds


def article(title: str, text: str) -> dict[str, str]:
    return {"title": title, "text": text}


def found(title: str, text: str) -> dict[str, str]:
    return {kind: answer for kind, _, answer in encyclopaedia.facts_of(title, text)}


def test_facts_of_a_person() -> None:
    facts = found(
        "Orla Finch",
        "Orla Finch (born 3 May 1950) is a Welsh film director and writer. She was born in Corby. "
        "She is best known for her work on bridges.",
    )
    assert facts["born"] == "3 May 1950"
    assert facts["nation"] == "Welsh"
    assert facts["job"] == "film director and writer"
    assert facts["birthplace"] == "Corby"
    assert facts["known for"] == "her work on bridges"


def test_facts_of_a_film_are_none_of_a_person() -> None:
    facts = found(
        "The Mill", "The Mill is a 1950 Welsh drama film directed by Orla Finch and starring Bo Lund and Ann Lee."
    )
    assert facts["directed"] == "Orla Finch"
    assert facts["year"] == "1950"
    assert facts["genre"] == "drama film"
    assert facts["starring"] == "Bo Lund and Ann Lee"
    assert "nation" not in facts


def test_an_abbreviation_is_not_cut_through() -> None:
    assert "also known" not in found("Bo Lund", "Bo Lund is a Welsh writer, also known as Mr. Lund of Corby.")
    assert found("Bo Lund", "Bo Lund is a Welsh footballer. He played for A.F.C. Corby.")["team"] == "A.F.C. Corby"


def test_rivals_of_a_ruled_question_answer_the_same_of_another() -> None:
    documents = [
        article(f"Film {name}", f"Film {name} is a 1950 drama film directed by Orla {name}.") for name in "ABC"
    ]
    samples = [s for s in encyclopaedia.ruled(documents, "wiki", random.Random(0)) if s.kind == "directed"]
    assert samples
    for sample in samples:
        assert sample.answer in sample.passage
        assert all(not holds(rival, sample.answer) for rival in sample.rivals)


def questions(text: str, title: str = "Fern Hall") -> dict[str, str]:
    samples = declarative.turned([article(title, text)], "wiki", random.Random(0))
    return {sample.question: sample.answer for sample in samples}


def test_sentences_are_turned_round() -> None:
    assert questions("Bo Lund designed the bridge near Corby.") == {"Who designed the bridge near Corby?": "Bo Lund"}
    assert questions("The hall was damaged by Bo Lund.").popitem()[1] == "Bo Lund"
    assert questions("The hall has 14 large rooms.") == {"How many large rooms does the hall have?": "14"}
    assert questions("The hall was closed because the roof leaked badly.") == {
        "Why was the hall closed?": "roof leaked badly"
    }
    assert questions("The owner of the hall is Ann Lee.") == {"What is the owner of the hall?": "Ann Lee"}


def test_a_pronoun_stands_for_the_title_and_a_second_verb_gives_no_question() -> None:
    assert questions("She moved to Corby with a friend.", "Ann Lee") == {"Where did Ann Lee move to?": "Corby"}
    assert questions("Bo Lund bought the hall and sold it in 1950.") == {}


def test_xquad_is_split_by_article() -> None:
    held_out = sorted(HELD_OUT_ARTICLES)[0]
    paragraphs = [
        {
            "id": f"xquad-{title}-{place}",
            "title": title,
            "text": f"{title} paragraph {place}. Its number is {place}{place}.",
        }
        for title in (held_out, "Mills")
        for place in (0, 1)
    ]
    rows = [
        {"question": "What is its number?", "answer": "the 00", "doc_title": title, "doc_index": 0}
        for title in (held_out, "Mills")
    ]
    (seen,) = asked.xquad(rows, paragraphs, held_out=False)
    (unseen,) = asked.xquad(rows, paragraphs, held_out=True)
    assert seen.answer == "00"
    assert seen.passage.startswith("Mills")
    assert unseen.passage.startswith(held_out)
    assert unseen.rivals == (paragraphs[1]["text"],)


def test_glossary_answers_are_on_their_page_only() -> None:
    entries = [article(f"term {n}", f"The duty of party number {n} to pay rent in time.") for n in range(30)]
    samples = list(definitions.glossary(entries, "law", random.Random(1)))
    assert len(samples) == 10
    for sample in samples:
        assert holds(sample.passage, sample.answer)
        assert not any(holds(rival, sample.answer) for rival in sample.rivals)


def test_handbooks_are_filled_and_their_rivals_lack_the_fact() -> None:
    for sample in handbooks.handbooks(300, random.Random(2), handbooks.load()):
        assert not re.search(r"[{}\[\]]", sample.passage + sample.question)
        assert holds(sample.passage, sample.answer)
        assert not any(holds(rival, sample.answer) for rival in sample.rivals)


def test_a_number_asked_for_comes_without_what_is_counted() -> None:
    assert handbooks.asked_for("How many days are there?", "12 days") == "12"
    assert handbooks.asked_for("How long is it?", "12 days") == "12 days"
