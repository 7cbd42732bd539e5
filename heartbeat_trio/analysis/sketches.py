"""Quantiles of many sketches at once, with the pings that were missed among them: each took at least its timeout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import HeartbeatPolicy
from .findings import Estimate, Percentile
from .losses import number
from .statistics import order_ranks
from .tables import bucket_value

if TYPE_CHECKING:
    from .tables import Flags, Floats, Ints, Journals

MINIMUM = {0.5: 1, 0.95: 59, 0.99: 299, 0.999: 2995}
"""Samples that a quantile needs: fewer do not bound it from above at 95 %, whatever the distribution (1 - q^n)."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Round trips in groups, in ascending order.

    Attributes:
        seconds: The values that occur.
        counts: How often each does, by group and value.
        certain: How many of a group are surely below everything that was missed.
        missed: How many of a group were missed: they stand at `timeout`, and took longer.
        timeout: Seconds after which a ping was missed, at least.
    """

    seconds: Floats
    counts: Ints
    certain: Ints
    missed: Ints
    timeout: float

    @property
    def n(self) -> Ints:
        """How many samples each group has."""
        total: Ints = self.counts.sum(axis=1)
        return total

    def quantile(self, q: float) -> Floats:
        """Of each group the q-quantile, or its lower bound where it lies among the missed ones; NaN without samples."""
        n = self.n
        return np.where(n > 0, self._value(np.floor(q * (n - 1))), np.nan)

    def percentile(self, q: float) -> Percentile:
        """Of the first group: a quantile with its interval, None below the least number of samples."""
        n, certain, missed = int(self.n[0]), int(self.certain[0]), int(self.missed[0])
        if n < MINIMUM[q]:
            return Percentile(q, Estimate(None, n=n))
        rank = int(q * (n - 1))
        low, high = order_ranks(n, q)
        # Above the missed ones everything is unknown: any of them may have taken longer.
        upper = None if high is None or (missed and high >= certain) else self._at(high)
        lower = None if low is None else self._at(low)
        return Percentile(q, Estimate(self._at(rank), lower, upper, n), is_bound=bool(missed and rank >= certain))

    def _at(self, rank: int) -> float:
        return float(self._value(np.full(len(self.counts), float(rank)))[0])

    def _value(self, ranks: Floats) -> Floats:
        index = (self.counts.cumsum(axis=1) <= ranks[:, None]).sum(axis=1)
        values: Floats = self.seconds[np.minimum(index, len(self.seconds) - 1)]
        return values


def rows_of(journals: Journals, line: int) -> slice:
    """A line's rows among the cells."""
    first, last = np.searchsorted(journals.cells.line, [line, line + 1])
    return slice(int(first), int(last))


def timeout_of(journals: Journals, line: int) -> float:
    """Seconds after which pings of a line were missed: the shortest of its sessions' policies, so that bounds hold."""
    told = [each.configuration.get("heartbeat") for each in journals.sessions if each.line == line]
    known = [number(each, "pong_timeout") for each in told if isinstance(each, dict)]
    return min((each for each in known if each), default=HeartbeatPolicy().pong_timeout)


def gather(journals: Journals, line: int, groups: Ints, count: int) -> Samples:
    """One line's round trips.

    Args:
        journals: What was read.
        line: Which line.
        groups: The group of each of the line's rows, from 0.
        count: How many groups there are.
    """
    cells, rows = journals.cells, rows_of(journals, line)
    offsets = cells.offset[rows.start : rows.stop + 1]
    entries = slice(int(offsets[0]), int(offsets[-1])) if len(groups) else slice(0, 0)
    seconds, counts = _tally(journals, entries, np.repeat(groups, np.diff(offsets)), count)
    missed = np.bincount(groups, _unmeasured(journals, rows), minlength=count).astype(np.int64)
    return _with_missed(seconds, counts, missed, timeout_of(journals, line))


def gather_all(journals: Journals) -> Samples:
    """The round trips of all lines together, as one group."""
    rows = slice(0, len(journals.cells))
    seconds, counts = _tally(journals, slice(0, len(journals.cells.bucket)), np.zeros(1, dtype=np.int64), 1)
    timeout = min((timeout_of(journals, line) for line in range(len(journals.lines))), default=np.inf)
    return _with_missed(seconds, counts, np.array([_unmeasured(journals, rows).sum()]), timeout)


def _tally(journals: Journals, entries: slice, groups: Ints, count: int) -> tuple[Floats, Ints]:
    """Some of the sketches' entries: the values that may occur, and how often each does in its group."""
    buckets, weights = journals.cells.bucket[entries], journals.cells.count[entries]
    if not len(buckets):
        return np.zeros(0), np.zeros((count, 0), dtype=np.int64)
    least, width = int(buckets.min()), int(np.ptp(buckets)) + 1
    counts = np.bincount(groups * width + (buckets - least), weights, minlength=count * width)
    return bucket_value(np.arange(least, least + width)), counts.reshape(count, width).astype(np.int64)


def _with_missed(seconds: Floats, counts: Ints, missed: Ints, timeout: float) -> Samples:
    place = int(np.searchsorted(seconds, timeout))
    certain: Ints = counts[:, :place].sum(axis=1)
    return Samples(np.insert(seconds, place, timeout), np.insert(counts, place, missed, axis=1), certain, missed, timeout)


def _unmeasured(journals: Journals, rows: slice) -> Ints:
    """Of each row the pings that took at least the timeout: sketches are of those that were answered in time."""
    unmeasured: Ints = journals.cells.missed[rows] + journals.cells.late[rows]
    return unmeasured


def is_enough(samples: Samples, q: float) -> Flags:
    """Of each group, whether it has the samples that a quantile needs."""
    enough: Flags = samples.n >= MINIMUM[q]
    return enough
