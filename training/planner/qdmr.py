"""Bridges of Break (Wolfson et al. 2020), whose steps are phrases, as questions in their own words.

A phrase that stands in the question as it is ("the film that stars Gretel Scarlett") is cut out: the question that
finds it is made of the phrase, and what is left of the question, with a reference in its place, is the next step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from compllm.core.plan import Plan, SubQuery
from training.planner.examples import Example, is_writable
from training.planner.public import Row, clean

Span = tuple[int, int]

_TOKEN = re.compile(r"#?\w+(?:['’]\w+)?|[^\w\s]")
_ARTICLES = ("the", "a", "an")
_LOOSE = frozenset((*_ARTICLES, "that", "which", "who", "is", "was", "are", "were"))
_MARK = re.compile(r"\s+(['’]s)\b")
# A last step that only repeats the thing: the question that finds it is the whole.
_IDLE = re.compile(r"^(what|who|where)?\W*(is|are|was|were|give|provide|find|tell me)?\W*(the )?(full |proper |real )?"
                   r"(name|names|location)?( of| is)?\W*#\d\W*$", re.IGNORECASE)  # fmt: skip
_BROKEN = re.compile(
    r"^(find|the|provide|name)\b|#\d[, ]+(what|who|where|which)\b|#\d[!,;.]|\b(the|an?|this|these|that|whose|who) #\d",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"^(?P<noun>[^,]+?) (?:who|that|which) (?P<rest>(?:is|was|are|were|has|had|have|won|wrote|sang|led|built|made|ran|"
    r"became|took|held|lost|\w+ed|\w+[^s'’]s(?! (?:have|had|are|were|is|was|did|do|can)\b))\b.+)$"
)
_PERSON = re.compile(
    r"\b(man|woman|person|people|author|director|actor|actress|singer|writer|composer|founder|player|artist|king|queen|"
    r"president|husband|wife|spouse|father|mother|son|daughter|brother|sister|leader|creator|producer|host|mayor|"
    r"winner|coach|poet|architect|character|\w+(?:ist|ian|man)|"
    r"(?!river|number|newspaper|computer|tower|theater|theatre|center|order|power|letter|border|chapter|color|"
    r"sector|motor|harbor|disorder|summer|winter|water|cancer|corner|floor|door|flower)\w+(?:er|or))s?\b",
    re.IGNORECASE,
)
# A preposition, a relative pronoun, or a name behind a common noun ends the noun that a phrase is about.
_AFTER_NOUN = re.compile(
    r" (?:of|in|at|on|for|from|to|by|with|between|who|that|which|where|whose|formerly|led|starring|written|spoken)\b"
    r"|(?<=[a-z]) (?=[A-Z])"
)
_ARTICLE = re.compile(r"^(the|an?) ", re.IGNORECASE)


def bridges(rows: Iterable[Row], source: str) -> list[Example]:
    """Return the chains of two or three steps whose phrases all stand in the question; without fields."""
    made = (_bridge(row, source) for row in rows)
    return [example for example in made if example is not None and is_writable(example)]


def single_steps(rows: Iterable[Row]) -> list[str]:
    """Return the questions that people left whole."""
    texts = [clean(row["question"]) for row in rows if len(row["sub_queries"]) == 1]
    return [text for text in texts if text.endswith("?") and "#" not in text]


def _bridge(row: Row, source: str) -> Example | None:
    question, phrases = clean(row["question"]), _chain(row["sub_queries"])
    spans = [_span(question, phrase) for phrase in phrases]
    found = [span for span in spans if span is not None]
    if not found or len(found) != len(spans) or any(not _inside(inner, outer) for inner, outer in pairwise(found)):
        return None
    if not all(_is_description(question[slice(*span)]) for span in found):
        return None
    begin, end = found[-1]
    texts = [_finding(question[slice(*found[0])])]
    for n, ((a, b), (c, d)) in enumerate(pairwise(found), 1):
        texts.append(_finding(f"{question[c:a]}#{n}{question[b:d]}"))
    last = clean(f"{question[:begin]}#{len(found)}{question[end:]}").rstrip(" .?") + "?"
    if _IDLE.match(last) or any(_BROKEN.search(text) or len(text) > 160 for text in (*texts[1:], last)):
        return None
    plan = Plan(tuple(SubQuery(n, text) for n, text in enumerate((*texts, last), 1)))
    return Example(question.rstrip(" .?") + "?", plan, source, f"described-{len(plan)}")


def _chain(steps: Sequence[Row]) -> list[str]:
    """Return the phrase of every step but the last, each with the one before written out; none if it is no chain."""
    if not 2 <= len(steps) <= 3:
        return []
    phrases = [str(steps[0]["question"])]
    for n, step in enumerate(steps[1:], 1):
        if step.get("operator") != "project" or step["depends_on"] != [f"s{n}"]:
            return []
        phrases.append(str(step["question"]).replace(f"#{n}", phrases[-1]))
    return phrases[:-1]


def _span(question: str, phrase: str) -> Span | None:
    """Return where the only run of the question with the words of the phrase begins and ends, its article included."""
    tokens = [(match[0].lower(), match.start(), match.end()) for match in _TOKEN.finditer(question)]
    words = [_stem(word) for word, *_ in tokens]
    wanted = [_stem(word) for word in _TOKEN.findall(_MARK.sub(r"\1", phrase.lower())) if word not in _LOOSE]
    firm = [n for n, (word, *_) in enumerate(tokens) if word not in _LOOSE]
    hits = [k for k in range(len(firm) - len(wanted) + 1) if [words[n] for n in firm[k : k + len(wanted)]] == wanted]
    if len(wanted) < 2 or len(hits) != 1:
        return None
    first, last = firm[hits[0]], firm[hits[0] + len(wanted) - 1]
    if first and tokens[first - 1][0] in _ARTICLES:
        first -= 1
    return tokens[first][1], tokens[last][2]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _is_description(phrase: str) -> bool:
    """Tell whether a phrase has an article or an owner, and does not end in the middle of a verb."""
    owned = bool(_ARTICLE.match(phrase)) or bool(re.match(r"[A-Z].*['’]s ", phrase))
    return owned and not phrase.endswith((" located", " based", " held", " called", " named"))


def _inside(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1] and inner != outer


def _finding(phrase: str) -> str:
    """Return the question that finds what a noun phrase describes."""
    phrase = phrase.strip(" .?,")
    thing = _ARTICLE.sub("", phrase)
    if match := _SUBJECT.match(thing):
        return f"Which {match['noun']} {match['rest']}?"
    head = _AFTER_NOUN.split(thing)[0].split(" ")[-1]
    several = head.islower() and head.endswith("s") and not head.endswith("ss")
    asks = ("Who" if _PERSON.search(head) else "What") + (" are" if several else " is")
    return f"{asks} {'the ' if thing != phrase else ''}{thing}?"
