"""Samples from encyclopaedic paragraphs by rule: a sentence about the paragraph's subject becomes questions on its parts.

A rule is a pattern whose group `a` is the answer, and the wordings to ask for it ({t}: the subject). Rules look at the
first sentence, or at any sentence whose subject is the paragraph's (its name, a pronoun, or "the film").
"""

# ruff: noqa: E501, SIM905 - a pattern reads best on one line, a list of words as words

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.reader.rows import Sample
from training.reader.text import holds, repaired, sentences, span

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DAY = rf"(?:\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}}, \d{{4}})"
_DATE = rf"(?:{_DAY}|{_MONTH} \d{{4}}|\d{{4}})"
_NAME = r"(?:[A-Z][\w'.’-]+(?: (?:(?:of|the|de|la|von|van|der|du|di|al|and the|for) )*[A-Z][\w'.’-]+){0,5})"
_PERSON = r"(?:[A-Z][\w'.’-]+(?: (?:de |la |von |van |der |du |di )*[A-Z][\w'.’-]+){1,3})"
_END = r"(?=[.;,]| and | on | in \d| with | which | who | that | from \d|$)"
_PLACE = r"(?:the )?[A-Z][\w'’-]+(?:(?:,| of| and| the| upon)* (?:the )?[A-Z][\w'’-]+){0,5}"
_NATION = (
    "(?:American|British|English|Scottish|Welsh|Irish|Canadian|Australian|Indian|Pakistani|French|German|Italian|"
    "Spanish|Portuguese|Dutch|Belgian|Swedish|Norwegian|Danish|Finnish|Icelandic|Polish|Russian|Ukrainian|Czech|"
    "Hungarian|Romanian|Bulgarian|Serbian|Croatian|Greek|Turkish|Iranian|Israeli|Egyptian|Nigerian|Kenyan|"
    "South African|Chinese|Japanese|South Korean|Korean|Thai|Vietnamese|Filipino|Indonesian|Malaysian|Mexican|"
    "Brazilian|Argentine|Chilean|Colombian|Cuban|Swiss|Austrian|New Zealand|Hong Kong|Taiwanese|Bengali|Tamil)"
)
_JOB = (
    r"(?:[a-z-]+ ){0,2}(?:director|actor|actress|singer|songwriter|writer|author|novelist|poet|politician|footballer|"
    r"player|composer|producer|screenwriter|painter|lawyer|physician|scientist|engineer|journalist|philosopher|"
    r"mathematician|historian|rapper|musician|guitarist|drummer|architect|businessman|businesswoman|diplomat|"
    r"cricketer|swimmer|cyclist|wrestler|boxer|coach|cinematographer|comedian|model|nobleman|bishop|soldier|officer)"
)
_THING = r"(?:[\w-]+ ){0,3}?"


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, its questions, and where it applies."""

    kind: str
    pattern: re.Pattern[str]
    wordings: tuple[str, ...]
    first_only: bool = True


def _rule(kind: str, pattern: str, *wordings: str, anywhere: bool = False) -> Rule:
    return Rule(kind, re.compile(pattern), wordings, not anywhere)


_RULES = (
    _rule("born", rf"\((?:[^()]*?)born (?:[^()]*? )??(?P<a>{_DATE})", "When was {t} born?", "What is {t}'s date of birth?"),
    _rule("born", rf"\((?:[^()]*?; )?(?P<a>{_DAY}) ?[–-]", "When was {t} born?", "On what date was {t} born?"),
    _rule("died", rf"\([^()]*{_DATE}[^()]{{0,20}}? ?[–-] ?(?P<a>{_DATE})\)", "When did {t} die?", "On what date did {t} die?"),
    _rule("nation", rf" (?:is|was) an? (?:former |retired |late )?(?P<a>{_NATION})[ -]", "What is the nationality of {t}?", "What nationality is {t}?"),
    _rule("job", rf" (?:is|was) an? (?:former |retired )?(?:{_NATION} )?(?P<a>{_JOB}(?:(?:, {_JOB})*,? and {_JOB})?)\b", "What is the occupation of {t}?", "What does {t} do for a living?", "What is {t}'s profession?"),
    _rule("what", r" (?:is|was) an? (?P<a>[^.,;()]{12,90}?)(?=[.,;]| that | which | who | directed by | released | located )", "What is {t}?", "How is {t} described?"),
    _rule("directed", rf"\b(?:film|drama|comedy|thriller|movie|documentary|musical|western|romance)\b[^.]*?\bdirected by (?:{_NATION} )?(?P<a>{_PERSON})", "Who directed {t}?", "Who is the director of {t}?", "Who was the film {t} directed by?"),
    _rule("year", r" (?:is|was) an? (?P<a>\d{4}) (?:[\w-]+ ){0,5}?(?:film|album|song|novel|movie|comedy|drama)", "In what year was {t} released?", "When was {t} released?", "What year did {t} come out?"),
    _rule("genre", rf" is an? \d{{4}} (?:{_NATION} )?(?P<a>(?:[a-z-]+ ){{1,3}}(?:film|album|novel))\b", "What kind of work is {t}?", "What type of film is {t}?"),
    _rule("starring", rf"\bstarring (?P<a>{_PERSON}(?:(?:, {_PERSON})*,? and {_PERSON})?)", "Who stars in {t}?", "Who plays the leading part in {t}?"),
    _rule("produced", rf"\bproduced by (?P<a>{_PERSON}){_END}", "Who produced {t}?", "By whom was {t} produced?"),
    _rule("written", rf"\bwritten(?: and directed)? by (?P<a>{_PERSON}){_END}", "Who wrote {t}?", "Who was {t} written by?"),
    _rule("composed", rf"\b(?:composed|music) by (?P<a>{_PERSON}){_END}", "Who composed the music of {t}?", "Who is the composer of {t}?"),
    _rule("based", r"\bbased on (?P<a>(?:the|a)? ?[^.,;()]{8,60}?)(?=[.,;])", "What is {t} based on?", anywhere=True),
    _rule("recorded", rf"\b(?:album|song|single|EP)\b[^.]*? by (?:the )?(?:{_NATION} )?(?:[a-z/&-]+ )*(?P<a>{_NAME}){_END}", "Who recorded {t}?", "Which artist is {t} by?", "Whose work is {t}?"),
    _rule("released", rf"\breleased (?:[a-z ]+)?(?:on|in) (?P<a>{_DATE})", "When was {t} released?", "On what date was {t} released?", anywhere=True),
    _rule("where", rf" is an? (?:[\w-]+ ){{0,4}}?(?:town|village|city|municipality|river|lake|mountain|district|commune|suburb|community|hamlet|parish|island|province|school|college|university|museum|park|stadium|church|station|airport|hospital)\b[^.,;]*? (?:in|on|of) (?P<a>{_PLACE})(?=[.;]| which| that| with|,? (?:and|about|approx))", "Where is {t}?", "Where is {t} located?", "In which place is {t}?"),
    _rule("located", r"\blocated (?:in|on|at|near) (?P<a>(?:the )?[^.;()]{4,60}?)(?=[.;]| which| that| and )", "Where is {t} located?", "Where is {t}?", anywhere=True),
    _rule("founded", rf"\b(?:was|is a [^.]*?) (?:founded|established|formed|created|incorporated) (?:[a-z ]+)?(?:in|on) (?P<a>{_DATE})", "When was {t} founded?", "In what year was {t} established?", anywhere=True),
    _rule("founder", rf"\b(?:founded|established) (?:in \d{{4}} )?by (?P<a>{_PERSON}(?: and {_PERSON})?){_END}", "Who founded {t}?", "By whom was {t} founded?", anywhere=True),
    _rule("built", rf"\b(?:was|is) (?:built|constructed|completed|opened|erected) (?:[a-z ]+)?(?:in|on) (?P<a>{_DATE})", "When was {t} built?", "In what year was {t} completed?", anywhere=True),
    _rule("designed", rf"\bdesigned by (?:[a-z ]+)?(?P<a>{_PERSON}){_END}", "Who designed {t}?", "Who was {t} designed by?", anywhere=True),
    _rule("birthplace", rf"\bwas born (?:on {_DATE} )?in (?P<a>{_PLACE})(?=[.;]| in \d| on | to | and )", "Where was {t} born?", "What is the birthplace of {t}?", anywhere=True),
    _rule("deathplace", rf"\bdied (?:on {_DATE} |in \d{{4}} )?(?:in|at) (?P<a>(?!{_MONTH}){_PLACE})(?=[.;]| in \d| on | from )", "Where did {t} die?", "In which place did {t} die?", anywhere=True),
    _rule("child", r"\b(?:son|daughter|child) of (?P<a>[A-Z][^.;()]{6,60}?)(?=[.;]|, (?:and|who|the|a) )", "Whose child was {t}?", "Who were the parents of {t}?"),
    _rule("married", rf"\b(?:He|She|{_NAME}) (?:was )?married (?:to )?(?P<a>{_PERSON}){_END}", "Who did {t} marry?", "Who was {t} married to?", "Who is the spouse of {t}?", anywhere=True),
    _rule("known for", r"\bbest[ -]known (?:for|as) (?P<a>[^.;()]{8,90}?)(?=[.;]|, (?:and|which|who) )", "What is {t} best known for?", "For what is {t} best known?", anywhere=True),
    _rule("also known", r"\b(?:also known as|also called|nicknamed|better known as) \"?(?P<a>(?:the )?[A-Z][^.,;()\"]{2,40}?)\"?(?=[.,;)]| is | was )", "What is {t} also known as?", "What is another name for {t}?", "By what other name is {t} known?", anywhere=True),
    _rule("population", r"\bpopulation (?:of|was|is)(?: about| approximately| around| over)? (?P<a>\d[\d,.]*(?: million)?)", "What is the population of {t}?", "How many people live in {t}?", "How many inhabitants does {t} have?", anywhere=True),
    _rule("headquarters", rf"\b(?:headquartered|headquarters (?:is |are )?(?:located )?|based) in (?P<a>{_PLACE}){_END}", "Where is {t} based?", "Where are the headquarters of {t}?", anywhere=True),
    _rule("capital", rf" (?:is|was) (?:the |a )?(?:\w+ ){{0,3}}?(?:capital|county seat|largest city) of (?P<a>(?:the )?{_PLACE})(?=[.,;]| and )", "What is {t} the capital of?", "Of what place is {t} the seat?"),
    _rule("studied", r"\b(?:graduated from|educated at|studied at|attended|degree from) (?P<a>(?:the )?[A-Z][^.,;()]{4,60}?)(?=[.,;]| in \d| and | with | where )", "Where did {t} study?", "Which school did {t} attend?", "Where was {t} educated?", anywhere=True),
    _rule("award", r"\b(?:won|received|was awarded) (?P<a>(?:the|an?) [A-Z][^.,;()]{6,70}?)(?=[.,;]| in \d| for )", "Which award did {t} receive?", "What did {t} win?", anywhere=True),
    _rule("named after", r"\bnamed (?:after|for|in honou?r of) (?P<a>[^.,;()]{4,60}?)(?=[.,;]| who| which)", "Who or what is {t} named after?", "What is {t} named after?", anywhere=True),
    _rule("part of", r"\b(?:is|was) (?:a )?(?:part|member) of (?P<a>the [A-Z][^.,;()]{3,60}?)(?=[.,;]| and )", "What is {t} part of?", "What does {t} belong to?", anywhere=True),
    _rule("team", rf"\b(?:plays?|played) for (?:the )?(?P<a>{_NAME}){_END}", "Which team did {t} play for?", "Who did {t} play for?", anywhere=True),
    _rule("served", r"\b(?:served|worked) as (?:the |an? )?(?P<a>[^.,;()]{6,60}?)(?=[.,;]| from | in \d| between | until | under )", "What did {t} serve as?", "As what did {t} serve?", anywhere=True),
    _rule("spoken", r"\bspoken (?:in|by) (?P<a>[^.;()]{4,60}?)(?=[.;])", "Where is {t} spoken?", "By whom is {t} spoken?"),
    _rule("distributed", rf"\b(?:distributed|published|released) by (?P<a>(?:the )?{_NAME}){_END}", "Who distributed {t}?", "Which company published {t}?", anywhere=True),
    _rule("aired", rf"\b(?:premiered|aired|broadcast|debuted) on (?P<a>(?!{_MONTH})[A-Z][\w& ]{{1,25}}?){_END}", "On which channel was {t} shown?", "Which network aired {t}?", anywhere=True),
)  # fmt: skip
_ABOUT_IT = re.compile(
    r"^(?:He|She|It|They|The (?:film|song|album|novel|company|band|town|village|city|school|book|series|station|building|group|river|team|club|organization|magazine|newspaper|game|show)|His|Her|Its)\b"
)
_RIVALS = 30
_MOST_OF_A_KIND = 130
_OF_PEOPLE = frozenset(
    "born,died,nation,job,birthplace,deathplace,child,married,known for,studied,award,team,served".split(",")
)
_OF_BOTH = frozenset(("what", "also known", "part of", "named after"))
_A_PERSON = re.compile(rf"\([^()]*(?:born|\d{{4}} ?[–-])|^[^.]*? (?:is|was) an? (?:\w+ )?(?:{_NATION} )?{_JOB}\b")


def ruled(documents: Iterable[Mapping[str, Any]], source: str, rng: random.Random) -> Iterator[Sample]:
    """Yield one or two questions a paragraph, at most 130 of a kind; rivals answer the same of another subject."""
    by_kind: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for document in documents:
        text, subject = repaired(document["text"]), document["title"].partition(" (")[0].replace("&amp;", "&")
        facts = list(facts_of(subject, text)) if not subject.endswith(("?", "!")) else []
        for kind, questions, answer in rng.sample(facts, min(len(facts), 2)):
            by_kind[kind].append((rng.choice(questions), answer, text))
    for kind, found in by_kind.items():
        texts = [text for _, _, text in found]
        for question, answer, text in rng.sample(found, min(len(found), _MOST_OF_A_KIND)):
            yield Sample(question, answer, text, _alike(texts, text, answer, rng), source, kind)


def is_person(sentence: str) -> bool:
    """Whether the first sentence of an article speaks of a person: by dates of life or by profession."""
    return bool(_A_PERSON.search(sentence))


def facts_of(subject: str, text: str) -> Iterator[tuple[str, list[str], str]]:
    """Yield what the rules find in a paragraph about a subject: the kind, the questions and the answer of each."""
    parts = sentences(text)
    person = is_person(parts[0]) if parts else False
    for rule in _RULES:
        if rule.kind not in _OF_BOTH and (rule.kind in _OF_PEOPLE) != person:
            continue
        for place, part in enumerate(parts[:1] if rule.first_only else parts):
            if place and not (_ABOUT_IT.match(part) or part.startswith(subject)):
                continue
            match = rule.pattern.search(part)
            if (
                match
                and _whole(part[match.end("a") :])
                and _new(match["a"], subject)
                and subject.split()[0] in parts[0]
            ):
                fitting = [w for w in rule.wordings if not (match["a"].isdigit() and "what date" in w)]
                yield rule.kind, [wording.format(t=subject) for wording in fitting], span(match["a"])
                break


def _whole(rest: str) -> bool:
    """Whether the answer ends where a word does and not within an abbreviation ("F.C.")."""
    return not (rest.startswith(".") and rest.strip('."'))


def _new(answer: str, subject: str) -> bool:
    return not holds(subject, answer) and answer.count('"') % 2 == 0 and len(answer) > 2


def _alike(texts: Sequence[str], text: str, answer: str, rng: random.Random) -> tuple[str, ...]:
    """Return passages that answer the question of another subject, and this one without the answer."""
    drawn = [
        other for other in rng.sample(texts, min(_RIVALS, len(texts))) if other != text and not holds(other, answer)
    ]
    rest = " ".join(part for part in sentences(text) if not holds(part, answer))
    return (*drawn, *([rest] * 4 if len(rest.split()) > 15 else []))
