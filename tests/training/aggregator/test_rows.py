import random

from training.aggregator.rows import Compound, Step, is_grounded, paragraph, prompt

CAPITAL = Step(1, "What is the capital of France?", "Paris")
MAYOR = Step(2, "Who is the mayor of Paris?", "Ann Lee", (1,))
MILL = Step(2, "What is a mill?", "A mill grinds grain. It needs wind or water.")
DOSE = Step(3, "What is the dose?", None)
WHY = Step(2, "Why is the sky blue?", "scattering")


def compound(*steps: Step, leads: bool = False) -> Compound:
    return Compound("What is asked?", steps, leads, "invented", "test")


def written(made: Compound) -> set[str]:
    return {paragraph(made, frozenset(), random.Random(seed)) for seed in range(20)}


def test_prompt_shows_parents_and_gaps() -> None:
    assert prompt(compound(CAPITAL, MAYOR, DOSE)) == (
        "What is asked?\n[1] What is the capital of France? -> Paris\n"
        "[2 after 1] Who is the mayor of Paris? -> Ann Lee\n[3] What is the dose? -> (no answer)"
    )


def test_sentences_are_kept_word_for_word_and_gaps_named() -> None:
    (text,) = written(compound(CAPITAL, MILL, DOSE))
    assert text == (
        "The capital of France is Paris [1]. A mill grinds grain [2]. It needs wind or water [2]. "
        "What the dose is could not be found [3]."
    )


def test_the_final_answer_leads_unless_it_is_a_gap() -> None:
    assert written(compound(CAPITAL, MAYOR, leads=True)) == {
        "The mayor of Paris is Ann Lee [2]. The capital of France is Paris [1]."
    }
    gap = Step(2, "Who is the mayor of Paris?", None, (1,))
    assert written(compound(CAPITAL, gap, leads=True)) == {
        "The capital of France is Paris [1]. Who the mayor of Paris is could not be found [2]."
    }


def test_short_statements_may_be_joined_and_others_are_answered_safely() -> None:
    river = Step(2, "What is the longest river of France?", "the Loire")
    assert written(compound(CAPITAL, river)) == {
        "The capital of France is Paris [1]. The longest river of France is the Loire [2].",
        "The capital of France is Paris [1], and the longest river of France is the Loire [2].",
    }
    assert written(compound(CAPITAL, WHY)) == {
        'The capital of France is Paris [1]. The answer to "Why is the sky blue?" is scattering [2].'
    }


def test_grounded_by_the_check_of_the_run_time() -> None:
    made = compound(CAPITAL, MILL, DOSE)
    (text,) = written(made)
    assert is_grounded(made, text)
    assert not is_grounded(made, text.replace("Paris", "Lyon"))
    assert not is_grounded(made, text.replace("A mill grinds grain [2]. ", ""))
