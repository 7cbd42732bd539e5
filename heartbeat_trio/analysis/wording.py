"""Figures in words, each with its unit: what claims, advice, the terminal's report and the page share. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from .findings import (
        Confidence,
        Estimate,
        Finding,
        Kind,
        LineReport,
        LossCount,
        NotEnough,
        Percentile,
        Recommendation,
        Report,
        Unit,
    )

    Words: TypeAlias = Callable[[float | None], str]

UNKNOWN = "-"
DAY = 86_400.0
HOUR = 3_600.0
SETTINGS = re.compile(r", (?=\w+ = )")
UNITS = ((172_800.0, 86_400.0, "d"), (7_200.0, 3_600.0, "h"), (600.0, 60.0, "min"))
SHARES: frozenset[str] = frozenset({"venue_wide", "local"})
"""Kinds of findings whose effect is a part of something and no change."""
KINDS: dict[Kind, str] = {
    "hour": "hours of the day",
    "weekday": "days of the week",
    "step": "steps",
    "drift": "drift",
    "period": "periodic losses",
    "idle_kill": "connections killed when idle",
    "slower": "one line slower than another",
    "venue_wide": "trouble of a whole venue",
    "local": "trouble of our own",
}
METRICS: dict[str, str] = {"rtt": "round trips", "misses": "missed pongs", "losses": "losses"}
BARS: dict[Confidence, int] = {"low": 1, "medium": 2, "high": 3}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def seconds(value: float | None) -> str:
    """A length of time, with three figures at most."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for least, unit, name in UNITS:
        if abs(value) >= least:
            return f"{_short(value / unit)} {name}"
    return f"{_short(value)} s" if abs(value) >= 1 or value == 0 else f"{_three(1000 * value)} ms"


def moment(at: float) -> str:
    """A moment in UTC, to the minute."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def milliseconds(value: float | None) -> str:
    """A round-trip time without its unit: milliseconds."""
    return UNKNOWN if value is None or not math.isfinite(value) else _three(1000 * value)


def _three(value: float) -> str:
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return grouped(round(value)) if digits == 0 else f"{value:.{digits}f}"


def _short(value: float) -> str:
    written = _three(value)
    whole, _, rest = written.partition(".")
    return whole if not rest.strip("0") else written


def share(value: float | None) -> str:
    """A fraction as a percentage: what it lacks has two figures, and it never rounds up to 100."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value in (0, 1):
        return f"{value:.0%}".replace("%", " %")
    digits = 1 if value < 0.99 else min(5, math.ceil(-math.log10(1 - value) - 1e-9) - 1)
    scale: float = 10.0**digits
    return f"{math.floor(value * 100 * scale + 1e-6) / scale:.{digits}f} %"


def change(value: float | None) -> str:
    """A relative change, with its sign."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{_percent(value):+.9g} %"


def fraction(value: float | None) -> str:
    """A fraction as a percentage, rounded."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{_percent(value):.9g} %"


def _percent(value: float) -> float:
    """Whole ones; below 10 of them two figures."""
    return float(f"{100 * value:.2g}") if abs(value) < 0.1 else round(100 * value)


def grouped(value: int) -> str:
    """A count, its thousands apart."""
    return f"{value:,}".replace(",", " ")


def plural(count: int, one: str, many: str | None = None) -> str:
    """How many of what."""
    return f"{grouped(count)} {one if count == 1 else many or one + 's'}"


def probability(value: float) -> str:
    """A p-value: how it compares, and to what."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def estimate(value: Estimate, words: Words) -> str:
    """A figure; or its bound, where that is all that is known."""
    if value.value is None and value.low is not None:
        return f"> {words(value.low)}"
    return words(value.value)


def interval(value: Estimate, words: Words) -> str:
    """A figure's 95 % interval, empty where there is none. An upper end that is unknown is open."""
    if value.value is None or value.low is None:
        return ""
    low, high = words(value.low), "" if value.high is None else words(value.high)
    if not high:
        return f"{low} or more"
    figure, _, unit = low.rpartition(" ") if not low.endswith(" a day") else (low.removesuffix(" a day"), "", "a day")
    return f"{figure if figure and high.endswith(f' {unit}') else low} to {high}"


def percentile(line: LineReport, q: float) -> Percentile | None:
    """One of a line's percentiles of the round-trip time."""
    return next((each for each in line.rtt if math.isclose(each.q, q)), None)


def rtt(line: LineReport, q: float) -> str:
    """One of a line's percentiles in milliseconds, without the unit; a bound is told."""
    found = percentile(line, q)
    if found is None:
        return UNKNOWN
    return ("≥ " if found.is_bound and found.rtt.value is not None else "") + estimate(found.rtt, milliseconds)


def losses(line: LineReport) -> int:
    """How many connections a line lost."""
    return sum(each.count for each in line.losses)


def cause(loss: LossCount) -> str:
    """Why, and by whose fault where that is known."""
    return loss.cause if loss.blame is None else f"{loss.cause}, {loss.blame}"


def effect(finding: Finding) -> str:
    """How large what was found is, with its interval."""
    words = seconds if finding.unit == "seconds" else fraction if finding.kind in SHARES else change
    between = interval(finding.effect, words)
    return estimate(finding.effect, words) + (f" (95 %: {between})" if between else "")


def advice_effect(advice: Recommendation) -> str:
    """How large what a recommendation mends is, with its interval; empty where that is not known."""
    words = COUNTING[advice.unit]
    size, between = estimate(advice.effect, words), interval(advice.effect, words)
    is_exact = advice.effect.low == advice.effect.high
    return "" if size == UNKNOWN else size + (f" (95 %: {between})" if between and not is_exact else "")


def changes(advice: Recommendation) -> list[str]:
    """What to write, a line for each setting."""
    return [each for line in advice.change.splitlines() for each in SETTINGS.split(line)]


def a_day(value: float | None) -> str:
    """How often, on average."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{_short(value)} a day"


COUNTING: dict[Unit, Words] = {"seconds": seconds, "fraction": fraction, "per_day": a_day}


def evidence(advice: Recommendation, clock: Clock) -> list[str]:
    """Effect, observations, chance and window of a recommendation."""
    size, p = advice_effect(advice), advice.p_adjusted
    chance = "a count, no test" if p is None else f"adjusted p {probability(p)}"
    told = [f"effect {size}"] if size else []
    return [*told, f"n = {grouped(advice.n)}", chance, clock.window(advice.begun_at, advice.ended_at)]


def no_advice(report: Report) -> str:
    """Why there is none: silence is no promise where little was seen."""
    if not report.lines:
        return "None: no connection was recorded."
    if report.not_enough:
        return "Nothing to change, as far as the data goes. What could not be looked for yet is listed under Patterns."
    return "Nothing to change: what varies is within what chance explains."


def not_enough(missing: NotEnough) -> str:
    """What could not be looked for yet."""
    return f"not enough data yet: {missing.have} of {missing.need} {missing.unit}"


def covered(report: Report, clock: Clock) -> list[str]:
    """What the report is about: which time, how many lines and pings."""
    told = [plural(len(report.lines), "line"), plural(sum(each.pings for each in report.lines), "ping")]
    if not report.lines:
        return told
    begun, ended = min(each.begun_at for each in report.lines), max(each.ended_at for each in report.lines)
    return [f"{clock.window(begun, ended)} ({clock.zone})", _about(ended - begun), *told]


def _about(length: float) -> str:
    if length >= 2 * DAY:
        return plural(round(length / DAY), "day")
    return plural(round(length / HOUR), "hour") if length >= 2 * HOUR else seconds(length)


def names(report: Report) -> tuple[str, ...]:
    """What to call each line: its endpoint, after its client where there are several."""
    if len({each.client for each in report.lines}) <= 1:
        return tuple(each.endpoint for each in report.lines)
    return tuple(f"{each.client}: {each.endpoint}" for each in report.lines)


class Clock:
    """Times as the report's zone has them.

    Args:
        zone: Its name, as in the time zone database.
    """

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._info = ZoneInfo(zone)

    def local(self, at: float) -> datetime:
        """The wall clock's time there."""
        return datetime.fromtimestamp(at, self._info)

    def date(self, at: float) -> str:
        """2026-11-24."""
        return f"{self.local(at):%Y-%m-%d}"

    def minute(self, at: float) -> str:
        """2026-11-24 20:36."""
        return f"{self.local(at):%Y-%m-%d %H:%M}"

    def second(self, at: float) -> str:
        """2026-11-24 20:36:21."""
        return f"{self.local(at):%Y-%m-%d %H:%M:%S}"

    def window(self, begun_at: float, ended_at: float) -> str:
        """From one day to another."""
        first, last = self.date(begun_at), self.date(ended_at)
        return first if first == last else f"{first} to {last}"


def line_name(line: int | None, names: Sequence[str]) -> str:
    """Which line something is about."""
    return "all lines" if line is None else names[line]


def whose(advice: Recommendation, names: Sequence[str]) -> str:
    """Which lines a recommendation is about: by name as far as that is short."""
    if advice.line is not None or not advice.lines or len(advice.lines) == len(names):
        return line_name(advice.line, names)
    listed = [names[line] for line in advice.lines[:2]]
    more = len(advice.lines) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")
