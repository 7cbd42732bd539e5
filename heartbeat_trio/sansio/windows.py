"""Counts and latencies of the last minutes, from one cell per minute: bounded memory whatever the rate."""

from __future__ import annotations

from collections import Counter, deque
from math import ceil, floor, log
from typing import Literal

import msgspec

Outcome = Literal["answered", "late", "missed", "voided", "cancelled"]
Minutes = Literal[1, 5, 60]

MINUTE = 60.0
CELLS = 61
"""The 60 minutes that are asked for at most, and the one that is under way."""

ACCURACY = 0.01
"""Relative error of a percentile."""

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = log(_GAMMA)
SMALLEST = 1e-9
"""Seconds; what is shorter is counted as this."""


class WindowSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The last minutes. Percentiles are in seconds, within 1 % of the exact order statistic, None without samples."""

    minutes: int
    answered: int
    late: int
    missed: int
    voided: int
    cancelled: int
    success_rate: float
    p50: float | None
    p95: float | None
    p99: float | None
    n: int


class Histogram:
    """Logarithmic buckets: every value is known within 1 % (the mapping of DDSketch, Masson et al., VLDB 2019)."""

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """Count one value."""
        self.buckets[bucket_of(value)] += 1

    def move(self, old: float, new: float) -> None:
        """A value turned out to be another."""
        self.buckets[bucket_of(old)] -= 1
        self.add(new)


def bucket_of(value: float) -> int:
    """The bucket that a value belongs to."""
    return ceil(log(max(value, SMALLEST)) / _LOG_GAMMA)


def value_of(bucket: int) -> float:
    """The value that stands for a bucket: at most 1 % from each of its values."""
    return float(2 * _GAMMA**bucket / (_GAMMA + 1))


class _Cell:
    __slots__ = ("histogram", "minute", "outcomes")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.outcomes: Counter[str] = Counter()
        self.histogram = Histogram()


class MinuteCells:
    """One cell per minute of Trio time, for the last hour."""

    def __init__(self) -> None:
        self._cells: deque[_Cell] = deque(maxlen=CELLS)

    def record(self, outcome: Outcome, now: float, sample: float | None = None) -> None:
        """Count an outcome, with its latency where it has one."""
        cell = self._cell(now)
        cell.outcomes[outcome] += 1
        if sample is not None:
            cell.histogram.add(sample)

    def make_late(self, missed_at: float, censored: float, sample: float | None) -> None:
        """A ping that was missed then turned out to be late."""
        for cell in self._cells:
            if cell.minute == _minute(missed_at):
                cell.outcomes["missed"] -= 1
                cell.outcomes["late"] += 1
                if sample is not None:
                    cell.histogram.move(censored, sample)

    def snapshot(self, minutes: Minutes, now: float) -> WindowSnapshot:
        """The last `minutes` minutes, up to one more as the first is counted whole."""
        outcomes: Counter[str] = Counter()
        buckets: Counter[int] = Counter()
        for cell in self._cells:
            if cell.minute >= _minute(now - minutes * MINUTE):
                outcomes += cell.outcomes
                buckets += cell.histogram.buckets
        decided = outcomes["answered"] + outcomes["late"] + outcomes["missed"]
        return WindowSnapshot(
            minutes=minutes,
            answered=outcomes["answered"],
            late=outcomes["late"],
            missed=outcomes["missed"],
            voided=outcomes["voided"],
            cancelled=outcomes["cancelled"],
            success_rate=outcomes["answered"] / decided if decided else 1.0,
            p50=_percentile(buckets, 50),
            p95=_percentile(buckets, 95),
            p99=_percentile(buckets, 99),
            n=buckets.total(),
        )

    def _cell(self, now: float) -> _Cell:
        if not self._cells or self._cells[-1].minute != _minute(now):
            self._cells.append(_Cell(_minute(now)))
        return self._cells[-1]


def _minute(now: float) -> int:
    return floor(now / MINUTE)


def _percentile(buckets: Counter[int], p: float) -> float | None:
    """The value of the bucket in which the index p/100 * (n - 1), rounded half up, lies."""
    index = floor(p / 100 * (buckets.total() - 1) + 0.5)
    for bucket in sorted(buckets):
        index -= buckets[bucket]
        if index < 0:
            return value_of(bucket)
    return None
