"""What stands in a venue's message, as numbers: prices, times, sequence numbers, from text or from JSON numbers. Pure.

Nothing here trusts its input: what is no price, time or number raises `ValueError`, with words that name no more than the
kind of the trouble.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite
from typing import Literal

from .messages import MAX_SEQ
from .wire import MAX_TS

MISSING = object()
"""What a path gives where nothing stands: unlike None, which is a venue's own null."""

TimeUnit = Literal["s", "ms", "us", "ns", "ms_or_us", "iso"]
"""How a venue writes a time. Numbers may be text and may have a fraction. `ms_or_us` is told apart by size: some venues
give microseconds to those who ask."""

_MAX_DIGITS = 64
"""Characters of a number that are looked at; a longer text is none."""

_DECIMAL = re.compile(r"-?(\d+)(?:\.(\d+))?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_FIXED = re.compile(r"(\d{1,20})(?:\.(\d+))?", re.ASCII)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12}))?(?:Z|([+-])(\d\d):?(\d\d))?", re.ASCII)

_DECIMALS = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""By how many decimal digits a unit's number grows when it becomes microseconds."""

_FIRST_US = 100_000_000_000_000
"""Numbers from here on are microseconds (1973), those below are milliseconds (until the year 5138)."""

_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def to_price(value: object) -> float | None:
    """A price or a size; None for null and for an empty text, which is how venues write "there is none"."""
    if type(value) is str:
        if not value:
            return None
        if len(value) > _MAX_DIGITS or _DECIMAL.fullmatch(value) is None:
            raise ValueError("a price is no number")
        number = float(value)
    elif type(value) is float:
        number = value
    elif type(value) is int:
        number = float(value) if abs(value) < 1 << 1000 else float("inf")
    elif value is None:
        return None
    else:
        raise ValueError("a price is neither number nor text")
    if not isfinite(number):
        raise ValueError("a price is not finite")
    return number


def to_sequence(value: object) -> int | None:
    """A sequence number, 0 to 2^63-1; None where there is none."""
    if value is MISSING or value is None or value == "":
        return None
    if type(value) is str and len(value) <= 19 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_SEQ:
        raise ValueError("a sequence number is none of 0 to 2^63-1")
    return value


def to_micros(value: object, unit: TimeUnit) -> int | None:
    """A time in integer microseconds UTC, of the years 1970 to 9999; None where there is none."""
    if value is MISSING or value is None or value == "":
        return None
    if type(value) is str:
        if len(value) > _MAX_DIGITS:
            raise ValueError("a time is too long")
        micros = _iso_micros(value) if unit == "iso" else _text_micros(value, unit)
    elif unit != "iso" and type(value) is int:
        micros = _int_micros(value, unit)
    elif unit != "iso" and type(value) is float and isfinite(value):
        micros = round(value * 10 ** _DECIMALS[_unit_of(value, unit)])
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
    return value * 10**decimals if decimals >= 0 else value // 1000


def _text_micros(text: str, unit: TimeUnit) -> int:
    """Exact: a float would lose the microseconds of a time in seconds."""
    match = _FIXED.fullmatch(text)
    if match is None:
        raise ValueError("a time is no number")
    whole, fraction = int(match[1]), match[2] or ""
    decimals = _DECIMALS[_unit_of(whole, unit)]
    if decimals < 0:
        return whole // 1000
    return whole * 10**decimals + int(fraction[:decimals].ljust(decimals, "0") or 0)


def _iso_micros(text: str) -> int:
    """ISO 8601 with any number of decimals; without a zone it is UTC. A leap second is the next minute's first."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError("a time is not ISO 8601")
    hour, minute, second = int(match[2]), int(match[3]), int(match[4])
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError("a time of day does not exist")
    seconds = _day(match[1]) * 86_400 + hour * 3600 + minute * 60 + second
    if match[6]:
        offset = int(match[7]) * 3600 + int(match[8]) * 60
        seconds -= offset if match[6] == "+" else -offset
    return seconds * 1_000_000 + int((match[5] or "")[:6].ljust(6, "0"))


# The same day comes with every message.
@lru_cache(maxsize=16)
def _day(text: str) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS_IN_MONTH[month - 1] or (month, day, is_leap) == (2, 29, False):
        raise ValueError("a date does not exist")
    years = year - (month < 3)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return years * 365 + years // 4 - years // 100 + years // 400 + of_year - 719_468
