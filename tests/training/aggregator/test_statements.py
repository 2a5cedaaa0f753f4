import pytest

from training.aggregator.statements import definition, indirect, is_sentence, lowered, statement


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("What is the capital of France?", "Paris", "The capital of France is Paris"),
        ("Who wrote Middlemarch?", "George Eliot", "George Eliot wrote Middlemarch"),
        ("Who was Orla Finch married to?", "Bo Lund", "Orla Finch was married to Bo Lund"),
        ("What is the tower called?", "the Teapot", "The tower is called the Teapot"),
        ("Where was Orla Finch born?", "Corby", "Orla Finch was born in Corby"),
        ("Where did Orla Finch die?", "Corby", "Orla Finch died in Corby"),
        ("When was the mill built?", "3 May 1820", "The mill was built on 3 May 1820"),
        ("When did the mill open?", "May 1820", "The mill opened in May 1820"),
        ("In what year did the mill open?", "1820", "The mill opened in 1820"),
        ("How many rooms does the mill have?", "12", "The mill has 12 rooms"),
        ("How many people live in Corby?", "About 900", "About 900 people live in Corby"),
        ("How high is the tower?", "96 metres", "The tower is 96 metres high"),
        ("How much does a ticket cost?", "4 euros", "A ticket costs 4 euros"),
        ("What did Ann Lee discover in 1820?", "radium", "Ann Lee discovered radium in 1820"),
        ("What does a cardiologist treat?", "the heart", "A cardiologist treats the heart"),
        ("Which team won the cup?", "Leeds", "The team that won the cup was Leeds"),
        ("Which city is known as the old lady?", "Corby", "The city that is known as the old lady is Corby"),
        ("Who is older, Ann Lee or Bo Lund?", "Bo Lund", "Bo Lund is older"),
        ("Which river carries more water, the Nile or the Amazon?", "The Amazon", "The Amazon carries more water"),
        ("What nationality is Ann Lee?", "Welsh", "Ann Lee is Welsh"),
    ],
)
def test_questions_become_statements(question: str, answer: str, expected: str) -> None:
    assert statement(question, answer) == expected


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Why is the sky blue?", "scattering"),
        ("When was the mill built?", "long ago"),
        ("What is the dog doing?", "sleeping"),
        ("What is the fate of the mill?", "It is shot down"),
        ("How old is Ann Lee?", "14"),
        ("Where is the mill?", "far away"),
        ("Which colour is the sky?", "blue"),
    ],
)
def test_what_no_rule_turns_safely_is_left(question: str, answer: str) -> None:
    assert statement(question, answer) is None


def test_common_words_lose_their_capital_inside() -> None:
    assert statement("What is the cure?", "Cold water", frozenset({"cold"})) == "The cure is cold water"
    assert lowered("Cold Harbour", frozenset({"cold"})) == "Cold Harbour"
    assert lowered("The mill", frozenset()) == "the mill"


def test_definition_names_its_term_once() -> None:
    assert definition("What does the term bail mean?", "Money paid for release.", frozenset()) == (
        "The term bail means money paid for release."
    )
    assert definition("What does the term bail mean?", "Bail is money.", frozenset()) is None


def test_indirect_and_sentence() -> None:
    assert indirect("What is the dose?") == "what the dose is"
    assert indirect("When is the dose due?") is None
    assert is_sentence("It is an old mill.")
    assert not is_sentence("an old mill")
