"""Questions that need an answer before they can be asked: bridges over one to three relations."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from training.planner.banks import Relation, Web
from training.planner.examples import Example, Question, plan_of
from training.planner.wordings import bare, small, wordings

# Fields whose experts know the lives of their people: a question about such a person stays with them.
_LIVES = frozenset(("film and television", "music", "sports", "art", "literature", "science", "business"))
_PRONOUNS = {
    "person": ("he", "she", "that person", "they", "this person"),
    "actor": ("he", "she", "that actor"),
    "country": ("it", "that country", "this country"),
    "city": ("it", "that city", "this city"),
    "year": ("that year", "the same year"),
}
_LETTERS = "XXXXXXYYABCZPNQR"


def bridge(web: Web, rng: random.Random, *, hops: int) -> Example:
    """Return a question over `hops` relations and a last question about what they lead to."""
    phrase, steps, kind = chain(web, rng, hops=hops)
    last = ask_of(web, rng, kind, steps[-1].tag)
    steps = [*steps, Question(last.text.replace("{x}", f"#{hops}"), last.tag)]
    text = worded(last.text, phrase, kind, steps, rng)
    return Example(text, plan_of(steps), "compllm", f"bridge-{hops + 1}")


def chain(web: Web, rng: random.Random, *, hops: int) -> tuple[str, list[Question], str]:
    """Return a noun phrase over `hops` relations from a random name, its steps, and its kind."""
    kind = rng.choice([kind for kind in web.names if kind in web.relations])
    phrase, steps, tag = rng.choice(list(web.names[kind])), list[Question](), "history"
    while len(steps) < hops:
        relation = _next(web, rng, kind, last=len(steps) + 1 == hops)
        if relation is None:
            return chain(web, rng, hops=hops)
        noun, question = rng.choice(relation.phrases)
        tag = _lives(relation.tag, kind, tag)
        steps.append(Question(question.replace("{x}", f"#{len(steps)}" if steps else phrase), tag))
        phrase, kind = noun.replace("{x}", phrase), relation.target
    return phrase, steps, kind


def _next(web: Web, rng: random.Random, kind: str, *, last: bool) -> Relation | None:
    """Return a relation from here; one that leads on unless it is the last."""
    found = [relation for relation in web.relations.get(kind, ()) if last or relation.target in web.relations]
    return rng.choice(found) if found else None


def ask_of(web: Web, rng: random.Random, kind: str, tag: str) -> Question:
    """Return something to ask of a thing of this kind: an attribute, or one relation more as a question."""
    relations = [relation for relation in web.relations.get(kind, ()) if kind not in ("office", "superlative")]
    if relations and rng.random() < 0.25:
        relation = rng.choice(relations)
        return Question(rng.choice(relation.phrases)[1], _lives(relation.tag, kind, tag))
    by_tag: dict[str, list[Question]] = {}
    for question in web.attributes[kind]:
        by_tag.setdefault(question.tag, []).append(question)
    tags = list(by_tag)
    chosen = rng.choice(by_tag[rng.choices(tags, [len(by_tag[t]) ** 0.75 for t in tags])[0]])
    return Question(chosen.text, _lives(chosen.tag, kind, tag))


def _lives(tag: str, kind: str, before: str) -> str:
    return before if tag == "history" and kind in ("person", "actor") and before in _LIVES else tag


def worded(last: str, phrase: str, kind: str, steps: Sequence[Question], rng: random.Random) -> str:
    """Put a bridge into words: nested, as two questions with a pronoun, or with a letter for the first answer."""
    way = rng.random()
    if len(steps) == 2 and way < 0.12:
        return let(steps[0].text, last, rng)
    if len(steps) == 2 and way < 0.27 and "{x}'s" not in last:
        return _pronoun(steps[0].text, last, kind, rng)
    text = _when(last.replace("{x}", phrase), rng)
    opening: str = rng.choice(wordings("asked"))
    if not opening:
        return text
    return opening + (bare(small(text)) + ("?" if opening[0] in "DC" else ".") if opening[-2] != ":" else small(text))


def _pronoun(first: str, last: str, kind: str, rng: random.Random) -> str:
    pronoun = rng.choice(_PRONOUNS.get(kind, ("it",)))
    if pronoun in ("he", "she", "they"):
        if not re.search(r"(was|is|did|does|has) \{x\}", last):
            pronoun = "that person"
        elif pronoun == "they":
            pronoun = rng.choice(("he", "she"))
    second = bare(small(last.replace("{x}", pronoun)))
    frame = rng.choice(("{a}, and {b}?", "{a} and {b}?", "{a}? And {b}?", "{a}? {B}?"))
    return frame.format(a=bare(first), b=second, B=second[0].upper() + second[1:])


def _when(text: str, rng: random.Random) -> str:
    """Say "when X was born" for "in the year X was born", now and then."""
    if rng.random() < 0.4:
        return re.sub(r"in the (?:same )?year (?:that |in which )?(?!of )", "when ", text)
    return text


def let(first: str, second: str, rng: random.Random) -> str:
    """Return two questions, the second with {x} for the answer of the first, as "Let X be the answer to this: ..."."""
    frames = wordings("letters")
    frame = rng.choice(frames[:5] if rng.random() < 0.3 else frames)
    letter = rng.choice(_LETTERS)
    asked = second.replace("{x}", letter)
    return str(frame.format(n=letter, a=first, b=small(asked), B=asked[0].upper() + asked[1:]))
