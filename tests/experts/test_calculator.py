"""What the calculator answers, and that it is silent where it would have to guess."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compllm.experts.calculator import MAX_CHARACTERS, calculate

DATES = st.dates(min_value=date(1000, 1, 1), max_value=date(2100, 12, 31))
NUMBERS = st.integers(min_value=0, max_value=10**9)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which is earlier, 13 June 1895 or 1938?", "13 June 1895"),
        ("Which is earlier, June 13, 1895 or June 12, 1895?", "June 12, 1895"),
        ("Which came first, the birth of Ann (3 March 1901) or the war (1914)?", "the birth of Ann"),
        ("Which is earliest, 1990, 44 BC or 1066?", "44 BC"),
        ("Which is larger, 8,848 metres or 3 776 m?", None),
        ("Which is larger, 8,848 m or 3776 m?", "8,848 m"),
        ("Which is longest, 6.5 km, 7 km, or 5 km", "7 km"),
        ("Which is larger, $2.5 million or $900,000?", "$2.5 million"),
        ("Which is smaller, one or two?", "one"),
        ("Which is earlier, 1914 or 3 March 1914?", None),
        ("Which is larger, 35 or 56.2%?", None),
        ("Which is larger, 35 % or 56.2%?", "56.2%"),
        ("Which is larger, 5 or 5?", None),
        ("Which is larger, a whale or a cat?", None),
        ("Which is larger, 3 of 5 or 4?", None),
        ("Which is larger, 900,000 or 3.6M?", None),
        ("Which is larger, 900 or 2k?", None),
        ("Which is larger, 5 m or 3 m?", "5 m"),
        ("Which is larger, £100 or $110?", None),
        ("Which is larger, $100 or $110?", "$110"),
        ("Which is larger, $3m or $900k?", None),
        ("Which is larger, 20 or 5 dozen?", None),
        ("Which is earlier, 12 pm or 1 pm?", None),
        ("Which is lower, minus 5 or 3?", None),
        ("Which is lower, -5 or 3?", "-5"),
    ],
)
def test_which_of_several(question: str, answer: str | None) -> None:
    assert calculate(question) == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Is 5 greater than 3?", "Yes"),
        ("Is 1895 before 13 June 1895?", None),
        ("Was 1894 before 13 June 1895?", "Yes"),
        ("Did 1990 come before 1980?", "No"),
        ("Is 3 greater than or equal to 3?", "Yes"),
        ("Is 2 equal to or greater than 3?", "No"),
        ("Is 4 at least 4?", "Yes"),
        ("Is 4 at most 3?", "No"),
        ("Is 1,000 equal to 1000?", "Yes"),
        ("Is 10 km longer than 9 miles?", None),
        ("Is Rome before Paris?", None),
        ("Is 1895 not after 1938?", None),
        ("Isn't 5 greater than 3?", None),
    ],
)
def test_yes_or_no(question: str, answer: str | None) -> None:
    assert calculate(question) == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the absolute difference between 1995 and 2006?", "11"),
        ("How many years lie between 2006 and 1995?", "11"),
        ("How many years apart are 1981 and 1939?", "42"),
        ("How many years are there between June 13, 1895 and 1938?", "43"),
        ("What is the difference in years between 13 June 1895 and 12 June 1896?", "0"),
        ("How many days lie between 2024-02-28 and 2024-03-01?", "2"),
        ("How many days lie between 1995 and 2006?", None),
        ("What is the difference between 2.5 and 1?", "1.5"),
        ("What is the difference between a tort and a crime?", None),
        ("What is the difference between 5 km and 3 miles?", None),
        ("What is the difference between 31 February 1900 and 1950?", None),
        ("What is the sum of 2, 3 and 4?", "9"),
        ("What is the average of 1 and 2", "1.5"),
        ("the product of 1.5 and 4", "6"),
        ("What is the sum of its parts?", None),
        ("What is 3 * (4 + 5)?", "27"),
        ("What is 7 plus 8 times 2?", "23"),
        ("What is 20% of 1,500?", "300"),
        ("Calculate 1 divided by 3", "0.3333333333"),
        ("What is 2^10?", "1024"),
        ("What is 2^-1?", "0.5"),
        ("What is 5 / 0?", None),
        ("What is 9**9**9?", None),
        ("What is __import__('os')?", None),
        ("What is 42?", None),
        ("What is the sum of $5 and €5?", None),
        ("What is the sum of 3 and 4 squared?", None),
        ("What is 5 minus 3?", "2"),
        ("What is 200-1500?", "-1300"),
        ("What is 10/2?", "5"),
        ("What is 2024-12-15 - 2023-11-10?", None),
        ("What is 555-1234?", None),
        ("What is 12/24/2025?", None),
        ("What is 9/11?", None),
        ("", None),
        ("1+" * MAX_CHARACTERS + "1", None),
    ],
)
def test_sums_and_distances(question: str, answer: str | None) -> None:
    assert calculate(question) == answer


@pytest.mark.parametrize(
    "question",
    [
        "What is the difference between Type 1 and type 2 diabetes?",
        "What is the difference between Windows 10 and Windows 11?",
        "What is the difference between 32-bit and 64-bit?",
        "What is the difference between 4G and 5G?",
        "What is the difference between IPv4 and IPv6?",
        "What is the difference between GPT-3 and GPT-4?",
        "What is the distance between 5th Avenue and 6th Avenue?",
        "Which is larger, a Boeing 747 or an Airbus A380?",
        "Which is earlier, (unknown: step 1 has no answer) or 1938?",
    ],
)
def test_a_number_in_a_name_is_none(question: str) -> None:
    assert calculate(question) is None


@pytest.mark.parametrize(
    "question",
    [
        "Which is earlier, December 4 or July 25?",
        "Is 10 a.m. earlier than 9 p.m.?",
        "Is 30°C higher than 80°F?",
        "Is 30 degrees Celsius higher than 80 degrees Fahrenheit?",
        "Which is larger, 5 square miles or 10 square kilometres?",
        "Is 500 km/h less than 1 km/s?",
        "Is $100 more than 95 €?",
        "Is 5 percent more than 0.1?",
        "Is half of 10 greater than 7?",
        "Is twice 5 greater than 7?",
        "Is the square root of 16 less than 5?",
        "Is 2 and a half greater than 2?",
        "Is 2½ greater than 2?",
        "Is 5² greater than 20?",
        "Was 1990 before or after 1980?",
        "Which is the second largest, 5, 6 or 7?",
        "Which is less likely to be first, 5 or 6?",
        "Which is larger, 5 or 6, and by how much?",
        "Which is earlier, 20 July 356 BC or 150 AD?",
        "How many years lie between 20 July 356 BC and 10 June 323 BC?",
        "Which is earlier, the 5th century BC or 100 BC?",
        "How many years lie between the 1870s and 1990?",
    ],
)
def test_what_would_be_a_guess_is_not_answered(question: str) -> None:
    assert calculate(question) is None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which is earlier, the 19th century or 1750?", "1750"),
        ("Which is earlier, the 19th century or 1850?", None),
        ("Which is earlier, the 15th century or the 1870s?", "the 15th century"),
        ("Which is earlier, the 1990s or 1995?", None),
        ("Which is earlier, the 1990s or 2001?", "the 1990s"),
        ("Which is earlier, 44 B.C. or 100 B.C.?", "100 B.C"),
        ("How many years lie between 44 BC and 14 AD?", "57"),
        ("Is .75 greater than 0.8?", "No"),
        ("Is 30°C higher than 20 °C?", "Yes"),
        ("Is 5 percent more than 4%?", "Yes"),
        ("Which is higher, K2 (8,611 m) or Everest (8,849 m)?", "Everest"),
        ("Which is larger, In 476 or AD 79?", "In 476"),
        ("What is 98,765,432,101 / 2?", "49382716050.5"),
        ("What is the sum of $123,456,789.12 and $1?", "123456790.12"),
        ("What is 20,000,000,000 / 3?", "6666666666.67"),
    ],
)
def test_periods_units_and_decimals(question: str, answer: str | None) -> None:
    assert calculate(question) == answer


@given(DATES, DATES)
def test_dates_are_ordered_whatever_they_are_written_like(one: date, other: date) -> None:
    long, iso = f"{other:%B} {other.day}, {other.year}", one.isoformat()
    found = calculate(f"Which is earlier, {iso} or {long}?")
    assert found == (None if one == other else iso if one < other else long)
    assert calculate(f"How many days lie between {iso} and {long}?") == str(abs((one - other).days))


@given(NUMBERS, NUMBERS)
def test_numbers_are_exact(one: int, other: int) -> None:
    assert calculate(f"What is the difference between {one:,} and {other}?") == str(abs(one - other))
    assert calculate(f"Is {one} greater than {other:,}?") == ("Yes" if one > other else "No")
    total = calculate(f"What is {one} plus {other}?")
    assert total is not None
    assert Fraction(total) == one + other


@given(st.text(max_size=300))
def test_any_text_is_answered_or_not_and_nothing_else_happens(text: str) -> None:
    assert calculate(text) is None or isinstance(calculate(text), str)
    for form in ("Which is earlier, {0} or {0}?", "Is {0} before {0}?", "What is the sum of {0} and {0}?", "{0}+{0}"):
        calculate(form.format(text))
