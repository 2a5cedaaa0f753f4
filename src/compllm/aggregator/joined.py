"""The aggregator of last resort: every sub-answer as it is, with its citation."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from compllm.aggregator.base import Part, answered, cite

_EITHER = re.compile(r"[^?]*?[,:]\s+(?P<one>[^?]+?),?\s+or\s+(?P<other>[^?]+?)\s*\?\s*")
_CHOICE = re.compile(r"\b(?:which|who|whose|or)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_NAME = re.compile(r"\b[A-Z]\w*")
# Words that options and steps share without being about the same thing.
_SMALL_WORDS = frozenset("a an the of in on at for to by from with and was is were are did".split())  # noqa: SIM905 - as text


class JoinedAggregator:
    """Puts the sub-answers one below the other, in the order of the plan; needs no model and loses nothing."""

    name = "joined (no model)"

    async def join(self, question: str, parts: tuple[Part, ...]) -> AsyncGenerator[str, None]:
        """Yield one line for each sub-answer; gaps have none.

        A step that chose among the answers that it was given ("Which is earlier, 1895 or 1938?") says what it chose: as
        the question names it, else by the question that led to it.
        """
        given = {part.step: part for part in answered(parts)}
        for place, part in enumerate(given.values()):
            yield f"{chr(10) if place else ''}{cite(_named(question, part, given))}"


def _named(question: str, part: Part, given: Mapping[int, Part]) -> Part:
    """Return a part whose answer says what it chose, if it is one of several answers that it was given."""
    parents = [given[parent] for parent in part.parents if parent in given]
    chosen = [parent for parent in parents if _plain(parent.answer) == _plain(part.answer)]
    if len(chosen) != 1 or len(part.parents) < 2 or not _CHOICE.search(part.question):
        return part
    others = [parent for parent in parents if parent is not chosen[0]]
    option = _option(question, chosen[0], others[0]) if len(others) == 1 else None
    said = f"{option} ({_plain(part.answer)})" if option else f"{_plain(part.answer)} ({chosen[0].question})"
    return replace(part, answer=said)


def _plain(answer: str) -> str:
    return answer.strip(" .\n")


def _option(question: str, chosen: Part, other: Part) -> str | None:
    """Return which of "..., A or B?" the chosen step asked about, if the words that they share make it clear.

    An option with names needs one of them in the step: "the composer of Tosca" is not "the composer of Aida".
    """
    match = _EITHER.fullmatch(question)
    if match is None or any("," in option for option in match.groups()):
        return None
    one, another = match.groups()
    straight = _shared(one, chosen) + _shared(another, other)
    crossed = _shared(another, chosen) + _shared(one, other)
    if straight == crossed:
        return None
    option = one if straight > crossed else another
    names = {name.casefold() for name in _NAME.findall(option)}
    if names and not names & _words(chosen.question):
        return None
    return option[0].upper() + option[1:]


def _shared(option: str, part: Part) -> int:
    return len((_words(option) & _words(part.question)) - _SMALL_WORDS)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
