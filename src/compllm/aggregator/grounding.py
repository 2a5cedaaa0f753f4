"""Checks what a model has written against the sub-answers it was given; pure functions on text.

A small model that merges answers drops facts and swaps them. A sentence that cites stands if each piece of it, up to a
citation, says hardly more than what it cites (and what that was built on), and no number, name or negation more. One
that does not cite stands if it brings no number, no name, no negation and hardly a word from outside, and if none of
its clauses mixes what different sub-answers say (an answer and one that it was built on may mix). A sub-answer is kept
if its numbers, names and negations and most of its content words are in sentences that stand and draw on it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compllm.aggregator.base import Part

KEPT_SHARE = 0.7

_WORD = re.compile(r"(?:(?<![\w)])[-−](?=\d))?[^\W_]+(?:[.,:/'’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)\s+(?=[\"'(\[]?[A-Z0-9])")
_CITATION = re.compile(r"\s*\[(\d+(?:\s*,\s*\d+)*)\]")
_CLAUSE = re.compile(r"[,;]?\s+(?:while|whereas|and|but)\s+|;\s+", re.IGNORECASE)
_CLAUSE_WORDS = 4
_STOP_WORDS = frozenset(
    """a about after all also an and any are as at be been but by can did do does for from had has have he her his how
    if in into is it its may more most of on one or other she so some such than that the their them there these
    they this those to too was were what when where which while who whom whose why will with would you your both each
    including include includes known called""".split()  # noqa: SIM905 - a list of words reads best as words
)
_NEGATIONS = frozenset(
    {"no", "not", "never", "neither", "nor", "cannot", "without", "none", "nobody", "nothing", "nowhere"}
)
_NUMBER_WORDS = frozenset(
    """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half
    twice""".split()  # noqa: SIM905 - as above
)
_NUMBERED = re.compile(r"(?:^|\s)\d+[.)]\s+$")
# An answer of so few words is kept only if they are said, for the words of the question may be just these.
_FEW_WORDS = 3


@dataclass(frozen=True, slots=True)
class Content:
    """What a text says, roughly: its content words, and which of its words are numbers or names."""

    words: frozenset[str]
    marks: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Content:
        """Read a text, citations left out.

        The first word of a sentence counts as a name only if it has a capital or a digit inside; a single letter is a
        word only where it is one ("hepatitis B").
        """
        words, marks = set(), set()
        for sentence in sentences(_CITATION.sub("", text)):
            for place, match in enumerate(_WORD.finditer(sentence)):
                token, word = match[0], _stem(match[0])
                is_mark = _is_mark(token, is_first=place == 0)
                if word in _STOP_WORDS or (len(word) < 2 and not is_mark):
                    continue
                words.add(word)
                if is_mark or word in _NUMBER_WORDS:
                    marks.add(word)
        return cls(frozenset(words), frozenset(marks))

    def share_in(self, words: frozenset[str]) -> float:
        """Return which share of the content words is among `words`."""
        return len(self.words & words) / len(self.words) if self.words else 1.0


def sentences(text: str) -> list[str]:
    """Split a text into sentences."""
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


def cites(sentence: str) -> bool:
    """Whether a sentence names its sources itself."""
    return _CITATION.search(sentence) is not None


def sources(sentence: str, question: str, parts: Sequence[Part]) -> tuple[int, ...]:
    """Return the steps that a sentence draws from, or none if it does not stand; O(parts * words)."""
    contexts = {part.step: Content.of(f"{part.question} {part.answer}") for part in parts}
    if cites(sentence):
        return _cited_sources(sentence, question, parts, contexts)
    own = _own_words(contexts)
    said = Content.of(sentence)
    known = Content.of(question).words.union(*(context.words for context in contexts.values()))
    if not _is_within(said, known):
        return ()
    used: set[int] = set()
    for clause in _clauses(sentence):
        words = Content.of(clause).words
        drawn = {step for step in own if words & own[step]}
        if not _belong_together(drawn, parts):
            return ()
        used |= drawn
    return tuple(sorted(used))


def _cited_sources(
    sentence: str, question: str, parts: Sequence[Part], contexts: Mapping[int, Content]
) -> tuple[int, ...]:
    parents = {part.step: part.parents for part in parts}
    used: set[int] = set()
    for text, cited in _claims(sentence):
        said = Content.of(text)
        if not (said.words or cited):
            continue
        if not cited or not cited <= contexts.keys():
            return ()
        backing = cited.union(*(parents[step] for step in cited)) & contexts.keys()
        others = frozenset().union(*(contexts[step].words for step in contexts.keys() - backing))
        own = frozenset().union(*(contexts[step].words for step in backing))
        if not _is_within(said, own | (Content.of(question).words - others)):
            return ()
        used |= cited
    return tuple(sorted(used))


def _claims(sentence: str) -> Iterator[tuple[str, set[int]]]:
    """Split a sentence after its citations: each piece with the steps that it cites, the last may cite none.

    Citations that follow each other belong to the same piece.
    """
    text, cited = "", set[int]()
    end = 0
    for found in _CITATION.finditer(sentence):
        between = sentence[end : found.start()]
        if cited and _WORD.search(between):
            yield text, cited
            text, cited = "", set()
        text += between
        cited = cited | {int(step) for step in found[1].split(",")}
        end = found.end()
    yield text, cited
    yield sentence[end:], set()


def _is_within(said: Content, known: frozenset[str]) -> bool:
    """Whether a text says hardly more than what is known, and no number, name or negation more."""
    outside = said.words - known
    return not outside & (said.marks | _NEGATIONS) and len(outside) <= max(1, len(said.words) // 5)


def is_kept(part: Part, kept: Iterable[str], question: str) -> bool:
    """Whether the sentences, which draw on a part, hold what its answer says."""
    said = Content.of(" ".join(kept)).words
    answer = Content.of(part.answer)
    if not answer.words:  # "Both.", "It is."
        return _spoken(part.answer) in _spoken(" ".join(kept))
    known = Content.of(question).words if len(answer.words) > _FEW_WORDS else frozenset[str]()
    return answer.marks | (answer.words & _NEGATIONS) <= said and answer.share_in(said | known) >= KEPT_SHARE


def says_more(sentence: str, said: str) -> bool:
    """Whether a sentence has a content word that is not said already."""
    return not Content.of(sentence).words <= Content.of(said).words


def without_repeats(text: str) -> str:
    """Return a text without the sentences whose content words one before them has said already, in this order.

    Items of a numbered list stay. Quadratic in the sentences.
    """
    kept, start = "", 0
    said: list[list[str]] = []
    for end in (*(gap.end() for gap in _SENTENCE_END.finditer(text)), len(text)):
        sentence = text[start:end]
        words = [word for word in map(_stem, _WORD.findall(sentence)) if word not in _STOP_WORDS]
        is_item = _NUMBERED.search(text[:start]) is not None
        kept += sentence if is_item or not any(_in_order(words, before) for before in said) else ""
        said.append(words)
        start = end
    return kept.rstrip()


def _in_order(words: Iterable[str], among: Iterable[str]) -> bool:
    """Whether all words are among others, one after another."""
    rest = iter(among)
    return all(word in rest for word in words)


def _spoken(text: str) -> str:
    """Return the words of a text alone, between spaces."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _own_words(contexts: Mapping[int, Content]) -> dict[int, frozenset[str]]:
    """Return the words of each step that no other step has: they tell where a clause comes from."""
    counts = Counter(word for content in contexts.values() for word in content.words)
    return {step: frozenset(w for w in content.words if counts[w] == 1) for step, content in contexts.items()}


def _belong_together(steps: set[int], parts: Sequence[Part]) -> bool:
    """Whether one step's answer was built on all the others'."""
    if len(steps) < 2:
        return True
    return any(part.step in steps and steps <= {part.step, *part.parents} for part in parts)


def _clauses(sentence: str) -> Iterator[str]:
    """Split where one statement may end and another begin; what is too short for one stays with the one before."""
    clause = ""
    for piece in _CLAUSE.split(sentence):
        if clause and len(piece.split()) >= _CLAUSE_WORDS:
            yield clause
            clause = piece
        else:
            clause = f"{clause} {piece}"
    yield clause


def _is_mark(token: str, *, is_first: bool) -> bool:
    """Whether a word is a number or a name by its looks; the first of a sentence has its capital from there."""
    rest = token[1:] if is_first else token
    return any(c.isdigit() for c in token) or rest != rest.lower()


def _stem(token: str) -> str:
    """Fold case and the commonest endings, so that "treats" and "treat" are one word, and every "n't" is a "not"."""
    word = token.lower().replace("’", "'").replace("−", "-").removesuffix("'s")
    if word.endswith("n't"):
        return "not"
    for ending in ("ies", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word.removesuffix(ending) + ("y" if ending == "ies" else "")
    return word
