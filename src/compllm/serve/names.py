"""Finds the names in English text by their capitals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = r"[A-Z][\w'’&.-]*\w|[A-Z]"
_LINK = r"(?:of(?:\s+the)?|de|der|den|von|van|du|da|del|di|la|le|al|bin)"
_NAME = re.compile(rf"(?<![\w'’])(?:{_WORD})(?:\s+(?:{_LINK}\s+){{0,2}}(?:{_WORD}|\d{{1,4}}\b))*")
_SENTENCE_END = re.compile(r"(?:^|[.!?:;\n])[\s\"'“‘(\[*]*\Z")
_ONLY_MARKS = re.compile(r"[ .!?'\"”’*]*\Z")
# How far before a name it is looked for what it follows.
_NEAR_CHARACTERS = 40
_SAYS_MORE = re.compile(r"\s+(?:is|are|was|were|has|had|can|could|did|does|will|would)\b|\s*['’]s\b")
_ARTICLE = re.compile(r"\b(?:an?|the)\s+\Z", re.IGNORECASE)
_NOUN_NEXT = re.compile(
    r"\s+(?!(?:is|are|was|were|has|had|can|could|did|does|do|will|would|and|or|but|in|on|at|of|for|to|from|by|with"
    r"|about|during|since|until|as|than|that|which|who)\b)[a-z]"
)
_CITATION = re.compile(r"\s*\[\d+\]")

# Words that begin a sentence with a capital and name nothing; dates are no names either.
_PLAIN = frozenset(
    re.findall(
        r"\w+",
        """a about according after all also although an and another any are as at be because before both but by can
        could did do does during each every few first for from give had has have he her here his how however i if
        in is it its last list many may more most my name next no not note now of on once one only or our others
        please second she should since so some such tell that the their them then there these they this those
        though thus to today under unlike until was we were what when where whereas which while who whom whose
        why will with would yes yet you your define describe explain compare summarize summarise translate
        january february march april may june july august september october november december monday tuesday
        wednesday thursday friday saturday sunday""",
    )
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name and where it begins."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)


def names(text: str) -> list[Name]:
    """Return the names in a text in order, each where it comes first; O(characters)."""
    found: dict[str, Name] = {}
    for name in _candidates(text):
        found.setdefault(name.text, name)
    return list(found.values())


def without_citations(text: str) -> str:
    """Return a text without its marks of citation, like [1]."""
    return _CITATION.sub("", text)


def _candidates(text: str) -> Iterator[Name]:
    for match in _NAME.finditer(text):
        name = _without_plain_words(Name(match[0], match.start()))
        if name is not None and _is_used_as_name(text, name):
            yield name


def _without_plain_words(name: Name) -> Name | None:
    """Return what is left of a candidate without the plain words that it begins with."""
    for word in re.finditer(r"\S+", name.text):
        if word[0].lower() not in _PLAIN:
            rest = name.text[word.start() :].removesuffix("'s").removesuffix("’s")
            return Name(rest, name.start + word.start())
    return None


def _is_used_as_name(text: str, name: Name) -> bool:
    """Whether a single word is more than the capital of a sentence ("Usually") or an adjective ("the English poet")."""
    if " " in name.text or (name.text.isupper() and len(name.text) > 1):
        return True
    near = max(0, name.start - _NEAR_CHARACTERS)
    if _SENTENCE_END.search(text, near, name.start):
        return (_ONLY_MARKS.match(text, name.end) or _SAYS_MORE.match(text, name.end)) is not None
    return not (_ARTICLE.search(text, near, name.start) and _NOUN_NEXT.match(text, name.end))
