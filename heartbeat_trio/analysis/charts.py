"""What is drawn: days, round trips over time, and the hours of the week."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from .findings import Day, HourCell, RttPoint
from .history import calendar_of, daily
from .sketches import gather, is_enough, rows_of
from .spans import session_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from .spans import SessionTime
    from .tables import Ints, Journals

STEPS = (900, 3600, 10_800, 21_600, 86_400, 604_800)
"""Seconds from one point of a chart to the next."""

MOST_POINTS = 800
"""Points of one line that a chart can show."""

HOURS = 7 * 24


def days(journals: Journals, zone: tzinfo = UTC, times: Sequence[SessionTime] | None = None) -> tuple[Day, ...]:
    """Every day of each line from its first to its last, by a zone's midnights; losses on the day they were told.

    Losses that our own program caused are not among them.
    """
    times = session_times(journals) if times is None else times
    return tuple(
        day for line in range(len(journals.lines)) for day in _days([each for each in times if each.span.line == line], zone)
    )


def _days(times: Sequence[SessionTime], zone: tzinfo) -> Iterator[Day]:
    calendar = calendar_of(times, zone)
    if calendar is None:
        return
    connected, observed = daily(times, calendar)
    losses = np.zeros(len(calendar.dates), dtype=np.int64)
    for time in times:
        for outage in time.outages:
            if outage.loss is not None and not outage.is_ours:
                losses[calendar.day(time.labels.at(outage.verdict))] += 1
    for index, date in enumerate(calendar.dates):
        share = min(1.0, float(connected[index] / observed[index])) if observed[index] > 0 else None
        yield Day(times[0].span.line, date.isoformat(), share, float(observed[index]), int(losses[index]))


def rtt_points(journals: Journals) -> tuple[tuple[RttPoint, ...], float]:
    """Round trips of each line over time, and the step between two points in seconds.

    A ping that was missed counts as its timeout. Times at which nothing was decided have no point.
    """
    begins = np.unique(journals.cells.begin)
    step = next((each for each in STEPS if len(np.unique(begins // each)) <= MOST_POINTS), STEPS[-1])
    return tuple(point for line in range(len(journals.lines)) for point in _points(journals, line, step)), float(step)


def _points(journals: Journals, line: int, step: int) -> Iterator[RttPoint]:
    begins, groups = np.unique(journals.cells.begin[rows_of(journals, line)] // step * step, return_inverse=True)
    samples = gather(journals, line, groups, len(begins))
    middle = samples.quantile(0.5)
    p95, p99 = (np.where(is_enough(samples, q), samples.quantile(q), np.nan) for q in (0.95, 0.99))
    for index, n in enumerate(samples.n.tolist()):
        if n:
            yield RttPoint(line, float(begins[index]), float(middle[index]), _known(p95[index]), _known(p99[index]), n)


def hour_cells(journals: Journals, zone: tzinfo = UTC) -> tuple[HourCell, ...]:
    """Each line's hours of the week on the clocks of a zone, where anything was decided.

    What happens in an hour that clocks repeat counts for the hour that they show both times.
    """
    begins, place = np.unique(journals.cells.begin, return_inverse=True)
    hours = np.fromiter((_hour(begin, zone) for begin in begins.tolist()), dtype=np.int64, count=len(begins))[place]
    return tuple(cell for line in range(len(journals.lines)) for cell in _hours(journals, line, hours))


def _hour(begin: float, zone: tzinfo) -> int:
    local = datetime.fromtimestamp(begin, zone)
    return local.weekday() * 24 + local.hour


def _hours(journals: Journals, line: int, hours: Ints) -> Iterator[HourCell]:
    cells, rows = journals.cells, rows_of(journals, line)
    samples = gather(journals, line, hours[rows], HOURS)
    middle = samples.quantile(0.5)
    answered = np.bincount(hours[rows], cells.answered[rows], minlength=HOURS)
    decided = answered + np.bincount(hours[rows], cells.late[rows] + cells.missed[rows], minlength=HOURS)
    for hour in np.flatnonzero(decided).tolist():
        success = float(answered[hour] / decided[hour])
        yield HourCell(line, hour // 24, hour % 24, _known(middle[hour]), success, int(decided[hour]))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
