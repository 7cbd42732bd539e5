"""Cells as series of hours: each line's median round trip and misses, by the wall clock of a zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..tables import GAMMA

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ..tables import Cells, Floats, Ints

HOUR = 3600
DAY = 86400
FEW = 3
"""Answered pings below which an hour has no median."""
LOG_GAMMA = float(np.log(GAMMA))
LATEST = 200_000_000_000
"""Unix time of the year 8307, to which a clock may be set, and zones still be told."""
WIDE = 1 << 20
"""More than there are buckets on either side of 0."""


@dataclass(frozen=True, slots=True)
class Hours:
    """One line's hours that have cells, in order.

    ``hour`` counts the wall clock's hours since 1970 (an hour that comes twice when summer ends is one); ``begin`` is the
    Unix time of its first cell. ``level`` is the median's natural logarithm (of seconds), NaN where too few pings were
    answered. ``decided`` is answered, late and missed; ``missed`` late and missed.
    """

    hour: Ints
    begin: Ints
    level: Floats
    decided: Ints
    missed: Ints

    def __len__(self) -> int:
        return len(self.hour)


def offsets(begin: Ints, zone: ZoneInfo) -> Ints:
    """Seconds that the zone's wall clock is ahead of UTC at each of the moments."""
    moments, back = np.unique(begin, return_inverse=True)
    ahead = [datetime.fromtimestamp(int(at), UTC).astimezone(zone).utcoffset() for at in np.clip(moments, 0, LATEST)]
    seconds = np.array([0 if each is None else int(each.total_seconds()) for each in ahead], dtype=np.int64)
    result: Ints = seconds[back]
    return result


def hours(cells: Cells, ahead: Ints | int = 0, width: int = HOUR) -> list[tuple[int, Hours]]:
    """Lines and their hours.

    Args:
        cells: In the order of line and time.
        ahead: The zone's offset in seconds, by cell.
        width: Seconds of an hour: a multiple of the cell's.
    """
    number = (cells.begin + ahead) // width
    if not len(number):
        return []
    starts = _starts(cells.line, number)
    level = _medians(cells, np.cumsum(starts) - 1)
    first = np.flatnonzero(starts)
    decided = np.add.reduceat(cells.answered + cells.late + cells.missed, first)
    missed = np.add.reduceat(cells.late + cells.missed, first)
    line = cells.line[first]
    parts = np.flatnonzero(_starts(line))
    bounds = [*parts.tolist(), len(first)]
    result = []
    for low, high in pairwise(bounds):
        part = slice(low, high)
        table = Hours(number[first[part]], cells.begin[first[part]], level[part], decided[part], missed[part])
        result.append((int(line[low]), table))
    return result


def _starts(*columns: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Where a run of rows that agree in all columns begins."""
    begins = np.zeros(len(columns[0]), dtype=np.bool_)
    begins[0] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return begins


def _medians(cells: Cells, group: Ints) -> Floats:
    """The logarithm of each group's median: its sketches merged, and interpolated within the bucket."""
    groups = int(group[-1]) + 1
    sizes = np.diff(cells.offset)
    key = np.repeat(group, sizes) * (2 * WIDE) + cells.bucket + WIDE
    order = np.argsort(key, kind="stable")
    key, count = key[order], cells.count[order]
    level = np.full(groups, np.nan)
    if not len(key):
        return level
    first = np.flatnonzero(_starts(key))
    key, count = key[first], np.add.reduceat(count, first)
    owner = key // (2 * WIDE)
    total = np.cumsum(count)
    size = np.bincount(owner, weights=count, minlength=groups)
    known = size >= FEW
    before = np.cumsum(size) - size
    target = (before + size / 2)[known]
    index = np.searchsorted(total, target, side="left")
    inside = (target - (total[index] - count[index])) / count[index]
    bucket = key[index] % (2 * WIDE) - WIDE
    level[known] = (bucket - 1 + inside) * LOG_GAMMA + np.log(1e-6)
    return level


def by_day(table: Hours, values: Floats) -> tuple[Ints, Floats]:
    """Days since 1970 that have cells, and values as a matrix of these by the wall clock's hours 0 to 23, NaN: none."""
    days, row = np.unique(table.hour // 24, return_inverse=True)
    matrix = np.full((len(days), 24), np.nan)
    matrix[row, table.hour % 24] = values
    return days, matrix
