"""Sums and comparisons, exactly: what a small language model gets wrong and a planner likes to ask last.

`calculate` understands the closing steps of plans in English: "Which is earlier, 13 June 1895 or 1938?", "Is 5 greater
than 3?", "What is the difference between 1995 and 2006?", "What is the average of 2, 3 and 4?", "What is 3 * (4 + 5)?".
It says nothing where it would have to guess: two numbers where one is wanted, a number that is part of a name ("Type 2
diabetes"), units that differ, dates that overlap.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, Inexact, localcontext
from fractions import Fraction
from functools import reduce

MAX_CHARACTERS = 2000
_MAX_EXPRESSION = 200
_MAX_BITS = 2048  # of a power
_MAX_DIGITS = 30  # of a result that is no whole number

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\.?"
)
_DATE = re.compile(
    rf"\b(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH})|(?P<month2>{_MONTH})\s+"
    rf"(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?|(?P<month3>{_MONTH})),?\s+(?P<year>\d{{3,4}})\b"
    r"|\b(?P<iso>\d{4}-\d{2}-\d{2})\b",
    re.IGNORECASE,
)
# "the 15th century", "the 1990s": from the first to the last day.
_PERIOD = re.compile(r"\b(?:(?P<century>\d{1,2})(?:st|nd|rd|th)[\s-]+century|(?P<decade>\d{3}0)s)\b", re.IGNORECASE)
_IN_MONTH = re.compile(rf"\b{_MONTH}(?!\w)", re.IGNORECASE)
# A letter right before a number makes it part of a name: A380, IPv6, GPT-4.
_NUMBER = re.compile(
    r"(?P<name>[^\W\d_]/?(?=\d)|(?-i:[A-Z])-(?=\d))?"
    r"(?P<sign>(?<!\w)[-−–])?(?P<currency>[$€£¥])?"
    r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"\s*(?P<scale>thousand|million|billion|trillion)?\s*"
    r"(?P<unit>%|per\s?cent|[$€£¥]|(?:[ap]\.\s?m|b\.\s?c(?:\.\s?e)?|a\.\s?d|c\.\s?e)\b\.?"
    r"|[°º]?\s*(?:(?:square|cubic|sq\.?|cu\.?|degrees?|metric|short|long|nautical|light|fluid)\s+)?[^\W\d_]+"
    r"(?:\s*/\s*[^\W\d_]+|\s+per\s+[^\W\d_]+)?)?",
    re.IGNORECASE,
)
_SCALES = {"": 1, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORDS = {
    word: number
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_NO_UNIT = {"", "and", "in", "at", "to", "by", "as", "for", "on", "of", "was", "is", "a", "an", "the", "ad", "ce"}
_BEFORE_CHRIST = {"bc", "bce"}
_HAS_BEFORE_CHRIST = re.compile(r"\bb\.?\s?c\b", re.IGNORECASE)
# What stands behind a number and makes another one of it, in ways that are not told for sure.
_CHANGES_NUMBER = set(
    """am pm o hundred dozen score squared cubed factorial third thirds quarter quarters fifths st nd rd th g d
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
# What does so from anywhere in the text.
_CHANGED = re.compile(
    r"\b(?:half|halves|twice|thrice|double|triple|minus|negative|(?:third|quarter|fifth|tenth|root|square|cube)\s+of)\b",
    re.IGNORECASE,
)
# Units that may as well be thousands, millions or billions.
_SCALE_OR_UNIT = {"k", "m", "b", "bn", "mil", "mill", "mln", "mn", "mio", "tn", "trn", "lakh", "crore"}
_NEGATED = re.compile(r"\b(?:not|never)\b|n['’]t\b", re.IGNORECASE)
# The word before a number, and what makes the number part of a name: "type 2", "Boeing 747".
_WORD_BEFORE = re.compile(r"([^\W\d_][\w'’.-]*)\s+$")
_NUMBERED = set(
    """article category chapter class episode gate generation grade group hepatitis level model no no. page part phase
    platform room route season section series stage step tier type version volume war
    """.split()  # noqa: SIM905 - as above
)
_NO_NAME = set(
    """about after age aged approximately around before between born c ca circa died exactly from nearly only over ph
    roughly since than under until year i it
    """.split()  # noqa: SIM905 - as above
)
# Years are not told from names: "Hastings 1066".
_MAX_NUMBERED = 1000
# Written with signs of arithmetic, but none: dates, telephone numbers, an event, always.
_NO_ARITHMETIC = re.compile(
    r"(?<!\d)(?:\d{4}-\d\d?-\d\d?|\d\d?/\d\d?/\d{2,4}|\d{3}-\d{3}-\d{4}|555-\d{4}|9/11|24/7)(?!\d)"
)

_LEAST = r"earlier|earliest|first|smaller|smallest|less|least|lower|lowest|shorter|shortest|fewer|fewest"
_MOST = r"later|latest|last|larger|largest|greater|greatest|bigger|biggest|more|most|higher|highest|longer|longest"
_WHICH = re.compile(
    rf"which\b(?P<what>[^,:]*?)\b(?:(?P<least>{_LEAST})|(?P<most>{_MOST}))\b(?:\s+of)?\s*[,:]\s*(?P<options>.+)",
    re.IGNORECASE,
)
_RELATIONS: Mapping[str, Callable[[int], bool]] = {
    r"(?:greater|larger|more|higher|later|longer|bigger)(?:\s+than)?\s+or\s+equal\s+to"
    r"|equal\s+to\s+or\s+(?:greater|larger|more|higher|longer)\s+than|at\s+least(?:\s+equal\s+to)?": lambda sign: (
        sign >= 0
    ),
    r"(?:less|smaller|fewer|lower|earlier|shorter)(?:\s+than)?\s+or\s+equal\s+to"
    r"|equal\s+to\s+or\s+(?:less|smaller|lower|shorter)\s+than|at\s+most": lambda sign: sign <= 0,
    r"(?:greater|larger|more|higher|later|longer|bigger)\s+than|after": lambda sign: sign > 0,
    r"(?:less|smaller|fewer|lower|earlier|shorter)\s+than|before": lambda sign: sign < 0,
    r"equal\s+to|the\s+same\s+as": lambda sign: sign == 0,
}
# "The second largest", "less likely to be first".
_RANKED = re.compile(
    r"\b(?:second|third|fourth|fifth|\d+(?:nd|rd|th)|next|less|more|likely|not)\s*$|\blikely\b", re.IGNORECASE
)
_IS = r"(?:is|was|are|were|did|does|do)\s+(.+?)\s+(?:(?:happen|occur|come|take\s+place)\s+)?"
_BETWEEN = re.compile(
    r"(?:what\s+(?:is|was)\s+)?(?:the\s+)?(?:absolute\s+)?(?:difference|distance)(?:\s+in\s+(?P<in>years|days))?"
    r"\s+between\s+(?P<pair>.+)"
    r"|how\s+many\s+(?P<unit>years|days)\s+(?:\w+\s+){0,3}?between\s+(?P<pair2>.+)"
    r"|how\s+many\s+(?P<unit2>years|days)\s+apart\s+(?:are|were|is)\s+(?P<pair3>.+)",
    re.IGNORECASE,
)
_OF = re.compile(
    r"(?:what\s+(?:is|was)\s+)?(?:the\s+)?(?P<how>sum|total|product|average|mean)\s+of\s+(?P<items>.+)", re.IGNORECASE
)
_ASKED = re.compile(r"^(?:what\s+(?:is|are|does)|how\s+much\s+is|calculate|compute|evaluate)\s+", re.IGNORECASE)
_OPERATORS_IN_WORDS = (
    (r"\s+plus\s+", " + "), (r"\s+minus\s+", " - "), (r"\s+(?:times|multiplied by)\s+", " * "),
    (r"\s+divided by\s+", " / "), ("[×]", "*"), ("[÷]", "/"), (r"\^", "**"), ("−", "-"),
    (r"(\d)\s*(?:%|percent) of\s+", r"\1 / 100 * "), (r"(?<=\d),(?=\d{3}\b)", ""),
)  # fmt: skip
_OPERATORS: Mapping[type[ast.AST], Callable[..., Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip

Point = Fraction | date


@dataclass(frozen=True, slots=True)
class _Value:
    """What a text names: a number, or the days that a date may mean; `name` is what stood before it in parentheses."""

    low: Point
    high: Point
    unit: str
    name: str

    @property
    def is_period(self) -> bool:
        """Whether it is a decade or a century."""
        return isinstance(self.low, date) and isinstance(self.high, date) and self.low.year != self.high.year


def calculate(question: str) -> str | None:
    """Return the answer to a question of numbers or dates, or None if it is another, or cannot be told for sure."""
    asked = " ".join(question[: MAX_CHARACTERS + 1].split()).rstrip(" ?.")
    if len(asked) > MAX_CHARACTERS or _NEGATED.search(asked):
        return None
    for attempt in (_which, _is, _between, _of, _expression):
        answer = attempt(asked)
        if answer is not None:
            return answer
    return None


# --- forms of questions ----------------------------------------------------------------------------------------------


def _which(asked: str) -> str | None:
    """Answer "Which is earlier, A or B?" with A or B as it stands there."""
    match = _WHICH.match(asked)
    if match is None or _RANKED.search(match["what"]) or ", and " in match["options"]:
        return None
    values = _values(_split(match["options"], "or"))
    if values is None or len(values) < 2:
        return None
    wanted = -1 if match["least"] else 1
    best = values[0]
    for value in values[1:]:
        sign = _order(value, best)
        if sign is None or sign == 0:
            return None
        best = value if sign == wanted else best
    return best.name


def _is(asked: str) -> str | None:
    """Answer "Is A greater than B?" with yes or no."""
    for words, holds in _RELATIONS.items():
        match = re.fullmatch(rf"{_IS}(?:{words})\s+(.+)", asked, re.IGNORECASE)
        if match:
            values = _values([match[1], match[2]]) if " or " not in f"{match[1]} {match[2]} " else None
            sign = _order(*values) if values else None
            return None if sign is None else "Yes" if holds(sign) else "No"
    return None


def _between(asked: str) -> str | None:
    """Answer how far two numbers or dates lie apart; dates in whole years, or in days if these are asked for."""
    match = _BETWEEN.match(asked)
    values = _values(_split(match["pair"] or match["pair2"] or match["pair3"], "and")) if match else None
    if match is None or values is None or len(values) != 2 or not _alike(*values) or any(v.is_period for v in values):
        return None
    low, high = sorted(values, key=lambda value: _as_date(value.low) or date.min)
    unit = (match["in"] or match["unit"] or match["unit2"] or "").casefold()
    if isinstance(low.low, Fraction) and isinstance(high.low, Fraction) and unit != "days":
        has_no_zero = low.low * high.low < 0 and (unit == "years" or _HAS_BEFORE_CHRIST.search(asked))
        return _text(abs(high.low - low.low) - (1 if has_no_zero else 0))  # 1 BC was the year before AD 1
    begin, end = _as_date(low.low), _as_date(high.low)
    if begin is None or end is None:
        return None
    if unit == "days":
        exact = low.low == low.high and high.low == high.high and isinstance(low.low, date)
        return str((end - begin).days) if exact else None
    known = isinstance(low.low, date) and isinstance(high.low, date)
    short = known and (end.month, end.day) < (begin.month, begin.day)
    return str(end.year - begin.year - short)


def _of(asked: str) -> str | None:
    """Answer "the sum of A, B and C", likewise the product and the average."""
    match = _OF.match(asked)
    values = _values(_split(match["items"], "and")) if match else None
    numbers = [value.low for value in values or () if isinstance(value.low, Fraction)]
    if match is None or len(numbers) < 2 or len(numbers) != len(values or ()) or not _alike(*(values or ())):
        return None
    how = match["how"].casefold()
    if how == "product":
        return _text(reduce(operator.mul, numbers))
    return _text(sum(numbers, Fraction()) / (len(numbers) if how in ("average", "mean") else 1))


def _expression(asked: str) -> str | None:
    """Answer arithmetic, written with signs or words."""
    text = _ASKED.sub("", asked)
    if _NO_ARITHMETIC.search(text):
        return None
    for words, sign in _OPERATORS_IN_WORDS:
        text = re.sub(words, sign, text, flags=re.IGNORECASE)
    if len(text) > _MAX_EXPRESSION or not re.fullmatch(r"[\d\s.+\-*/()]*[+\-*/][\d\s.+\-*/()]*", text.strip()):
        return None
    try:
        return _text(_evaluate(ast.parse(text.strip(), mode="eval").body))
    except (SyntaxError, ValueError, ArithmeticError):
        return None


def _evaluate(node: ast.AST) -> Fraction:
    """Return the value of an expression of numbers.

    Raises:
        ValueError: it holds something else, or a power that would take too long.
        ArithmeticError: a division by zero.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.operand))
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        if type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](left, right)
        if isinstance(node.op, ast.Pow) and right.denominator == 1:
            bits = max(left.numerator.bit_length(), left.denominator.bit_length())
            if bits * abs(right) <= _MAX_BITS:
                return Fraction(left ** int(right))
    raise ValueError("not arithmetic")


# --- values ----------------------------------------------------------------------------------------------------------


def _split(listed: str, last: str) -> list[str]:
    """Return the items of "A, B or C"; the comma of "June 13, 1895" separates nothing."""
    *head, tail = re.split(rf",?\s+{last}\s+", listed)
    return [item.strip() for part in head for item in re.split(r",\s+(?!\d{4}\b)", part)] + [tail.strip()]


def _values(texts: Sequence[str]) -> list[_Value] | None:
    """Return what every text names, or None if one of them names nothing for sure."""
    values = [value for value in map(_value, texts) if value is not None]
    return values if len(values) == len(texts) else None


def _value(text: str) -> _Value | None:
    """Return the only number or date of a text; of "the war (1936)" it is 1936, named "the war"."""
    inner = re.fullmatch(r"(.+?)\s*\(([^()]+)\)", text)
    name, text = (inner[1], inner[2]) if inner else (text, text)
    if _CHANGED.search(text):
        return None
    dates = [*_PERIOD.finditer(text), *_DATE.finditer(text)]
    if dates:
        rest = _PERIOD.sub(" ", _DATE.sub(" ", text))
        alone = len(dates) == 1 and not _NUMBER.search(rest) and not _HAS_BEFORE_CHRIST.search(rest)
        days = (_period(dates[0]) if dates[0].re is _PERIOD else _days(dates[0])) if alone else None
        return _Value(*days, "", name) if days else None
    numbers = [number for number in _NUMBER.finditer(text) if not number["name"]]
    if not numbers and text.casefold().strip() in _WORDS:
        return _Value(*2 * (Fraction(_WORDS[text.casefold().strip()]),), "", name)
    return _number(numbers[0], name) if len(numbers) == 1 and not _IN_MONTH.search(text) else None


def _number(match: re.Match[str], name: str) -> _Value | None:
    unit = _unit(match["unit"] or "")
    if unit in _CHANGES_NUMBER or unit[:1].isnumeric() or (match["currency"] and unit in _SCALE_OR_UNIT):
        return None
    number = Fraction(match["number"].replace(",", "")) * _SCALES[(match["scale"] or "").casefold()]
    if unit not in _BEFORE_CHRIST and _is_in_name(match, number):
        return None
    negative = bool(match["sign"]) != (unit in _BEFORE_CHRIST)
    number = -number if negative else number
    unit = "" if unit in _NO_UNIT | _BEFORE_CHRIST else unit.rstrip("s")
    return _Value(number, number, match["currency"] or unit, name)


def _unit(written: str) -> str:
    """Return a unit in one spelling: "B.C." is "bc", "per cent" is "%"."""
    unit = " ".join(written.casefold().split())
    unit = re.sub(r"[.\s]", "", unit) if re.match(r"[abcp]\.", unit) else unit
    return "%" if re.fullmatch(r"per ?cent", unit) else unit


def _is_in_name(match: re.Match[str], number: Fraction) -> bool:
    """Whether a number is part of a name: "type 2", "Boeing 747", "32-bit"."""
    if re.match(r"-[^\W\d_]", match.string[match.end("number") :]):
        return True
    before = _WORD_BEFORE.search(match.string[: match.start()])
    if before is None or number >= _MAX_NUMBERED or match["currency"]:
        return False
    word = before[1].casefold()
    is_name = before[1] != word and word.replace(".", "") not in _NO_UNIT | _NO_NAME
    return word in _NUMBERED or is_name


def _period(match: re.Match[str]) -> tuple[date, date] | None:
    """Return the first and the last day of a century or a decade; "the 1900s" may be either."""
    if match["decade"]:
        first = int(match["decade"])
        last = first + (99 if first % 100 == 0 else 9)
    else:
        first, last = int(match["century"]) * 100 - 99, int(match["century"]) * 100
    return (date(first, 1, 1), date(last, 12, 31)) if first > 0 else None


def _days(match: re.Match[str]) -> tuple[date, date] | None:
    """Return the first and the last day that a date may mean, or None if there is no such day."""
    try:
        if match["iso"]:
            day = date.fromisoformat(match["iso"])
            return day, day
        month = datetime.strptime((match["month"] or match["month2"] or match["month3"])[:3], "%b").month
        year, known = int(match["year"]), match["day"] or match["day2"]
        if known:
            return date(year, month, int(known)), date(year, month, int(known))
        following = date(year + month // 12, month % 12 + 1, 1)
        return date(year, month, 1), date.fromordinal(following.toordinal() - 1)
    except ValueError:
        return None


def _alike(*values: _Value) -> bool:
    """Whether values can be compared: units do not differ where they have one, and no share or thousand is a count."""
    units = {value.unit for value in values}
    return len(units - {""}) <= 1 and not ("" in units and units & {"%", *_SCALE_OR_UNIT})


def _order(one: _Value, other: _Value) -> int | None:
    """Return -1, 0 or 1, or None if it cannot be told."""
    if not _alike(one, other):
        return None
    if isinstance(one.low, Fraction) and isinstance(other.low, Fraction):
        return (one.low > other.low) - (one.low < other.low)
    spans = [(_as_date(value.low), _as_date(value.high, last=True)) for value in (one, other)]
    (begin, end), (begin2, end2) = spans
    if begin is None or end is None or begin2 is None or end2 is None:
        return None
    if begin == end == begin2 == end2:
        return 0
    return -1 if end < begin2 else 1 if end2 < begin else None


def _as_date(point: Point, *, last: bool = False) -> date | None:
    """Return a day; a whole number from 1 to 9999 is a year, of which it is the first day or the last."""
    if isinstance(point, date):
        return point
    if point.denominator != 1 or not 1 <= point <= 9999:
        return None
    return date(int(point), 12, 31) if last else date(int(point), 1, 1)


def _text(number: Fraction) -> str:
    """Return a number in decimals, all of them if they end."""
    with localcontext(prec=_MAX_DIGITS) as context:
        found = Decimal(number.numerator) / Decimal(number.denominator)
        if context.flags[Inexact]:
            context.prec = max(10, found.adjusted() + 3)
            found = +found
        return format(found, "f")
