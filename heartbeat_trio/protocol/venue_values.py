"""What stands in a venue's message, as numbers: prices, times, sequence numbers, from text or from JSON numbers. Pure.

Nothing here trusts its input: what is no price, time or number raises `ValueError`, with words that name no more than the
kind of the trouble.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import inf, isfinite
from typing import Any, Literal

from .messages import MAX_SEQ
from .wire import MAX_TS

MISSING = object()
"""What a path gives where nothing stands: unlike None, which is a venue's own null."""

Json = Any
"""A parsed JSON value, of which nothing is known yet, or `MISSING`."""

TimeUnit = Literal["s", "ms", "us", "ns", "ms_or_us", "iso"]
"""How a venue writes a time. Numbers may be text and may have a fraction. `ms_or_us` is told apart by size: some venues
give microseconds to those who ask."""

_MAX_DIGITS = 64
"""Characters of a number that are looked at; a longer text is none."""

# Of 64 characters with two digits of exponent no number becomes infinite.
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?", re.ASCII).fullmatch
_FIXED = re.compile(r"(\d{1,20})(?:\.(\d+))?", re.ASCII).fullmatch
_SECOND = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", re.ASCII).fullmatch
_TAIL = re.compile(r"(?:[.,](\d{1,12}))?(?:Z|([+-])(\d\d):?(\d\d))?", re.ASCII).fullmatch

_DECIMALS = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""By how many decimal digits a unit's number grows when it becomes microseconds."""

_POWERS = {0: 1, 3: 1000, 6: 1_000_000}

_FIRST_US = 100_000_000_000_000
"""Numbers from here on are microseconds (1973), those below are milliseconds (until the year 5138)."""

_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def to_price(value: Json) -> Json:
    """A price or a size; None for null and for an empty text, which is how venues write "there is none".

    `MISSING` stays what it is.
    """
    if type(value) is str:
        if len(value) <= _MAX_DIGITS and _DECIMAL(value) is not None:
            return float(value)
        if value:
            raise ValueError("a price is no number")
        return None
    if type(value) is float:
        number = value
    elif type(value) is int:
        number = float(value) if abs(value) < 1 << 1000 else inf
    elif value is None or value is MISSING:
        return value
    else:
        raise ValueError("a price is neither number nor text")
    if not isfinite(number):
        raise ValueError("a price is not finite")
    return number


def to_sequence(value: object) -> int | None:
    """A sequence number, 0 to 2^63-1; None where there is none."""
    if type(value) is str and len(value) <= 19 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is int and 0 <= value <= MAX_SEQ:
        return value
    if value is MISSING or value is None or value == "":
        return None
    raise ValueError("a sequence number is none of 0 to 2^63-1")


def to_micros(value: object, unit: TimeUnit) -> int | None:
    """A time in integer microseconds UTC, of the years 1970 to 9999; None where there is none."""
    if type(value) is str:
        if not value:
            return None
        if len(value) > _MAX_DIGITS:
            raise ValueError("a time is too long")
        micros = _iso_micros(value) if unit == "iso" else _text_micros(value, unit)
    elif value is MISSING or value is None:
        return None
    elif unit != "iso" and type(value) is int:
        micros = _int_micros(value, unit)
    elif unit != "iso" and type(value) is float and isfinite(value):
        micros = round(value * 10.0 ** _DECIMALS[_unit_of(value, unit)])
    else:
        raise ValueError("a time is neither number nor text")
    if not 0 <= micros <= MAX_TS:
        raise ValueError("the time is none of the years 1970 to 9999")
    return micros


def _unit_of(value: float, unit: TimeUnit) -> TimeUnit:
    if unit != "ms_or_us":
        return unit
    return "us" if value >= _FIRST_US else "ms"


def _int_micros(value: int, unit: TimeUnit) -> int:
    decimals = _DECIMALS[_unit_of(value, unit)]
    return value // 1000 if decimals < 0 else value * _POWERS[decimals]


def _text_micros(text: str, unit: TimeUnit) -> int:
    """Exact: a float would lose the microseconds of a time in seconds."""
    match = _FIXED(text)
    if match is None:
        raise ValueError("a time is no number")
    whole, fraction = int(match[1]), match[2] or ""
    decimals = _DECIMALS[_unit_of(whole, unit)]
    if decimals < 0:
        return whole // 1000
    return whole * _POWERS[decimals] + int(fraction[:decimals].ljust(decimals, "0") or 0)


def _iso_micros(text: str) -> int:
    """ISO 8601 with any number of decimals; without a zone it is UTC. A leap second is the next minute's first."""
    digits = text[20:-1]
    if text[19:20] == "." and text[-1] == "Z" and digits.isdecimal() and digits.isascii():  # most of them: no pattern
        return _second(text[:19]) * 1_000_000 + int(digits[:6].ljust(6, "0"))
    tail = _TAIL(text, 19)
    if tail is None:
        raise ValueError("a time is not ISO 8601")
    fraction, sign, hours, minutes = tail.groups("")
    micros = _second(text[:19]) * 1_000_000
    if fraction:
        micros += int(fraction[:6].ljust(6, "0"))
    if sign:
        offset = (int(hours) * 3600 + int(minutes) * 60) * 1_000_000
        micros -= offset if sign == "+" else -offset
    return micros


# The same second comes with many messages.
@lru_cache(maxsize=256)
def _second(text: str) -> int:
    """Seconds from 1970 to a second of the Gregorian calendar, whose days are counted in years that begin in March."""
    match = _SECOND(text)
    if match is None:
        raise ValueError("a time is not ISO 8601")
    year, month, day, hour, minute, second = map(int, match.groups())
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS_IN_MONTH[month - 1] or (month, day, is_leap) == (2, 29, False):
        raise ValueError("a date does not exist")
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError("a time of day does not exist")
    years = year - (month < 3)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = years * 365 + years // 4 - years // 100 + years // 400 + of_year - 719_468
    return days * 86_400 + hour * 3600 + minute * 60 + second
