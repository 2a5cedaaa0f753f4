"""Turns a question and its short answer into a statement: "What is the capital of France?", "Paris" -> "The capital of
France is Paris". Rules for the common forms; None for what they do not turn safely.
"""

# ruff: noqa: E501, SIM905 - a pattern reads best on one line, a list of words as words

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from training.reader.verbs import BASES, PASTS

_BE = r"(?P<be>is|was|are|were)"
_NP = r"(?P<np>(?:the|an?|his|her|its|their|your|my|this|that|all|some|most|each|every) .+|[A-Z\d\"'“].*)"
_PARTICIPLE = r"(?:[a-z]+ed|known|born|made|built|won|held|found|sold|sent|given|taken|written|drawn|spoken|grown|led|set|bought|taught|shown|seen|hidden|left|put|cast|sung|kept|paid)"
_PREPOSITION = r"(?:as|for|of|to|by|in|from|with|on|after|at|into|under|against|about)"
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_NAMES_IN_LAW = frozenset("congress latin french english american federal".split())
_ARTICLES = frozenset("the a an in on at its their about around there this these his her all some most".split())
_FUNCTION = frozenset("is was are were do does did has have had can could will would should of about if".split())
_BE_FORMS = frozenset(("is", "was", "are", "were"))
_ASKING = frozenset("did does do can has have had".split())
_PROPERTY = frozenset(
    "color colour nationality genre religion shape size age height occupation profession species".split()
)
_THIRD = frozenset(
    "causes makes means has contains covers uses produces treats helps carries plays runs grows lives eats says gives lies "
    "flows holds leads owns sells wears sits stands measures controls connects separates represents binds encodes borders "
    "stars runs grants deals pays weighs comes begins belongs hosts serves keeps shows".split()
)
_FURTHER = "cost weigh last take rise grow mean treat eat contain consist depend refer protect encode bind measure prevent inhibit store carry wear drink"


def _third(verb: str) -> str:
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "o")) else f"{verb}s"


_PRESENT = {verb: _third(verb) for verb in [*PASTS, *_FURTHER.split()]}
_STARTS_WITH_PREPOSITION = re.compile(
    r"^(?:in|on|at|near|from|to|by|under|between|after|before|since|during|around|about|over)\b", re.IGNORECASE
)
_DAY = re.compile(rf"^(?:{_MONTH} \d{{1,2}}(?!\d)|\d{{1,2}} {_MONTH}|\d{{1,2}}(?:st|nd|rd|th)? of {_MONTH})")
_NO_SPAN = re.compile(r"^(?:He|She|It|They|You|We|I|Yes|No|There|To|Because|By)\b")
_HAS_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had)\b")
_YEAR = re.compile(rf"^(?:(?:early|late|mid-?) ?)?(?:{_MONTH},? )?\d{{3,4}}s?(?: ?(?:BC|AD|BCE|CE))?$")


@dataclass(frozen=True, slots=True)
class Turn:
    """A form of question: its pattern, and the statement built of its parts and the answer (None: does not fit)."""

    pattern: re.Pattern[str]
    stated: Callable[[re.Match[str], str], str | None]


def statement(question: str, answer: str, common: frozenset[str] = frozenset()) -> str | None:
    """Return the statement that an answer makes to a question, without a full stop, or None if no rule is safe.

    `common` are words that are no names: an answer that begins with one continues a sentence in lower case.
    """
    bare = " ".join(question.removesuffix("?").split())
    answer = lowered(answer.strip().removesuffix("."), common)
    if (
        _NO_SPAN.match(answer)
        or _HAS_VERB.search(answer)
        or bare.endswith("?")
        or ("," in bare and re.match(r"(?:in|on|at|during|after|for|by|to|of) ", bare, re.IGNORECASE))
    ):
        return None
    for turn in _TURNS:
        match = turn.pattern.match(bare)
        said = turn.stated(match, answer) if match else None
        if said:
            return _capital(said)
    return None


def definition(question: str, answer: str, common: frozenset[str]) -> str | None:
    """Return a clause of a glossary as a sentence about its term, or None if it names the term itself or is none."""
    match = re.match(r"^What does the term (?P<term>.+) mean\?$", question)
    if not match or match["term"].lower() in answer.lower():
        return None
    first = answer.split()[0].lower()
    return f"The term {match['term']} means {lowered(answer, common | {first} - _NAMES_IN_LAW)}"


def indirect(question: str) -> str | None:
    """Return a "what is" question as a clause ("what the dose is"), or None for other forms."""
    match = re.match(
        rf"^(?P<w>[Ww]hat|[Ww]ho|[Ww]here) {_BE} (?P<np>(?:the|an?|his|her) [^,?]+|[A-Z][\w' .-]+)\?$", question
    )
    if (
        not match
        or re.search(r"\b(?:that|which|who)\b", match["np"])
        or match["np"].endswith((" for", " by", " of", " as"))
    ):
        return None
    return f"{match['w'].lower()} {match['np']} {match['be']}"


def is_sentence(answer: str) -> bool:
    """Whether an answer can stand alone: it ends like a sentence and is longer than a phrase."""
    return answer.rstrip().endswith((".", "!", "?")) and len(answer.split()) > 3


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def lowered(text: str, common: frozenset[str]) -> str:
    """Return a phrase or a sentence as it stands inside another: its first word in lower case unless it is a name."""
    first, _, rest = text.partition(" ")
    is_common = first.lower() in _ARTICLES or (first.lower() in common and not rest[:1].isupper())
    return text[:1].lower() + text[1:] if is_common and (first[1:].islower() or first == "A") else text


def _at(place: str) -> str | None:
    if _STARTS_WITH_PREPOSITION.match(place):
        return place
    return f"in {place}" if re.match(r"(?:the )?[A-Z]", place) else None


def _when(time: str) -> str | None:
    if _STARTS_WITH_PREPOSITION.match(time):
        return time
    if _DAY.match(time):
        return f"on {time}"
    if re.match(r"\d{4}s", time):
        return f"in the {time}"
    return f"in {time}" if _YEAR.match(time) or re.match(r"the \d|\d{1,2}th century", time) else None


def _with(phrase: Callable[[str], str | None], form: str) -> Callable[[re.Match[str], str], str | None]:
    def stated(match: re.Match[str], answer: str) -> str | None:
        adverb = phrase(answer)
        return form.format(a=adverb, **match.groupdict()) if adverb else None

    return stated


def _plain(form: str) -> Callable[[re.Match[str], str], str | None]:
    return lambda match, answer: form.format(a=answer, **match.groupdict())


def _did(phrase: Callable[[str], str | None]) -> Callable[[re.Match[str], str], str | None]:
    """State a "did" question in the past tense, the answer as an adverb at the end."""

    def stated(match: re.Match[str], answer: str) -> str | None:
        told, adverb = _told(match["rest"]), phrase(answer)
        return f"{' '.join(told)} {adverb}".replace("  ", " ") if told and adverb else None

    return stated


def _told(rest: str) -> tuple[str, str, str] | None:
    """Split "the Curies discover in 1898" into subject, past verb and what follows; None without a verb known."""
    tokens = rest.split()
    for place, token in enumerate(tokens):
        if place and token in PASTS:
            return " ".join(tokens[:place]), PASTS[token], " ".join(tokens[place + 1 :])
    return None


def _object(match: re.Match[str], answer: str) -> str | None:
    """State "what did X discover in 1898": the answer stands after the verb, or after the preposition at the end."""
    told = _told(match["rest"])
    if not told:
        return None
    subject, verb, rest = told
    if subject.endswith("being"):
        return None
    if not rest or re.match(rf"{_PREPOSITION}$", rest):
        return f"{subject} {verb} {rest} {answer}".replace("  ", " ")
    if re.match(rf"{_PREPOSITION} (?!regarding|{_PREPOSITION})[^,]+$", rest) and not re.search(
        rf" {_PREPOSITION}$", rest
    ):
        return f"{subject} {verb} {answer} {rest}"
    return None


def _present(match: re.Match[str], answer: str) -> str | None:
    """State "what does a cardiologist treat": the verb is the last word, but for a preposition after it."""
    found = re.match(rf"^(?P<np>.+) (?P<verb>[a-z]+)(?P<p>(?: {_PREPOSITION})?)$", match["rest"])
    if not found or found["verb"] not in _PRESENT or re.search(r"\b(?:to|want|that|try|have|do)\b", found["np"]):
        return None
    verb = _PRESENT[found["verb"]] if match["do"] == "does" else found["verb"]
    return f"{found['np']} {verb}{found['p']} {answer}"


def _amount(match: re.Match[str], answer: str) -> str | None:
    """State "how long does sourdough rise" and "how much does a ticket cost"; only a duration takes "for"."""
    if not re.search(r"[a-z%$€£]", answer):
        return None
    lasting = match["how"] == "long" and not re.search(r" (?:take|last|run|need)$", match["rest"])
    return _present(match, f"for {answer}" if lasting else answer)


def _many_do(match: re.Match[str], answer: str) -> str | None:
    number = _many(match, answer)
    return _present(match, f"{number} {match['n']}") if number else None


def _subject(match: re.Match[str], answer: str) -> str | None:
    """State "who wrote Hamlet": the answer takes the place of the question word."""
    verb = match["rest"].split()[0]
    is_verb = verb in BASES or verb in _THIRD or (match["w"] == "Who" and _looks_past(verb))
    return f"{answer} {match['rest']}" if is_verb else None


def _looks_past(verb: str) -> bool:
    return verb.endswith("ed") and len(verb) > 4


def _noun_subject(match: re.Match[str], answer: str) -> str | None:
    """State "which team won the Cup" as "the team that won the Cup was Leeds"; the noun phrase ends before the verb."""
    words = match["rest"].split()
    if words[0] in _FUNCTION or re.search(rf" {_PREPOSITION}$", match["rest"]):
        return None
    place = next((place for place, word in enumerate(words[:6]) if place and _ends_noun(word)), 0)
    verb, noun, rest = words[place], " ".join(words[:place]), words[place + 1 :]
    if not place or verb in _ASKING or words[place - 1] in _PROPERTY or not _fits_noun(noun, verb, rest):
        return None
    be = verb if verb in {"are", "were"} else "is" if verb in _THIRD or verb == "is" else "was"
    return f"the {noun} that {' '.join(words[place:])} {be} {answer}"


def _ends_noun(word: str) -> bool:
    return word in BASES or word in _THIRD or word in _ASKING or word in _BE_FORMS or _looks_past(word)


def _fits_noun(noun: str, verb: str, rest: list[str]) -> bool:
    """Whether "that" may follow the noun: with "be", only before a description and not before another subject."""
    if (
        re.search(r"\b(?:year|date|day|time|month|of these|percentage|number|type|kind|sort|called)\b|,", noun)
        or not rest
    ):
        return False
    return verb not in _BE_FORMS or bool(
        re.match(rf"(?:the|an?|also|often|considered|located|{_PARTICIPLE})\b", rest[0])
    )


def _many(match: re.Match[str], answer: str) -> str | None:
    number = answer.removesuffix(match["n"]).strip()
    return (
        number
        if re.match(
            r"^(?:(?:about|over|around|more than|at least) )?[\w.,-]+(?: (?:million|billion|thousand|hundred|dozen))?$",
            number,
        )
        else None
    )


def _many_with(form: str) -> Callable[[re.Match[str], str], str | None]:
    def stated(match: re.Match[str], answer: str) -> str | None:
        number = _many(match, answer)
        return form.format(a=number, **match.groupdict()) if number else None

    return stated


def _many_did(match: re.Match[str], answer: str) -> str | None:
    told, number = _told(match["rest"]), _many(match, answer)
    if told and re.match(r"(?:up|down|out|off|over)\b", told[2]):
        return None
    return f"{told[0]} {told[1]} {number} {match['n']} {told[2]}".strip() if told and number else None


def _measured(match: re.Match[str], answer: str) -> str | None:
    if re.search(r"[a-z]+ed\b|\bwhen\b|\b(?:valid|open)$", match["np"]) or not re.search(r"[a-z%$€£]", answer):
        return None
    if not answer[:1].isdigit() and not re.match(r"(?:about|over|around) \d", answer):
        return None
    word = "" if match["how"] in {"much", "big", "large", "far", "heavy", "fast", "hot", "cold"} else f" {match['how']}"
    return f"{match['np']} {match['be']} {answer.removesuffix(word)}{word}"


def _defined(match: re.Match[str], answer: str) -> str | None:
    """State "what is X": not if the rest is a name that the answer merely completes, or ends in a participle."""
    np = match["np"]
    if re.search(
        rf"(?: {_PREPOSITION}| [a-z]+ing|\b(?:like|about|called|used|worth|being))$|\bdoing\b|\bcalled (?:that|near|when|in|for)\b",
        np,
    ) or _dangling(np):
        return None
    return f"{np} {match['be']} {answer}"


def _dangling(np: str) -> bool:
    """Whether a noun phrase holds a stray auxiliary, so that the question has two verbs without a relative pronoun."""
    return bool(re.search(r"\b(?:do|does|did)\b", np)) or ("," in np and " or " in np)


_TURNS = (
    Turn(re.compile(rf"^(?:Which|Who|What)(?: of the two)? {_BE} (?P<rest>[a-z ]+), .+ or .+$"), _plain("{a} {be} {rest}")),
    Turn(re.compile(r"^(?:Which|Who|What)(?: [a-z]+)? (?P<rest>(?:is|was|has|had|won|[a-z]+s|[a-z]+ed) [a-z ]+), .+ or .+$"), _plain("{a} {rest}")),
    Turn(re.compile(r"^What nationality (?P<be>is|was) (?P<np>.+)$"), _plain("{np} {be} {a}")),
    Turn(re.compile(r"^Which artist is (?P<np>.+) by$"), _plain("{np} is by {a}")),
    Turn(re.compile(r"^Whose work is (?P<np>.+)$"), _plain("{np} is the work of {a}")),
    Turn(re.compile(r"^For what is (?P<np>.+) best known$"), _plain("{np} is best known for {a}")),
    Turn(re.compile(rf"^What {_BE} (?P<np>.+?) (?P<adv>best|also|mainly|chiefly) (?P<p>{_PARTICIPLE} {_PREPOSITION})$"), _plain("{np} {be} {adv} {p} {a}")),
    Turn(re.compile(rf"^(?:What|Who|Whom) {_BE} (?P<np>.+?) (?P<p>{_PARTICIPLE} {_PREPOSITION})$"), lambda m, a: None if m["np"].endswith(" being") else f"{m['np']} {m['be']} {m['p']} {a}"),
    Turn(re.compile(rf"^(?:What|By what name) {_BE} (?P<np>.+?) (?P<p>called|nicknamed|known as)$"), _plain("{np} {be} {p} {a}")),
    Turn(re.compile(rf"^By whom {_BE} (?P<np>.+?) (?P<p>{_PARTICIPLE}(?: .+)?)$"), _plain("{np} {be} {p} by {a}")),
    Turn(re.compile(rf"^Who {_BE} (?P<rest>(?:the )?(?:first|last|only) .+? to .+)$"), _plain("{rest} {be} {a}")),
    Turn(re.compile(rf"^(?:What|Who) {_BE} {_NP}$"), _defined),
    Turn(re.compile(rf"^(?:What|Who) {_BE} (?P<rest>{_PARTICIPLE} .+)$"), _plain("{a} {be} {rest}")),
    Turn(re.compile(rf"^Where {_BE} (?P<np>.+?) (?P<p>located|born|built|held|found|buried|situated|based|founded|made|filmed|set|done|shown|[a-z]+ed)$"), _with(_at, "{np} {be} {p} {a}")),
    Turn(re.compile(rf"^Where {_BE} {_NP}$"), _with(_at, "{np} {be} {a}")),
    Turn(re.compile(r"^Where did (?P<rest>.+ (?:to|from))$"), _did(lambda a: a)),
    Turn(re.compile(r"^Where did (?P<rest>.+)$"), _did(_at)),
    Turn(re.compile(rf"^(?:When|In (?:what|which) (?:year|month)|What year|On (?:what|which) (?:day|date)|On what day, month, and year|What day, month, and year|In what month and year) {_BE} (?P<np>.+?) (?P<p>{_PARTICIPLE}(?: .+)?)$"), _with(_when, "{np} {be} {p} {a}")),
    Turn(re.compile(r"^(?:When|In (?:what|which) (?:year|month)|What year|Which year|On (?:what|which) (?:day|date)|On what day, month, and year|What day, month, and year|In what month and year) did (?P<rest>.+)$"), _did(_when)),
    Turn(re.compile(rf"^(?:In|At) (?:what|which) (?:city|country|state|town|county|place|continent|village|U\.S\. state) {_BE} (?P<np>.+?) (?P<p>{_PARTICIPLE}(?: .+)?)$"), _with(_at, "{np} {be} {p} {a}")),
    Turn(re.compile(r"^(?:In|At) (?:what|which) (?:city|country|state|town|county|place|continent|village|university|college|school) did (?P<rest>.+)$"), _did(_at)),
    Turn(re.compile(r"^How many (?P<n>[a-z -]+?) are there (?P<rest>.+)$"), _many_with("there are {a} {n} {rest}")),
    Turn(re.compile(r"^How many (?P<n>[a-z -]+?) (?:does|do) (?P<np>.+) have(?P<rest>(?: in .+)?)$"), lambda m, a: _many_with("{np} has {a} {n}{rest}")(m, a) if " does " in m[0] else _many_with("{np} have {a} {n}{rest}")(m, a)),
    Turn(re.compile(r"^How many (?P<n>[a-z -]+?) did (?P<rest>.+)$"), _many_did),
    Turn(re.compile(r"^How many (?P<n>[a-z]+(?: [a-z]+)?) (?P<rest>(?:live|work|died|played|attended|make up|took part|voted|served|come|visit|belong)\b.*)$"), _many_with("{a} {n} {rest}")),
    Turn(re.compile(rf"^How long {_BE} (?P<np>.+?) (?P<p>{_PARTICIPLE}(?: or [a-z]+ed)?)$"), _plain("{np} {be} {p} for {a}")),
    Turn(re.compile(r"^How many (?P<n>[a-z -]+?) (?P<do>does|do) (?P<rest>.+)$"), _many_do),
    Turn(re.compile(r"^How (?P<how>much|long) (?P<do>does|do) (?P<rest>.+)$"), _amount),
    Turn(re.compile(rf"^How (?P<how>tall|high|long|old|deep|wide|much|big|large|far|heavy|fast|hot|cold) {_BE} (?P<np>(?:the|an?) [^,]+|[A-Z][^,]*)$"), _measured),
    Turn(re.compile(r"^(?:What|Who|Whom) did (?P<rest>.+)$"), _object),
    Turn(re.compile(r"^What (?P<do>does|do) (?P<rest>(?!it |the term |you ).+)$"), _present),
    Turn(re.compile(r"^(?P<w>Who|What) (?P<rest>[a-z]+ .+)$"), _subject),
    Turn(re.compile(r"^(?:Which|What) (?P<rest>[A-Za-z].+)$"), _noun_subject),
)  # fmt: skip
