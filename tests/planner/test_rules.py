"""The planner without a model splits what is coordinated on its face and keeps everything else whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.planner.base import PlanPiece
from compllm.planner.rules import RulePlanner, split_question, without_announcement

SPLIT = {
    "What does a cardiologist treat, and what does an endocrinologist treat?": [
        "What does a cardiologist treat?",
        "What does an endocrinologist treat?",
    ],
    "Who wrote Middlemarch, and what is compound interest?": ["Who wrote Middlemarch?", "What is compound interest?"],
    "What is photosynthesis? Also, who invented the telephone?": [
        "What is photosynthesis?",
        "Who invented the telephone?",
    ],
    "How does a mortgage work? And what is a bond?": ["How does a mortgage work?", "What is a bond?"],
    "Explain photosynthesis and describe the water cycle.": ["Explain photosynthesis", "Describe the water cycle."],
    "What is DNA; what is RNA?": ["What is DNA?", "What is RNA?"],
    "What is DNA, what is RNA, and what is a protein?": ["What is DNA?", "What is RNA?", "What is a protein?"],
    "What's DNA, and what's RNA?": ["What's DNA?", "What's RNA?"],
    "1. What is DNA? 2. Who wrote Hamlet?": ["What is DNA?", "Who wrote Hamlet?"],
    "For a quiz I need two answers. What is DNA? And who wrote Hamlet?": ["What is DNA?", "Who wrote Hamlet?"],
    "Two questions: what is DNA, and what is RNA?": ["What is DNA?", "What is RNA?"],
    "Answer these:\n1) What is DNA?\n2) Who wrote Hamlet?": ["What is DNA?", "Who wrote Hamlet?"],
    "- What is DNA?\n- Who wrote Hamlet?": ["What is DNA?", "Who wrote Hamlet?"],
    "1. What is 10 - 4?\n2. What is 3 * 3?": ["What is 10 - 4?", "What is 3 * 3?"],
    "- Who is Messi - the footballer?\n- Who wrote Hamlet?": ["Who is Messi - the footballer?", "Who wrote Hamlet?"],
    "1. Who wrote Emma? 2. What happened 1939 - 1945?": ["Who wrote Emma?", "What happened 1939 - 1945?"],
    "Who wrote \"Emma\", and who wrote 'Faust'?": ['Who wrote "Emma"?', "Who wrote 'Faust'?"],
    "How many people live in Paris, and how many people live in London?": [
        "How many people live in Paris?",
        "How many people live in London?",
    ],
    "What is 3.5 and what is 4.2?": ["What is 3.5?", "What is 4.2?"],
    "In which year was Marie Curie born and in which year was Albert Einstein born?": [
        "In which year was Marie Curie born?",
        "In which year was Albert Einstein born?",
    ],
    "Is Paris bigger than London, and is Rome older than Athens?": [
        "Is Paris bigger than London?",
        "Is Rome older than Athens?",
    ],
    "Who painted Guernica and what is the theme of War and Peace?": [
        "Who painted Guernica?",
        "What is the theme of War and Peace?",
    ],
    "what is a p/e ratio and how do i treat a burn": ["What is a p/e ratio?", "How do i treat a burn?"],
    "What are vitamins and which foods contain vitamin C?": ["What are vitamins?", "Which foods contain vitamin C?"],
    "Why did Rome fall, and who was the author of Hamlet?": ["Why did Rome fall?", "Who was the author of Hamlet?"],
    "What is step #1 and what is C#2?": ["What is step #1?", "What is C#2?"],
}

WHOLE = [
    "What is the capital of France?",
    "What is the capital of France and what is its population?",
    "Who wrote Middlemarch and when did she die?",
    "What is the difference between a virus and a bacterium?",
    "Who wrote Romeo and Juliet?",
    "Who said 'I think, and what is more, I am'?",
    'What does the saying "what is done and what is said" mean?',
    "1. What happened in Apollo 13. What is DNA?",
    "What are the causes and effects of inflation?",
    "Is it true that Napoleon was short and when did he die?",
    "Compare Keynes and Hayek.",
    "List the planets and name the largest one.",
    "List the planets and name the largest.",
    "My doctor said what a patent is and who owns it.",
    "Do you know who wrote Hamlet and when it was written?",
    "Can you tell me what DNA is and how it works?",
    "What happens when it rains and is cold?",
    "Which country has the most people and which has the fewest?",
    "What is the tallest mountain and what is the second tallest?",
    "How many people live in Paris and how many in London?",
    "Who is the president of France and of Germany?",
    "When did the war end, who was president then, and what is the UN?",
    "What is TCP? What is UDP? What is the difference?",
    "What is TCP? What is UDP? Which of the two is faster?",
    "What is TCP? What is UDP? Which is faster?",
    "Who wrote Dune, and is the film good?",
    "What is a stock and how is one bought?",
    "What is a binary tree and what are such trees used for?",
    "How did industrialisation change Britain and how did Victorian novels describe it?",
    "What is insulin, how does it work, and what is glucagon?",
    "If I earn 50000 and pay 20 % tax, what is left and what is a tax bracket?",
    "I have fever and am 60. What should I eat, and what should I avoid?",
    "What should I eat, and what should I avoid? I am diabetic.",
    "Explain bonds and describe stocks. Answer in one sentence.",
    'Translate "and what is love" into French.',
    "Translate 'Good morning, and how are you?' into French",
    'What does "what is done, is done" mean?',
    "Ingredients:\n1. flour\n2. eggs\nWhat can I bake?",
    "Why? And what then?",
    "",
    "?",
]


@pytest.mark.parametrize("question", SPLIT)
def test_coordinated_questions_are_split(question: str) -> None:
    assert split_question(question) == SPLIT[question]


def test_what_only_announces_questions_is_left_out() -> None:
    asked = "In which year was DNA found? Who wrote Hamlet?"
    for announced in ("For a quiz I need four answers. ", "I have two questions: ", "Here are my questions. "):
        assert without_announcement(announced + asked) == asked


@pytest.mark.parametrize(
    "question",
    [
        "Which of these things is larger: the Moon, or Mars?",
        "I need answers. Who wrote Hamlet?",
        "Explain these two things: osmosis and diffusion.",
        "My questions never end? Why? And how?",
        "What is DNA? I have two questions. Who wrote Hamlet?",
        "I have a peanut allergy and two questions. What can I eat? What can I drink?",
        "I need facts on Germany. What is the notice period? What is the VAT rate?",
    ],
)
def test_what_asks_is_no_announcement(question: str) -> None:
    assert without_announcement(question) == question


@pytest.mark.parametrize(
    "question",
    [
        "For a patient with diabetes: 1. What can I eat? 2. What can I drink?",
        "My doctor told me three things about type 2 diabetes. What should I eat, and what should I avoid?",
    ],
)
def test_what_is_said_before_questions_is_not_lost(question: str) -> None:
    assert split_question(question) == [question]


@pytest.mark.parametrize("text", ["For " + "I need answers " * 1000, "I have " + "a " * 8000 + "question."])
def test_a_text_as_long_as_may_be_is_looked_through_at_once(text: str) -> None:
    assert without_announcement(text) == text
    assert split_question(text) == [" ".join(text.split())]


@pytest.mark.parametrize("question", WHOLE)
def test_what_belongs_together_stays_whole(question: str) -> None:
    assert split_question(question) == [" ".join(question.split())]


def test_more_questions_than_a_plan_may_have_steps_stay_whole() -> None:
    question = " ".join(f"What is thing number {n}?" for n in range(33))
    assert split_question(question) == [question]


@pytest.mark.anyio
@pytest.mark.parametrize(("max_steps", "steps"), [(3, 3), (2, 1)])
async def test_the_rules_keep_to_the_longest_plan(max_steps: int, steps: int) -> None:
    question = "What is DNA? Who wrote Hamlet? Where is Rome?"
    assert len([piece async for piece in RulePlanner(max_steps).plan(question)]) == steps


@pytest.mark.anyio
async def test_the_steps_are_numbered_and_a_number_sign_is_no_reference() -> None:
    pieces: list[PlanPiece] = [piece async for piece in RulePlanner().plan("What is step #1 and what is C#2?")]
    assert [(getattr(p, "id", 0), getattr(p, "display", ""), getattr(p, "parents", None)) for p in pieces] == [
        (1, "What is step #1?", ()),
        (2, "What is C#2?", ()),
    ]


WORDS = st.sampled_from(
    [
        "what",
        "is",
        "who",
        "wrote",
        "and",
        "or",
        "the",
        "Hamlet",
        "it",
        "when",
        "did",
        "how",
        "many",
        ",",
        "?",
        ".",
        ";",
        "1.",
        "-",
        "and,",
        "What",
    ]
)


@given(st.lists(WORDS, max_size=30).map(" ".join))
def test_nothing_that_was_asked_is_lost(question: str) -> None:
    """Every word but the joints, the marks and the numbers of a list is in some part."""
    parts = split_question(question)
    assert parts
    said = set(" ".join(parts).lower().replace("?", " ").replace(".", " ").replace(",", " ").split())
    asked = set(question.lower().replace("?", " ").replace(".", " ").replace(",", " ").split())
    assert asked - said <= {"and", "1", "-", ";"}


@given(st.text(max_size=200))
def test_any_text_has_parts_that_are_not_split_again(question: str) -> None:
    for part in split_question(question):
        assert split_question(part) == [part]
