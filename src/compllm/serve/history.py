"""Makes the last question of a conversation stand alone, by rules: the same conversation gives the same question.

A follow-up borrows from the question and the answer before it: a pronoun stands for a name in them ("Who wrote it?"),
and a fragment takes a place in the question ("What about Spain?", "And in 1960?", "Why?"). What no rule covers is left
as it is. The rules are for English and look at the surface alone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from compllm.serve.names import names, without_citations

# Whoever writes more than this says what it is about; of what was said before, no more than this is looked at.
_FOLLOW_UP_CHARACTERS = 200
_CONTEXT_CHARACTERS = 500
# So far back goes what a question may refer to, through the questions between.
_TURNS = 20
_FRAGMENT_WORDS = 8

_PREPOSITION = r"(?:in|on|at|of|for|to|from|by|with|about|during|since|until|before|after|under|between)"
_ASKS = re.compile(
    r"(?:who|whom|whose|what|which|when|where|why|how|is|are|was|were|am|do|does|did|can|could|should|would|will|may|might"
    r"|must|has|have|had|name|list|tell|give|explain|describe|define|compare|summari[sz]e|translate)\b",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^(?:and|but|or|so|ok(?:ay)?|then)\b[\s,.;:!]*", re.IGNORECASE)
# Words after a lead that say or ask something by themselves: "Ok thanks, who painted it?", "But I asked for the river."
_CLAUSE = re.compile(
    r"^(?:i|we|you|they|thanks?|please|yes|no|not)\b|^(?:i|it|that|he|she|here|there|let)['’]"
    r"|\b(?:who|whom|whose|what|which|when|where|why|how|is|are|was|were|do|does|did|has|have|had|can|could|should|would)\b"
    r"|[;:!?]\s",
    re.IGNORECASE,
)
_WHICH = re.compile(rf"^{_PREPOSITION}\s+(?:what|which)\b", re.IGNORECASE)
_ABOUT = re.compile(r"^(?:what|how)\s+about\s+", re.IGNORECASE)
_BARE = re.compile(r"^(why|how|when|where|who)(?:\s+(?:so|exactly|not))?$", re.IGNORECASE)
_PRONOUN = re.compile(
    r"\b(?:(?P<person>he|him|his|hers|her|she)|(?P<thing>its|it|theirs|their|them|they)|(?P<place>there)"
    r"|(?P<pointer>this|that)(?=\s*(?:[?.!,]|$)))\b(?!['’])",
    re.IGNORECASE,
)
_OWNER = re.compile(r"(?:its|his|their|theirs|hers)$", re.IGNORECASE)
_WHAT_IS_OWNED = re.compile(rf"\s+(?!{_PREPOSITION}\b|and\b|or\b|but\b|when\b|while\b|then\b)\w", re.IGNORECASE)
# "it" and "there" that stand for nothing: "Is it true that ...?", "Are there ...?", "What time is it?"
_EMPTY = re.compile(
    r"\b(?:is|are|was|were)\s+there\b|\bthere\s+(?:is|are|was|were)\b|\btime\s+is\s+it\b|\bit\s+(?:rain|snow|take)"
    r"|\bit\s+(?:\w+\s+)?(?:true|possible|likely|common|normal|safe|necessary|important|better|best|worth|legal|hard|easy"
    r"|difficult|good|bad)\s+(?:that|to|for|if|when)\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[,;.?!]\s|\s(?:and|but|because|when|if)\s", re.IGNORECASE)
_NOUN = re.compile(r"\b(?:an?|the)\s+\w+", re.IGNORECASE)
_TOPIC_WORD = rf"(?!{_PREPOSITION}\b|and\b|or\b)[\w'’.-]+"
_TOPIC = re.compile(
    r"^(?:(?:who|what)(?:\s+(?:is|are|was|were)|['’]s)|tell me (?:more )?about|explain|describe|define"
    rf"|what do you know about)\s+(?P<topic>{_TOPIC_WORD}(?:\s+{_TOPIC_WORD}){{0,4}})\s*[?.!]*$",
    re.IGNORECASE,
)
_PERSON_WANTED = re.compile(
    r"^(?:\w+\s+)?(?:who|whom|whose)\b|^(?:what|which)\s+(?:\w+\s+)?(?:author|writer|poet|composer|painter|artist|king"
    r"|queen|president|scientist|person|man|woman|player|actor|director|singer)\b",
    re.IGNORECASE,
)
_THING_WANTED = re.compile(r"^(?:in\s+)?(?:what|which)\b|^where\b", re.IGNORECASE)
_FIRST_SENTENCE = re.compile(r"^.*?[.!?](?=\s|$)|^.+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side of a conversation said at a time."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class _Before:
    """The question and the answer that a follow-up comes after."""

    asked: str
    answered: str

    @property
    def topic(self) -> str | None:
        """What the question asks about as a whole: "What is X?", "Tell me about X"."""
        match = _TOPIC.match(self.asked)
        return match["topic"].strip(" .") if match else None

    def meant_by(self, kind: str) -> str | None:
        """Return what a pronoun of a kind (person, thing, place, pointer) stands for."""
        if self.topic is not None:
            return self.topic if kind != "person" or names(self.topic) or self.asked[:3].lower() == "who" else None
        asked = [name.text for name in names(self.asked)]
        said = [name.text for name in names(self._first_sentence) if len(name.text) > 1]  # no C of "vitamin C"
        new = [name for name in said if not any(name in known for known in asked)]
        wanted = _PERSON_WANTED if kind == "person" else _THING_WANTED
        found = [*new[:1], *asked[-1:]] if wanted.match(self.asked) else [*asked[-1:], *new[:1]]
        return found[0] if found else None

    @property
    def said(self) -> str:
        """What a bare "Why?" is asked of."""
        return self._first_sentence or self.asked

    @property
    def _first_sentence(self) -> str:
        match = _FIRST_SENTENCE.match(without_citations(self.answered[:_CONTEXT_CHARACTERS]).strip())
        return match[0] if match else ""


def standalone(turns: Iterable[Turn]) -> str:
    """Return the last question of a conversation so that it can be understood without those shortly before it."""
    asked = answered = ""
    for turn in deque(turns, _TURNS):
        if turn.role == "assistant":
            answered = turn.text
        else:
            asked, answered = _resolved(turn.text.strip(), _Before(asked, answered)) if asked else turn.text, ""
    return asked


def _resolved(question: str, before: _Before) -> str:
    if len(question) > _FOLLOW_UP_CHARACTERS or len(before.asked) > _CONTEXT_CHARACTERS:
        return question
    core = _LEAD.sub("", question)
    fragment = _ABOUT.sub("", core).rstrip(" ?.!")
    if bare := _BARE.match(fragment):
        return f"{before.said} {bare[0].capitalize()}?"
    is_clause = _ASKS.match(fragment) or _CLAUSE.search(_WHICH.sub("", fragment))
    if fragment and fragment != question.rstrip(" ?.!") and not is_clause:
        return _filled_in(fragment, before) or question
    resolved = _without_pronouns(core, before)
    return question if resolved == core else resolved[:1].upper() + resolved[1:]


# --- pronouns --------------------------------------------------------------------------------------------------------


def _without_pronouns(question: str, before: _Before) -> str:
    """Return a question with its pronouns replaced, but for those that stand for something in the question itself."""
    empty = [match.span() for match in _EMPTY.finditer(question)]
    meant_by = cache(before.meant_by)

    def name(match: re.Match[str]) -> str:
        if any(start <= match.start() < end for start, end in empty) or _names_it_itself(question[: match.start()]):
            return match[0]
        meant = meant_by(match.lastgroup or "")
        if meant is None:
            return match[0]
        if match["place"]:
            return f"in {meant}"
        owns = _OWNER.match(match[0]) or (match[0].lower() == "her" and _WHAT_IS_OWNED.match(question, match.end()))
        return f"{meant}'s" if owns else meant

    return _PRONOUN.sub(name, question)


def _names_it_itself(start: str) -> bool:
    """Whether the beginning of a question holds what a pronoun after it may stand for."""
    clauses = _CLAUSE_END.split(start)
    return bool(names(start)) or (len(clauses) > 1 and any(_NOUN.search(clause) for clause in clauses[:-1]))


# --- fragments -------------------------------------------------------------------------------------------------------


def _filled_in(fragment: str, before: _Before) -> str | None:
    """Return the earlier question with a fragment in the place of what it stands against, if there is one."""
    if len(fragment.split()) > _FRAGMENT_WORDS:
        return None
    if re.match(r"(?:its|his|her|their)\b", fragment, re.IGNORECASE):
        resolved = _without_pronouns(fragment, before)
        return None if resolved == fragment else f"What is {resolved}?"
    preposition = re.match(rf"({_PREPOSITION})\s+(?=\w)", fragment, re.IGNORECASE)
    if preposition:
        return _with_phrase(before.asked, preposition[1], fragment[preposition.end() :])
    return _with_noun(fragment, before)


def _with_phrase(asked: str, preposition: str, noun: str) -> str:
    """Put "in Spain" where the question has "in France" (not "in 1990"), else Spain for the name, else at the end."""
    phrases = re.finditer(rf"\b{preposition}\s+(?:the\s+)?[\w'’-]+(?:\s+(?-i:[A-Z])[\w'’-]*)*", asked, re.IGNORECASE)
    same = [phrase for phrase in phrases if _has_digits(phrase[0]) == _has_digits(noun)]
    known = names(asked)
    if same:
        return f"{asked[: same[-1].start()]}{preposition.lower()} {noun}{asked[same[-1].end() :]}"
    if known and names(f"in {noun}"):
        return asked[: known[-1].start] + noun + asked[known[-1].end :]
    return f"{asked.rstrip(' ?.!')} {preposition.lower()} {noun}?"


def _has_digits(text: str) -> bool:
    return any(c.isdigit() for c in text)


def _with_noun(noun: str, before: _Before) -> str | None:
    """Put a noun where the question has its like: a name, the topic, "a ..." or "the ...", or what comes last."""
    asked, known = before.asked, names(before.asked)
    if known and names(f"about {noun}"):
        return asked[: known[-1].start] + noun + asked[known[-1].end :]
    if before.topic is not None:
        return asked.replace(before.topic, noun)
    place = _like(noun, asked) or re.search(rf"\b{_PREPOSITION}\s+(?P<noun>\w+(?:\s+\w+)?)\s*[?.!]*$", asked)
    return f"{asked[: place.start('noun')]}{noun}{asked[place.end('noun') :]}" if place else None


def _like(noun: str, asked: str) -> re.Match[str] | None:
    """Return the first phrase of a question that begins with the same kind of article as a noun."""
    article = re.match(r"(an?|the)\s", noun, re.IGNORECASE)
    if article is None:
        return None
    kind = "the" if article[1].lower() == "the" else "an?"
    return re.search(rf"\b(?P<noun>{kind}\s+\w+)", asked, re.IGNORECASE)
