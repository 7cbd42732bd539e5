"""From the program's monotonic time to the clock on the wall, and from there to days."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date, tzinfo

    from .tables import Floats

SAME = 0.01
"""Seconds within which two offsets of the wall clock are one: labels are rounded, and a clock that is set jumps by more."""

INSTANT = 1e-6
"""Seconds: what ends at midnight has no part in the next day."""

EARLIEST, LATEST = 0.0, 4e9
"""Labels between which days are counted: 1970 to 2096. A clock beyond is none."""


class Labels:
    """What the clock on the wall said at each moment of one program's time.

    Args:
        points: Pairs of both, in the order of the program's time; at least one.
    """

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        self.changes: list[float] = []
        """When the clock was set; the first one is where the labels begin."""
        self._offsets: list[float] = []
        for t, at in points:
            if not self._offsets or abs(at - t - self._offsets[-1]) > SAME:
                self.changes.append(t)
                self._offsets.append(at - t)

    def at(self, t: float) -> float:
        """The label of a moment, in Unix seconds."""
        return t + self._offsets[max(0, bisect_right(self.changes, t) - 1)]

    def pieces(self, begun: float, ended: float) -> Iterator[tuple[float, float]]:
        """A stretch of the program's time by its labels, cut wherever the clock was set."""
        cuts = [begun, *(t for t in self.changes[1:] if begun < t < ended), ended]
        for left, right in pairwise(cuts):
            start = self.at(left)
            yield start, start + (right - left)


class Calendar:
    """The days of a time zone, from one label's day to another's.

    Args:
        first: A label of the first day, in Unix seconds.
        last: One of the last day.
        zone: Whose midnights.
    """

    def __init__(self, first: float, last: float, zone: tzinfo = UTC) -> None:
        last = max(first, last - INSTANT)
        begin, end = (datetime.fromtimestamp(min(max(each, EARLIEST), LATEST), zone).date() for each in (first, last))
        self.dates: list[date] = [begin + timedelta(days=day) for day in range((end - begin).days + 1)]
        """One for each day."""
        self._midnights = [_midnight(each, zone) for each in [*self.dates, end + timedelta(days=1)]]

    def day(self, at: float) -> int:
        """The index of a label's day."""
        return min(max(bisect_right(self._midnights, at) - 1, 0), len(self.dates) - 1)

    def add(self, totals: Floats, begun: float, ended: float) -> None:
        """Add the seconds between two labels to their days."""
        first, last = self.day(begun), self.day(ended)
        if first == last:
            totals[first] += ended - begun
            return
        cuts = [begun, *self._midnights[first + 1 : last + 1], ended]
        totals[first : last + 1] += np.diff(cuts)


def _midnight(day: date, zone: tzinfo) -> float:
    """When a day begins: where clocks skip midnight, just after it; where they show it twice, with the second one."""
    for fold in (1, 0):
        begin = datetime.combine(day, time(), zone).replace(fold=fold).timestamp()
        if datetime.fromtimestamp(begin, zone).date() == day:
            return begin
    return begin  # pragma: no cover - a day that a zone left out altogether, as Samoa did in 2011
