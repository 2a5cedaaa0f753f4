"""Questions from single declarative sentences, as people ask them about an encyclopaedia: who, what, when, why, how many.

Each form takes the sentence apart by a pattern and turns it round (subject questions, passives, "did" questions); what
does not fit a pattern whole gives no question.
"""

# ruff: noqa: E501, SIM905 - a pattern reads best on one line, a list of words as words

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from training.reader.rows import Sample
from training.reader.text import holds, normalised, repaired, sentences, span
from training.reader.verbs import BASES

_TRANSITIVE = (
    "affects attacks believes blocks carries causes connects contains controls covers creates describes eats encourages "
    "ensures explains expresses feeds generates governs helps holds improves increases indicates inhibits involves limits "
    "means measures needs offers operates prevents produces promotes protects provides receives reduces reflects removes "
    "represents requires runs sells shows states stores suggests supports treats uses"
).split()
_VERB = "(?:" + "|".join(sorted(BASES, key=len, reverse=True)) + ")"
_NOW = "(?:" + "|".join(_TRANSITIVE) + ")"
_SUBJECT = r"(?:(?:The|A|An|Most|Many|Some|All|Two|Three) [\w' -]{3,50}?|[A-Z][\w'.-]+(?: (?:of |the |and |de |von )?[A-Z][\w'.-]+)*)"
_PERSON = r"(?:[A-Z][\w'-]+(?: [A-Z]\.)*(?: (?:de |von |van )?[A-Z][\w'-]+){1,2})"
_BE = "(?P<be>was|were|is|are)"
_PARTICIPLE = r"[a-z]+(?:ed|en|wn|ught|lt|de|ld|ne|rt|id|nt|un)\b"
_NUMBER = r"(?:\d[\d,.]*(?: (?:million|billion))?|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|fifty|hundreds of|thousands of)"
_WHEN = r"(?:[A-Z][a-z]+ )?(?:\d{1,2}, )?\d{4}"
_SECOND_VERB = re.compile(
    rf"\b(?:is|are|was|were|has|have|had|which|who|whom|that|may|can|will|by|and (?:\w+ )?(?:{_VERB}|[a-z]+ed))\b"
)
_NO_SUBJECT = re.compile(
    r"^(?:It|He|She|They|We|You|I|This|That|These|Those|There|Here|His|Her|Its|Their|Our|Such|Both|Other|Another|In|On|At|For|By|As|If|When|While|After|Before|During|However|Although|But|And|Some of|Many of|One)\b"
)


@dataclass(frozen=True, slots=True)
class Form:
    """A sentence pattern (group `a` answers) and how its parts become questions."""

    kind: str
    pattern: re.Pattern[str]
    asked: Callable[[Mapping[str, str]], tuple[str, ...]]


def _base(parts: Mapping[str, str]) -> str:
    return BASES[parts["v"]]


def _do(parts: Mapping[str, str]) -> str:
    return {"has": "does", "have": "do", "had": "did"}[parts["have"]]


_FORMS = (
    Form("when passive", re.compile(rf"^(?P<s>{_SUBJECT}) {_BE} (?P<r>{_PARTICIPLE}[^.;,]{{0,70}}?) (?:in|on) (?P<a>{_WHEN})(?=[.,;]|$)"),
         lambda p: (f"When {p['be']} {p['s']} {p['r']}?", f"In what year {p['be']} {p['s']} {p['r']}?" if p["a"].isdigit() else f"When {p['be']} {p['s']} {p['r']}?")),
    Form("when did", re.compile(rf"^(?P<s>{_SUBJECT}) (?P<v>{_VERB}) (?P<r>[^.;,]{{3,80}}?) (?:in|on) (?P<a>{_WHEN})(?=[.,;]|$)"),
         lambda p: (f"When did {p['s']} {_base(p)} {p['r']}?", f"In which year did {p['s']} {_base(p)} {p['r']}?" if p["a"].isdigit() else f"On what date did {p['s']} {_base(p)} {p['r']}?")),
    Form("in year did", re.compile(rf"^(?:In|On) (?P<a>{_WHEN}),? (?P<s>{_SUBJECT}) (?P<v>{_VERB}) (?P<r>[^.;,]{{5,80}}?)(?=[.,;])"),
         lambda p: (f"When did {p['s']} {_base(p)} {p['r']}?", f"In what year did {p['s']} {_base(p)} {p['r']}?" if p["a"].isdigit() else f"On what date did {p['s']} {_base(p)} {p['r']}?")),
    Form("in year was", re.compile(rf"^(?:In|On) (?P<a>{_WHEN}),? (?P<s>{_SUBJECT}) {_BE} (?P<r>{_PARTICIPLE}[^.;,]{{0,70}}?)(?=[.,;])"),
         lambda p: (f"When {p['be']} {p['s']} {p['r']}?",)),
    Form("by whom", re.compile(rf"^(?P<s>{_SUBJECT}) {_BE} (?P<r>{_PARTICIPLE}(?: [^.;,]{{0,40}}?)?) by (?P<a>(?:[a-z]+ ){{0,3}}{_PERSON})(?=[.,;]| in | on )"),
         lambda p: (f"Who {p['be']} {p['s']} {p['r']} by?", f"By whom {p['be']} {p['s']} {p['r']}?")),
    Form("by what", re.compile(rf"^(?P<s>{_SUBJECT}) {_BE} (?P<r>{_PARTICIPLE}(?: [^.;,]{{0,40}}?)?) by (?P<a>(?:a|an|the) [a-z][^.;,]{{5,60}}?)(?=[.,;])"),
         lambda p: (f"What {p['be']} {p['s']} {p['r']} by?",)),
    Form("who", re.compile(rf"^(?:In \d{{4}}, )?(?P<a>{_PERSON}) (?P<v>{_VERB}) (?P<r>[^.;]{{12,90}}?)(?=[.;]|, (?:and|which|who|but) )"),
         lambda p: (f"Who {p['v']} {p['r']}?",)),
    Form("the of", re.compile(r"^The (?P<s>(?!(?:son|daughter|number|majority|rest)\b)[a-z]+(?: [a-z]+)? of [^.;,]{3,50}?) (?P<be>is|was|were|are) (?P<a>(?:(?:the|an?) [a-z]|[A-Z\d\"$£€])[^.;,]{2,60})(?=[.,;])"),
         lambda p: (f"What {p['be']} the {p['s']}?",)),
    Form("how many", re.compile(rf"^(?P<s>{_SUBJECT}) (?P<have>has|have|had) (?:about |over |around |approximately |nearly |more than |a total of )?(?P<a>{_NUMBER}) (?P<r>(?!of\b|and\b|to\b)[a-z][a-z -]*?s)(?=[.,;]| and | in | that | which | who | with | on | at | from | per )"),
         lambda p: (f"How many {p['r']} {_do(p)} {p['s']} have?",)),
    Form("percentage", re.compile(r"^(?:About |Around |Approximately |Some |Nearly |Over |Almost )?(?P<a>\d[\d.]*(?:%| percent| per cent)) of (?P<r>[^.;,]{10,90}?)(?=[.,;])"),
         lambda p: (f"What percentage of {p['r']}?",)),
    Form("why", re.compile(rf"^(?P<s>{_SUBJECT}) {_BE} (?P<r>[^.;,]{{4,80}}?),? because (?P<a>(?!of\b)[^.;]{{12,120}}?)(?=[.;])"),
         lambda p: (f"Why {p['be']} {p['s']} {p['r']}?",)),
    Form("because of", re.compile(rf"^(?P<s>{_SUBJECT}) {_BE} (?P<r>[^.;,]{{4,80}}?),? (?:because of|due to) (?P<a>[^.;,]{{6,90}}?)(?=[.;,])"),
         lambda p: (f"Why {p['be']} {p['s']} {p['r']}?", f"What is the reason that {p['s']} {p['be']} {p['r']}?")),
    Form("called", re.compile(rf"^(?P<s>{_SUBJECT}) {_BE} (?:also |sometimes |often |usually |commonly )?(?P<r>called|known as|referred to as|nicknamed) \"?(?P<a>(?:the |an? )?[^.;,\"]{{3,45}}?)\"?(?=[.,;]| because| or | in | by | and )"),
         lambda p: (f"What {p['be']} {p['s']} {p['r']}?", f"By what name {p['be']} {p['s']} known?")),
    Form("used for", re.compile(rf"^(?P<s>{_SUBJECT}) {_BE} (?:also |often |mainly |widely |commonly )?used (?:for|as) (?P<a>[^.;,]{{6,80}}?)(?=[.;,])"),
         lambda p: (f"What {p['be']} {p['s']} used for?",)),
    Form("consists", re.compile(rf"^(?P<s>{_SUBJECT}) (?P<v>consists of|depends on|belongs to|refers to|leads to|results in) (?P<a>[^.;]{{4,90}}?)(?=[.;]|, (?:which|and|but|with|while) )"),
         lambda p: (f"What does {p['s']} {p['v'].split()[0].removesuffix('s')} {p['v'].split()[1]}?",)),
    Form("what does", re.compile(rf"^(?P<s>{_SUBJECT}) (?P<v>{_NOW}) (?P<a>(?!that |to |in |on |by |as |for |from |whether |how )[^.;,]{{4,80}}?)(?=[.;]|, (?:which|and|but|with|while) )"),
         lambda p: (f"What does {p['s']} {_singular(p['v'])}?",)),
    Form("where to", re.compile(rf"^(?P<s>{_SUBJECT}) (?P<v>moved|went|travelled|traveled|returned|emigrated|retired) to (?P<a>(?:the )?[A-Z][\w'-]+(?:,? (?:of )?[A-Z][\w'-]+){{0,3}})(?=[.,;]| in | to | where | and | with | after )"),
         lambda p: (f"Where did {p['s']} {BASES.get(p['v'], p['v'].removesuffix('ed').replace('travell', 'travel'))} to?",)),
)  # fmt: skip


def turned(documents: Iterable[Mapping[str, Any]], source: str, rng: random.Random) -> Iterator[Sample]:
    """Yield at most two questions a paragraph, each from another sentence; the rival is the paragraph without it."""
    for document in documents:
        text = repaired(document["text"])
        found = list(_found(text, document["title"].partition(" (")[0]))
        rng.shuffle(found)
        for kind, questions, answer, sentence in {entry[3]: entry for entry in found}.values():
            rest = text.replace(sentence, "").strip()
            rivals = (rest,) if len(rest.split()) > 15 and not holds(rest, answer) else ()
            yield Sample(rng.choice(questions), span(answer), text, rivals, source, kind)


def _found(text: str, title: str) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """Yield what each sentence gives: kind, questions, answer and the sentence itself."""
    for sentence in sentences(text)[:8]:
        named = re.sub(r"^(?:He|She)(?= )", title, sentence) if title[:1].isupper() else sentence
        if _NO_SUBJECT.match(named) and not re.match(r"(?:In|On) (?:[A-Z][a-z]+ )?\d", named):
            continue
        for form in _FORMS:
            match = form.pattern.search(named)
            if match and match["a"] in sentence and _sound(match, named):
                parts = {name: part or "" for name, part in match.groupdict().items()}
                if "s" in parts:
                    parts["s"] = re.sub(
                        r"^(?:The|An?|Most|Many|Some|All|Two|Three)\b", lambda m: m[0].lower(), parts["s"]
                    )
                yield form.kind, form.asked(parts), match["a"], sentence
                break


def _sound(match: re.Match[str], sentence: str) -> bool:
    """Whether the parts are whole: no open bracket or quote, no pronoun for a subject, no abbreviation cut through."""
    rest = sentence[match.end() :]
    if rest.startswith(".") and len(rest.strip('".')) > 0:
        return False
    subject = match.groupdict().get("s") or ""
    asked = " ".join(part for name, part in match.groupdict().items() if part and name != "a")
    verbal = f"{subject} | {match.groupdict().get('r') or ''}"
    if _SECOND_VERB.search(verbal) or verbal.rstrip().endswith((" and", " or")):
        return False
    even = all(text.count(left) == text.count(right) for text in (asked, match["a"]) for left, right in ("()", "[]"))
    quoted = any(text.count('"') % 2 for text in (asked, match["a"]))
    return even and not quoted and not _NO_SUBJECT.match(subject) and len(normalised(match["a"])) > 1


def _singular(verb: str) -> str:
    return {"carries": "carry"}.get(verb, verb.removesuffix("s"))
