from __future__ import annotations

from dataclasses import replace

import pytest

from compllm.bench.evidence.reply import EVERYTHING, Reply, StepReply
from compllm.bench.evidence.scores import contains, plain, score
from tests.bench.evidence.lab import BRIDGE, ROW

HEART = StepReply("q", "heart", "about seventy", is_last=True, passages=("The pulse is 70.",))
GLANDS = StepReply("q", "glands", "a hormone", is_last=True)


def test_citations_do_not_count() -> None:
    assert plain("Seventy [1]. A hormone [2, 3].") == "Seventy. A hormone."


def test_what_is_said_of_gaps_does_not_count() -> None:
    said = "Seventy. [1]\n\nNot answered: What is insulin, a hormone or a vitamin? (its documents do not say)"
    assert plain(said) == "Seventy."
    assert score(ROW, Reply(said, (HEART,))).contained == 0.5


def test_words_are_matched_whole() -> None:
    assert contains("It is 70.", ("70",))
    assert not contains("It is 170.", ("70",))
    assert contains("From 1185–1226.", ("1185",))
    assert contains("Oxygen-18", ("oxygen 18",))
    assert not contains("", ("A",))


def test_a_right_answer_scores_by_the_alias_that_it_uses() -> None:
    scores = score(ROW, Reply("Seventy [1]. A hormone [2].", (HEART, GLANDS)))
    assert (scores.f1, scores.exact, scores.contained) == (1.0, 1.0, 1.0)
    assert scores.short_f1 == pytest.approx(0.8)


def test_of_several_wordings_the_best_counts() -> None:
    row = replace(ROW, parts=(("70", "70 beats a minute"), ("a hormone",)))
    assert score(row, Reply("70 beats a minute. A hormone.", (HEART, GLANDS))).exact == 1.0


def test_of_wordings_with_the_same_words_the_one_that_was_said_counts() -> None:
    row = replace(ROW, parts=(("May 2, 1921", "2 May 1921"), ("Paris",)))
    for said in ("2 May 1921. Paris.", "May 2, 1921. Paris."):
        assert score(row, Reply(said)).exact == 1.0


def test_nothing_is_no_answer_even_where_the_answer_is_an_article() -> None:
    row = replace(ROW, parts=(("A",),), plan=())
    assert (score(row, Reply("")).f1, score(row, Reply("")).exact, score(row, Reply("")).short_f1) == (0.0, 0.0, 0.0)
    assert score(row, Reply("A")).exact == 1.0


def test_whoever_was_asked_in_vain_was_asked() -> None:
    law = StepReply("q", "law", "seventy", is_last=True, asked=("heart", "law"))
    assert score(ROW, Reply("Seventy.", (law, GLANDS))).asked == 1.0


def test_the_funnel_says_where_an_answer_is_lost() -> None:
    scores = score(ROW, Reply("A hormone.", (HEART, GLANDS)))
    assert (scores.asked, scores.read, scores.answered, scores.contained) == (1.0, 0.5, 1.0, 0.5)
    assert score(ROW, Reply("", (HEART,))).asked == 0.5


def test_whoever_has_all_documents_is_every_expert() -> None:
    assert score(ROW, Reply("70", (replace(HEART, expert=EVERYTHING),))).asked == 1.0


def test_what_was_not_tried_is_not_scored() -> None:
    given = score(ROW, Reply("70", (HEART, GLANDS), looked_up=False))
    assert (given.asked, given.read, given.answered) == (None, None, 1.0)
    none = score(replace(ROW, plan=()), Reply("70"))
    assert (none.asked, none.read, none.answered) == (None, None, None)


def test_whoever_asked_nobody_has_nothing_along_the_way() -> None:
    """As ReAct that ends at once, or a run that broke off before its first step."""
    alone = score(ROW, Reply("70"))
    assert (alone.short_f1, alone.asked, alone.read, alone.answered) == (0.0, 0.0, 0.0, 0.0)


def test_only_the_last_answer_of_a_bridge_counts() -> None:
    steps = (StepReply("q", "heart", "heart", is_last=False), StepReply("q", "glands", "warmth", is_last=True))
    scores = score(BRIDGE, Reply("The heart makes warmth.", steps))
    assert (scores.short_f1, scores.exact) == (1.0, 0.0)
