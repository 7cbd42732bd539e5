"""Hours of the day and days of the week that are worse than the others of the same day, or of the same week.

Pings of one hour resemble each other, so they are no independent observations: a day is one, or a week. Each hour's median
(as a logarithm) is set against the median of the same day's other hours, so that good and bad days weigh alike, and
Wilcoxon's signed ranks tell whether it is higher day after day. One side only: faster hours need no advice. More than half
of the day cannot be "slower than the rest of it".

UTC is tested besides the zone only where it makes a difference: where the zone's clock was changed within the data (for
hours), or is not UTC's (for days). Of two zones that show a pattern, the sharper one is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..findings import Estimate, Finding, NotEnough
from ..wording import WEEKDAYS, fraction
from . import chance
from .series import Hours, by_day, hours, offsets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from ..tables import Cells, Floats, Ints

DAYS = 9
"""Of 24 hours one can be singled out by ranks after nine days: 2^-9 < 5 % / 24."""
WEEKS = 8
"""... and one of seven days after eight weeks: 2^-8 < 5 % / 7."""
DAY_HOURS = 16
"""Hours that a day must have to be compared within itself."""
WEEK_DAYS = 5
"""Days that a week must have."""
FEW_MISSES = 10
"""Misses of a line below which there is no point in asking when they come."""
MORE_MISSES = 0.001
"""Share of pings by which misses must rise to be worth a claim."""

Kind = Literal["hour", "weekday"]
Metric = Literal["rtt", "misses"]


@dataclass(frozen=True, slots=True)
class SeasonTest:
    """One hour, or day of the week, of one line in one zone.

    ``differences`` are by block, day or week; ``normal`` is the share of misses elsewhere. ``values`` and ``decided`` are
    what they come from: blocks by hours, or by days; levels, or missed and decided pings.
    """

    kind: Kind
    metric: Metric
    line: int
    zone: str
    number: int
    p: float
    differences: Floats
    normal: float
    values: Floats
    decided: Floats | None
    span: tuple[float, float]

    @property
    def family(self) -> chance.Family:
        """Which part of the budget it is paid from."""
        if self.kind == "hour":
            return "hour" if self.metric == "rtt" else "hour_misses"
        return "weekday" if self.metric == "rtt" else "weekday_misses"

    def shift(self) -> float:
        """By how much it is worse, in the middle."""
        return chance.shift(self.differences[~np.isnan(self.differences)])[0]

    def is_worth_telling(self) -> bool:
        """Whether its effect is large enough."""
        if self.metric == "rtt":
            return self.shift() >= chance.LOG_EFFECT
        return self.shift() >= max(MORE_MISSES, chance.EFFECT * self.normal)


@dataclass(frozen=True, slots=True)
class Seasons:
    """All tests; what could not be tested; and the fewest days that any tested line had."""

    tests: list[SeasonTest]
    not_enough: list[NotEnough]
    days: int


def look(cells: Cells, zone: ZoneInfo, utc: ZoneInfo) -> Seasons:
    """Test every line's hours and days of the week."""
    local, zero = offsets(cells.begin, zone), np.zeros(len(cells), dtype=np.int64)
    shifted = len(local) > 0 and bool(np.any(local != local[0]))
    found = Seasons([], [], 1 << 30)
    fewest = [_one_zone(hours(cells, local), zone.key, found, of_hours=True, of_days=True)]
    if np.any(local):
        fewest.append(_one_zone(hours(cells, zero), utc.key, found, of_hours=shifted, of_days=True))
    missing = {(each.kind, each.line): each for each in reversed(found.not_enough)}
    return Seasons(found.tests, list(missing.values())[::-1], min(fewest))


def _one_zone(lines: list[tuple[int, Hours]], zone: str, found: Seasons, *, of_hours: bool, of_days: bool) -> int:
    fewest = 1 << 30
    for line, table in lines:
        days, level = by_day(table, table.level)
        full = np.sum(~np.isnan(level), axis=1) >= DAY_HOURS
        span = (float(table.begin[0]), float(table.begin[-1] + 3600))
        have = int(np.sum(full))
        misses = _shares(table) if table.missed.sum() >= FEW_MISSES else None
        if of_hours and have < DAYS:
            found.not_enough.append(NotEnough(kind="hour", line=line, have=have, need=DAYS, unit="days"))
        elif of_hours:
            fewest = min(fewest, have)
            found.tests.extend(_hours(line, zone, span, level[full], None))
            if misses is not None:
                found.tests.extend(_hours(line, zone, span, misses[0][full], misses[1][full]))
        if of_days:
            found.tests.extend(
                _days(line, zone, span, days, np.where(full[:, None], level, np.nan), misses, found.not_enough)
            )
    return fewest


def _shares(table: Hours) -> tuple[Floats, Floats]:
    """Missed and decided pings by day and hour, NaN where there were none decided."""
    decided = by_day(table, table.decided.astype(np.float64))[1]
    missed = by_day(table, table.missed.astype(np.float64))[1]
    known = decided > 0
    return np.where(known, missed, np.nan), np.where(known, decided, np.nan)


def _against_others(values: Floats) -> Floats:
    """Each column's values less the median of its row's other columns."""
    width = values.shape[1]
    others = np.repeat(values[:, None, :], width, axis=1)
    others[:, np.arange(width), np.arange(width)] = np.nan
    result: Floats = values - chance.middle(others)
    return result


def _share_against_others(missed: Floats, decided: Floats) -> Floats:
    """Each column's share of misses less that of its row's other columns."""
    rest, others = np.nansum(missed, axis=1, keepdims=True), np.nansum(decided, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = missed / decided - (rest - missed) / (others - decided)
    return result


def _normal(missed: Floats, decided: Floats, number: int) -> float:
    """Share of misses in the other columns; never quite 0, since it divides."""
    lost = np.nansum(missed) - np.nansum(missed[:, number])
    return float((lost + 0.5) / (np.nansum(decided) - np.nansum(decided[:, number]) + 1))


def _hours(line: int, zone: str, span: tuple[float, float], values: Floats, decided: Floats | None) -> Iterable[SeasonTest]:
    return _columns("hour", line, zone, span, values, decided, DAYS)


def _columns(
    kind: Kind, line: int, zone: str, span: tuple[float, float], values: Floats, decided: Floats | None, need: int
) -> Iterable[SeasonTest]:
    """A test of each column of a matrix of blocks, where it has enough of them."""
    differences = _against_others(values) if decided is None else _share_against_others(values, decided)
    for number in range(values.shape[1]):
        column = differences[:, number]
        known = column[~np.isnan(column)]
        if len(known) >= need:
            normal = 0.0 if decided is None else _normal(values, decided, number)
            metric: Metric = "rtt" if decided is None else "misses"
            yield SeasonTest(
                kind, metric, line, zone, number, chance.rank_test(known), column, normal, values, decided, span
            )


def _days(
    line: int,
    zone: str,
    span: tuple[float, float],
    days: Ints,
    level: Floats,
    misses: tuple[Floats, Floats] | None,
    not_enough: list[NotEnough],
) -> Iterable[SeasonTest]:
    weekly = _by_week(days, chance.middle(level))
    full = np.sum(~np.isnan(weekly), axis=1) >= WEEK_DAYS
    if np.sum(full) < WEEKS:
        not_enough.append(NotEnough(kind="weekday", line=line, have=int(np.sum(full)), need=WEEKS, unit="weeks"))
        return
    yield from _columns("weekday", line, zone, span, weekly[full], None, WEEKS)
    if misses is not None:
        missed, decided = (_by_week(days, _row_sums(each))[full] for each in misses)
        yield from _columns("weekday", line, zone, span, missed, decided, WEEKS)


def _row_sums(values: Floats) -> Floats:
    """Sums of rows, NaN where there is nothing to sum."""
    result: Floats = np.where(np.all(np.isnan(values), axis=1), np.nan, np.nansum(values, axis=1))
    return result


def _by_week(days: Ints, values: Floats) -> Floats:
    """A matrix of weeks by days from Monday. Day 0, 1 January 1970, was a Thursday."""
    weeks, row = np.unique((days + 3) // 7, return_inverse=True)
    matrix = np.full((len(weeks), 7), np.nan)
    matrix[row, (days + 3) % 7] = values
    return matrix


def findings(tests: Sequence[SeasonTest], p_adjusted: Sequence[float], *, zone: str) -> list[Finding]:
    """One finding for each line, kind and metric that has discoveries: of the zone in which it is sharper."""
    groups: dict[tuple[int, Kind, Metric], dict[str, list[tuple[SeasonTest, float]]]] = {}
    for test, adjusted in zip(tests, p_adjusted, strict=True):
        if adjusted <= chance.Q and test.is_worth_telling():
            zones = groups.setdefault((test.line, test.kind, test.metric), {})
            zones.setdefault(test.zone, []).append((test, float(adjusted)))
    return [_finding(min(zones.values(), key=lambda found: _sharpness(found, zone))) for zones in groups.values()]


def _sharpness(found: list[tuple[SeasonTest, float]], zone: str) -> tuple[float, bool]:
    """The less, the more of the variance a zone's pattern explains; the named zone before UTC."""
    return -sum(test.shift() ** 2 for test, _ in found), found[0][0].zone != zone


def _together(tests: Sequence[SeasonTest], numbers: list[int]) -> tuple[Floats, float]:
    """By block, how much worse all the numbers are than what is none of them; and the share of misses there."""
    first = tests[0]
    inside = np.isin(np.arange(first.values.shape[1]), numbers)
    if first.decided is None:
        others = chance.middle(first.values[:, ~inside])
        count = np.maximum(1, np.sum(~np.isnan(first.values[:, inside]), axis=1))
        return _row_sums(first.values[:, inside]) / count - others, 0.0
    worse = np.nansum(first.values[:, inside], axis=1), np.nansum(first.decided[:, inside], axis=1)
    rest = np.nansum(first.values[:, ~inside], axis=1), np.nansum(first.decided[:, ~inside], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        blocks: Floats = worse[0] / worse[1] - rest[0] / rest[1]
    return blocks, float((np.sum(rest[0]) + 0.5) / (np.sum(rest[1]) + 1))


def _finding(found: list[tuple[SeasonTest, float]]) -> Finding:
    tests = [test for test, _ in found]
    first, numbers = tests[0], [test.number for test in tests]
    blocks, normal = _together(tests, numbers)
    blocks = blocks[~np.isnan(blocks)]
    effect = _effect(first.metric, blocks, normal)
    return Finding(
        kind=first.kind,
        metric=first.metric,
        line=first.line,
        claim=_claim(first, numbers, effect, len(blocks)),
        effect=effect,
        n=len(blocks),
        p=max(test.p for test in tests),
        p_adjusted=max(adjusted for _, adjusted in found),
        begun_at=first.span[0],
        ended_at=first.span[1],
        halves_agree=chance.both_halves(blocks),
        details={"numbers": tuple(numbers), "zone": first.zone},
    )


def _effect(metric: Metric, blocks: Floats, normal: float) -> Estimate:
    moved = chance.shift(blocks)
    if metric == "rtt":
        return chance.ratio(moved, len(blocks))
    value, low, high = (each / normal for each in moved)
    return Estimate(value=value, low=low, high=high, n=len(blocks))


def _claim(test: SeasonTest, numbers: list[int], effect: Estimate, n: int) -> str:
    when = _when(test, numbers)
    unit = "days" if test.kind == "hour" else "weeks"
    rest = "the rest of the day" if test.kind == "hour" else "the rest of the week"
    value, low, high = chance.parts(effect)
    interval = f"(95 %: {fraction(low)} to {fraction(high)}; {n} {unit})"
    if test.metric == "rtt":
        return f"Round trips take {fraction(value)} longer {when} than in {rest} {interval}."
    return f"Pings go unanswered {1 + value:.3g} times as often {when} as in {rest} {interval}."


def _when(test: SeasonTest, numbers: list[int]) -> str:
    if test.kind == "weekday":
        return f"on {' and '.join(WEEKDAYS[number] for number in numbers)} ({test.zone})"
    spans = [f"{low:02}:00 to {(high + 1) % 24:02}:00" for low, high in chance.runs(numbers, 24)]
    return f"from {' and '.join(spans)} {test.zone}"


def without(table: Hours, found: Sequence[Finding], zones: dict[str, ZoneInfo]) -> Floats:
    """A line's levels (of UTC hours) less what its found hours add to them."""
    level: Floats = table.level.copy()
    for finding in found:
        numbers, name = finding.details.get("numbers"), finding.details.get("zone")
        if finding.kind == "hour" and finding.metric == "rtt" and isinstance(name, str) and isinstance(numbers, tuple):
            hour = (table.begin + offsets(table.begin, zones[name])) // 3600 % 24
            level[np.isin(hour, numbers)] -= np.log1p(chance.parts(finding.effect)[0])
    return level
