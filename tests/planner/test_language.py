"""The plan language: the same steps in any chunking, precise errors, a round trip, and the grammar."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.core.plan import SubQuery
from compllm.errors import PlanParseError
from compllm.planner.language import MAX_LINE_CHARACTERS, PlanReader, format_plan, format_step, grammar, parse_plan

PLAN = """
1. [geography] What is the capital of France?
2. [geography] What is the population of #1?

3) [ politics ] Who is the president of the United States?
4: Which is larger, #2 or 3 million? (after #1, #3)
5. Say something. (AFTER #1 and #2)
"""


def read(pieces: list[str], max_steps: int = 32) -> tuple[list[SubQuery], tuple[int, str] | None]:
    """Feed pieces to a reader; return the steps it holds and the line and text of its error."""
    reader = PlanReader(max_steps=max_steps)
    given_steps: list[SubQuery] = []
    try:
        for piece in pieces:
            given_steps += reader.feed(piece)
        given_steps += reader.close()
    except PlanParseError as error:
        return list(reader.steps), (error.line, error.text)
    assert given_steps == list(reader.steps)
    return given_steps, None


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text anywhere."""
    marks = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *marks], [*marks, len(text)], strict=True)]


def test_a_plan() -> None:
    plan = parse_plan(PLAN)
    assert [step.id for step in plan.steps] == [1, 2, 3, 4, 5]
    assert [step.tag for step in plan.steps] == ["geography", "geography", "politics", None, None]
    assert plan[2].text == "What is the population of #1?"
    assert plan[4] == SubQuery(4, "Which is larger, #2 or 3 million?", None, frozenset({1, 3}))
    assert plan[4].parents == (1, 2, 3)
    assert plan[5].parents == (1, 2)


@pytest.mark.parametrize("after", ["(after #1, and #2)", "(after #1 , #2).", "( after #1 and #2 )"])
def test_what_a_step_follows_may_be_written_as_people_write(after: str) -> None:
    assert parse_plan(f"1. x\n2. y\n3. Which is first? {after}")[3] == SubQuery(
        3, "Which is first?", None, frozenset({1, 2})
    )


@given(st.data())
def test_any_chunking_gives_the_same_steps(data: st.DataObject) -> None:
    assert read(data.draw(cut(PLAN))) == (list(parse_plan(PLAN).steps), None)
    assert read(list(PLAN.replace("\n", "\r\n")))[0] == list(parse_plan(PLAN).steps)


PIECES = st.sampled_from(
    ["1. a\n", "2. #1\n", "2. b (after #1)\n", "3. #9\n", "1", ". ", "\n", "\r", " ", "[x] ", "#", "(after ", ")", "é"]
)


@given(st.lists(PIECES, max_size=12).map("".join), st.data())
def test_any_text_gives_the_same_steps_or_the_same_error_in_any_chunking(text: str, data: st.DataObject) -> None:
    assert read(data.draw(cut(text)), max_steps=2) == read(list(text), max_steps=2)


def test_a_step_arrives_with_its_newline() -> None:
    reader = PlanReader()
    assert reader.feed("1. Who") == []
    assert reader.feed(" wrote it?") == []
    assert [step.text for step in reader.feed("\n2. When did")] == ["Who wrote it?"]
    assert [step.id for step in reader.feed(" #1 die?\n3. Why?\n4. How?")] == [2, 3]
    assert [step.id for step in reader.close()] == [4]
    assert reader.close() == []


def test_reading_goes_on_behind_steps_that_stand() -> None:
    reader = PlanReader(steps=(SubQuery(1, "a"), SubQuery(2, "b")))
    assert [step.id for step in reader.feed("3. #1 and #2\n4. bro")] == [3]
    with pytest.raises(PlanParseError, match="plan line 4: #9 is not"):
        reader.feed("ken #9\n")
    assert [step.id for step in reader.steps] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "no steps"),
        ("\n \n", 3, "no steps"),
        ("1. a\nfirst, think", 2, "not a step"),
        ("1. a\n\n1. b", 3, "step number 1 is used twice"),
        ("1. a\n3. b", 2, "step number 3 comes where 2 should be"),
        ("0. a", 1, "comes where 1 should be"),
        ("2. a", 1, "comes where 1 should be"),
        ("1. #1?", 1, "#1 is not an earlier step; the first step can name none"),
        ("1. a\n2. #0", 2, "#0 is not an earlier step"),
        ("1. a\n2. b #3\n3. c", 2, "#3 is not an earlier step; only #1 to #1 are"),
        ("1. a\n2. b (after #2)", 2, "#2 is not an earlier step"),
        ("1. ", 1, "no question"),
        ("1. [field]", 1, "no question"),
        ("1. a\n2. (after #1)", 2, "no question"),
        ("\n".join(f"{n}. q" for n in range(1, 6)), 4, "more than the allowed 3 steps"),
    ],
)
def test_errors_name_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(PlanParseError, match=re.escape(message)) as caught:
        parse_plan(text, max_steps=3)
    assert caught.value.line == line
    assert f"plan line {line}" in str(caught.value)


@pytest.mark.parametrize("long", ["2. " + "x" * MAX_LINE_CHARACTERS, "2. short" + " " * MAX_LINE_CHARACTERS])
@pytest.mark.parametrize("size", [1, 100, 10_000])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_long_line_is_the_same_error_in_any_chunking(long: str, size: int, end: str) -> None:
    text = f"1. a\n{long}{end}"
    steps, error = read([text[i : i + size] for i in range(0, len(text), size)])
    assert [step.id for step in steps] == [1]
    assert error is not None
    assert error[0] == 2


def test_a_line_that_never_ends_is_refused_before_it_ends() -> None:
    reader = PlanReader()
    reader.feed("1. " + "x" * (MAX_LINE_CHARACTERS - 3))
    with pytest.raises(PlanParseError, match="plan line 1: longer than"):
        reader.feed("x")


def test_the_longest_line_is_read() -> None:
    (step,) = PlanReader().feed("1. " + "x" * (MAX_LINE_CHARACTERS - 3) + "\n")
    assert len(step.text) == MAX_LINE_CHARACTERS - 3


def test_a_whole_plan_may_have_lines_of_any_length() -> None:
    assert len(parse_plan("1. " + "x" * 10 * MAX_LINE_CHARACTERS)[1].text) == 10 * MAX_LINE_CHARACTERS


WORDS = st.text(alphabet=st.characters(exclude_characters="#[]\n\\()", exclude_categories=["Z", "C"]), min_size=1)


@st.composite
def steps(draw: st.DrawFn, n: int) -> SubQuery:
    """Make step n of a plan."""
    earlier = st.integers(1, n - 1).map(lambda k: f"#{k}") if n > 1 else st.just("none")
    parts = st.lists(WORDS | earlier | st.sampled_from(["$100", r"\#3", "C#1", "[x]", "(after all)"]), min_size=1)
    tag = draw(st.none() | st.sampled_from(["law", "human resources", "c++ & more"]))
    after = draw(st.frozensets(st.integers(1, n - 1), max_size=3)) if n > 1 else frozenset()
    return SubQuery(n, " ".join(draw(parts)), tag, after)


@given(st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    written = [data.draw(steps(n)) for n in range(1, data.draw(st.integers(2, 6)))]
    text = "\n".join(map(format_step, written))
    assert list(parse_plan(text).steps) == written
    assert format_plan(parse_plan(text)) == text


def test_a_question_of_several_lines_is_written_as_one() -> None:
    step = SubQuery.literal(1, "\n[1] Who wrote Emma,\r\n#2\twho wrote\u2028Ulysses?\n2. Me ")
    assert format_step(step) == r"1. [ ] [1] Who wrote Emma, \#2 who wrote Ulysses? 2. Me"
    assert format_plan(parse_plan(format_step(step))) == format_step(step)


def test_a_question_in_brackets_is_no_field() -> None:
    step = SubQuery(1, "[sic] What does it mean?")
    assert parse_plan(format_step(step)).steps == (step,)


# --- the grammar -----------------------------------------------------------------------------------------------------


def as_pattern(text: str) -> re.Pattern[str]:
    """Translate the grammar, which has no recursion, to a regular expression by replacing names with their rules."""
    rules = dict(rule.split(" ::= ", 1) for rule in text.splitlines())

    def expand(body: str) -> str:
        parts = re.findall(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[a-z]+\d*|[()|?*+]', body)
        return "".join(translate(part) for part in parts)

    def translate(part: str) -> str:
        if part[0] == '"':
            return re.escape(part[1:-1].replace("\\n", "\n"))
        return f"(?:{expand(rules[part])})" if part in rules else part

    return re.compile(expand("root"))


ADMITTED = as_pattern(grammar(14))


def numbered(last: str, n: int) -> str:
    """Put a step n after n-1 plain ones."""
    return "\n".join([*(f"{k}. q" for k in range(1, n)), f"{n}. {last}"])


@pytest.mark.parametrize(
    ("last", "n"),
    [
        ("a", 1),
        ("[geography] What is it?", 1),
        ("[HR] How many days?", 1),
        ("Is it #1?", 2),
        ("#1", 2),
        ("#1 or #2", 3),
        ("x (after #1, #2)", 3),
        ("What is the population of #1?", 2),
        ("#1 and #2 and", 3),
        ("Is #12 more than #1, #11?", 13),
        ("$100 in C", 1),
    ],
)
def test_the_grammar_admits_plans(last: str, n: int) -> None:
    text = numbered(last, n)
    assert ADMITTED.fullmatch(text)
    assert ADMITTED.fullmatch(text + "\n")
    assert parse_plan(text)


@pytest.mark.parametrize(
    ("last", "n"),
    [
        ("", 1),
        ("  ", 1),
        ("[geography] ", 1),
        ("[geography]", 1),
        ("(after #1)", 2),
        ("#1?", 1),
        ("#2?", 2),
        ("q #3", 3),
        ("q #12", 12),
        ("q #0", 3),
        ("q (after #4)", 4),
    ],
)
def test_what_cannot_be_read_is_not_admitted(last: str, n: int) -> None:
    text = numbered(last, n)
    assert not ADMITTED.fullmatch(text)
    with pytest.raises(PlanParseError):
        parse_plan(text)


@pytest.mark.parametrize(
    "text", ["", "1. a\n3. b", "2. a", "1. a\n1. b", "a", "1. a\n\n2. b", numbered("q", 15), "1. a\n2. #12", "1. a\t"]
)
def test_the_grammar_keeps_to_its_form(text: str) -> None:
    assert not ADMITTED.fullmatch(text)


@given(st.lists(st.text(alphabet="#12[](a. )", max_size=10), min_size=1, max_size=14))
def test_everything_that_the_grammar_admits_can_be_read(lines: list[str]) -> None:
    text = "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
    if ADMITTED.fullmatch(text):
        assert len(parse_plan(text)) == len(lines)


@pytest.mark.parametrize(("text", "admitted"), [("1. [law] q", True), ("1. q", False), ("1. [law] q\n2. #1", False)])
def test_a_tagged_plan_has_a_tag_on_each_step(text: str, admitted: bool) -> None:
    assert bool(as_pattern(grammar(3, tagged=True)).fullmatch(text)) is admitted


def test_every_rule_of_the_grammar_is_written_once() -> None:
    rules = grammar(32).splitlines()
    assert len(rules) == len({rule.split(" ::= ")[0] for rule in rules})
    assert rules[-5].startswith('step32 ::= "32. "')
