"""A planner without a model: it splits questions that are coordinated on their face, and nothing else.

"A, and B?", "A? Also, B?" and numbered lists become independent steps; everything else stays whole. It knows no
dependencies and no fields, and it is named as what it is wherever a plan of it is shown.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from compllm.core.plan import SubQuery
from compllm.planner.base import PlanPiece
from compllm.planner.language import MAX_STEPS

_AUXILIARY = (
    r"(?:is|are|was|were|am|do|does|did|can|could|should|would|will|may|might|must|has|have|had|isn't|aren't|wasn't|"
    r"weren't|don't|doesn't|didn't|can't|won't)\b"
)
_PREPOSITION = r"(?:(?:in|on|at|to|from|for|of|with|by|under|about|during|since|until)\s+)?"
# "when it rains", "what a patent is" and "where he lived" are clauses; questions turn the order round.
_ASKS = (
    rf"(?:{_PREPOSITION}(?:what|which|whose|who|whom)\s+(?!(?:a|an|the|he|she|it|they|we|you|i)\b)\w"
    rf"|{_PREPOSITION}(?:when|where|why)\s+{_AUXILIARY}"
    rf"|{_PREPOSITION}how\s+(?:{_AUXILIARY}|(?!(?:a|an|the|he|she|it|they|we|you|i|to)\b)\w)"
    r"|(?:what|who|where|when|why|how)['’](?:s|re)\s+\w"
    rf"|{_AUXILIARY}\s+\w"
    r"|(?:name|list|explain|describe|define|summari[sz]e|compare|translate|calculate|compute)\s+\w)"
)
_IMPERATIVE = re.compile(
    r"(?:name|list|explain|describe|define|summari|compare|translate|calculate|compute)", re.IGNORECASE
)
_ALSO = r"(?:(?:and|also|then|plus|in addition|finally|secondly|moreover)\b,?\s+)"
_QUESTION = re.compile(rf"{_ALSO}*{_ASKS}", re.IGNORECASE)
_MARK = re.compile(r"(?:^|(?<=\s))(?:\(?(?P<number>\d{1,2})[.)]|(?P<bullet>[-*•]))\s+", re.MULTILINE)
_NEXT_SENTENCE = re.compile(rf"(?<=[?;])\s+(?={_ALSO}*{_ASKS})", re.IGNORECASE)
_JOIN = re.compile(rf"\s*[,;]?\s+(?:and|plus)\s+(?:also\s+)?(?={_ASKS})|\s*[,;]\s+(?={_ASKS})", re.IGNORECASE)
# Of quotations in single marks; the end of "dogs'" looks like one's end.
_OPENS, _CLOSES = re.compile(r"(?<!\w)['‘](?=\w)"), re.compile(r"(?<=[\w.?!,])['’](?!\w)")
_HAS_AND = re.compile(r"\b(?:and|plus)\b", re.IGNORECASE)
_OPENING = re.compile(rf"^{_ALSO}+", re.IGNORECASE)
# "For a quiz I need two answers." says only that questions follow, if every word of it is one of these.
_BEGINNING = re.compile(r"[^.?!:]{1,200}[.!:]\s+")
_SAYS_SO = re.compile(
    r"^(?:for|I|I'd|I've|we|here|quick|my)\b[^.?!:]*\b(?:answers|questions|things|facts)\b", re.IGNORECASE
)
_ANNOUNCING = frozenset(
    """i i'm i've i'd we we've my me our you us have has got need want would like can could to ask know hear tell give
    answer explain help with out for a an the some any few couple of several one two three four five six seven eight
    nine ten 2 3 4 5 6 7 8 9 10 quick short little simple easy random different separate unrelated following more
    another other each every part parts these this those here there are is as so just now today tonight please hi hello
    hey ok okay thanks thing things question questions answers fact facts quiz trivia homework essay test exam and or in
    at all both about""".split()  # noqa: SIM905 - a list of words reads best as words
)
_NOUNS = (
    r"(?:author|writer|poet|composer|painter|artist|king|queen|emperor|president|man|woman|person|city|country|river|"
    r"mountain|book|novel|play|poem|film|song|painting|war|battle|event|year|company|disease|drug|law|word|result|answer)"
)
# What points at something said before, and what has left out a noun that was said before.
_ANAPHOR = re.compile(
    r"\b(?:it|its|they|their|them|he|his|him|she|her|hers|this|these|those|former|latter|there|then|such|one|ones|both"
    r"|(?:of|between) the (?:two|three|four)|the same)\b"
    r"|\bthat\s*(?:[?.!]|$)"
    rf"|\bthe {_NOUNS}\b(?!['’]|\s+(?:of|in|that|which|who|whose|from|with|called|to|for|(?-i:[A-Z])|\d))"
    r"|\bthe (?:other|first|second|difference|relation|connection|link)\s*(?:[?.!,]|$)"
    rf"|\bthe (?:\w+ )?(?:\w+est|most|least)\s*(?:[?.!,]|$)|^(?:which|whose) {_AUXILIARY}"
    r"|^how (?:many|much) (?:in|on|at|of|for|from|to)\b",
    re.IGNORECASE,
)
# A statement or a wish beside the questions, which may be meant for all of them.
_ASIDE = re.compile(r"[?!]\s+\S|\.\s+(?:I|My|We|Our|You|Please|Answer|Use|Keep|Be)\b")


class RulePlanner:
    """Splits coordinated questions by rules into `max_steps` at most."""

    name = "rules (no model)"

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        self._max_steps = max_steps

    async def plan(self, question: str) -> AsyncGenerator[PlanPiece, None]:
        """Yield one step for each coordinated part, or the question as the only step."""
        for number, part in enumerate(split_question(question, self._max_steps), start=1):
            yield SubQuery.literal(number, part)


def without_announcement(question: str) -> str:
    """Return a text of several questions without a sentence at its beginning that only says that they follow."""
    rest = _after_announcement(question)
    return rest if rest.count("?") > 1 and _SAYS_SO.match(question[:200]) else question


def split_question(question: str, max_parts: int = MAX_STEPS) -> list[str]:
    """Return the coordinated parts of a question, each a question of its own, or the question alone.

    A split is taken back when a later part points at an earlier one ("... and when did he die?") or something is said
    beside the questions ("... I am diabetic."), because the parts could not be answered apart. So is one into more
    than `max_parts`.
    """
    asked = _after_announcement(question.strip())
    parts = [_tidy(part) for part in _split_list(asked) or _split_sentences(" ".join(asked.split()))]
    if not 2 <= len(parts) <= max_parts or _belong_together(parts) or any(map(_cuts_quotation, parts)):
        return [" ".join(question.split())]
    return parts


def _after_announcement(text: str) -> str:
    """Return a text without its beginning if that says nothing, with no word, but that questions follow."""
    beginning = _BEGINNING.match(text)
    if beginning is None or not _ANNOUNCING.issuperset(
        re.findall(r"[\w'’]+", beginning[0].casefold().replace("’", "'"))
    ):
        return text
    return text[beginning.end() :]


def _belong_together(parts: list[str]) -> bool:
    return any(_ANAPHOR.search(part) for part in parts[1:]) or any(_ASIDE.search(part) for part in parts)


def _split_list(question: str) -> list[str]:
    """Return the items of a numbered or bulleted list of questions; text before the first item is its heading."""
    heading, *items = _at_marks(question)
    if _after_announcement(f"{heading.strip()} ").strip() or len(items) < 2:
        return []
    return items if all(item.endswith("?") or _asks(item) for item in items) else []


def _at_marks(text: str) -> list[str]:
    """Cut a text at the marks of a list: all of the first one's kind, each where an item may begin.

    The others are arithmetic ("What is 5 - 3?"), spans, dashes, or numbers at the end of a sentence.
    """
    cuts: list[re.Match[str]] = []
    for mark in _MARK.finditer(text):
        last = cuts[-1] if cuts else mark
        begins_line = not text[: mark.start()].rpartition("\n")[2].strip()
        if mark["number"] and last["number"]:
            follows = last is mark or int(mark["number"]) == int(last["number"]) + 1
        else:
            follows = mark["bullet"] == last["bullet"] and text[: mark.start()].rstrip()[-1:] in set("?.!:;")
        if follows or (begins_line and mark["bullet"] == last["bullet"]):
            cuts.append(mark)
    ends = [*(cut.start() for cut in cuts), len(text)]
    return [text[start:end].strip() for start, end in zip([0, *(cut.end() for cut in cuts)], ends, strict=True)]


def _cuts_quotation(part: str) -> bool:
    """Whether a quotation begins or ends outside of a part."""
    straight, opened, closed = part.count('"'), len(_OPENS.findall(part)), len(_CLOSES.findall(part))
    return straight % 2 == 1 or part.count("“") != part.count("”") or opened > closed


def _split_sentences(question: str) -> list[str]:
    parts = [part for sentence in _NEXT_SENTENCE.split(question) for part in _split_joined(sentence)]
    return parts if all(_asks(part) for part in parts) else [question]


def _split_joined(sentence: str) -> list[str]:
    """Split at "and" or a comma before a question, if every part is one and the last is joined by "and"."""
    separators = [match[0] for match in _JOIN.finditer(sentence)]
    parts = _JOIN.split(sentence)
    if not separators or not _HAS_AND.search(separators[-1]) or not all(_asks(part) for part in parts):
        return [sentence]
    return parts


def _asks(part: str) -> bool:
    """Whether a part is a question or a request and more than a bare question word."""
    part = part.strip()
    return _QUESTION.match(part) is not None and len(re.findall(r"\w+", part)) >= (2 if _IMPERATIVE.match(part) else 3)


def _tidy(part: str) -> str:
    part = " ".join(_OPENING.sub("", part.strip(" ,;\n\t")).split())
    part = part[:1].upper() + part[1:]
    return part if part[-1:] in "?.!" or _IMPERATIVE.match(part) else f"{part}?"
