"""Round-trip times: the smoothed estimate of RFC 6298, and exact statistics over the last samples. Seconds throughout."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from itertools import pairwise
from math import floor, fsum

ALPHA = 1 / 8
BETA = 1 / 4
K = 4
"""Gains and factor of RFC 6298 §2."""


class RttEstimator:
    """Smoothed round-trip time and its variation (RFC 6298 §2). Samples must be unambiguous (Karn's algorithm, §3)."""

    def __init__(self) -> None:
        self.smoothed: float | None = None
        """SRTT."""
        self.variance: float | None = None
        """RTTVAR: the mean deviation, in seconds."""
        self.latest: float | None = None
        self.minimum: float | None = None

    def add(self, rtt: float) -> None:
        """Take one sample."""
        self.latest = rtt
        if self.smoothed is None or self.variance is None or self.minimum is None:
            self.smoothed, self.variance, self.minimum = rtt, rtt / 2, rtt
            return
        self.variance += BETA * (abs(self.smoothed - rtt) - self.variance)
        self.smoothed += ALPHA * (rtt - self.smoothed)
        self.minimum = min(self.minimum, rtt)

    def timeout(self, *, minimum: float, maximum: float) -> float:
        """SRTT + 4 * RTTVAR, clamped; `maximum` before the first sample."""
        if self.smoothed is None or self.variance is None:
            return maximum
        return min(maximum, max(minimum, self.smoothed + K * self.variance))


class LatencyStats:
    """The last `size` samples, with exact order statistics.

    Plain arrays of doubles: a thousand connections have two of these each, and moving a few hundred bytes with each sample
    is faster than any tree. Sums are of the samples that are in the window now, so that rounding does not pile up over
    millions of them.

    Args:
        size: Samples in the window.
    """

    __slots__ = ("_oldest", "_size", "_sorted", "_window")

    def __init__(self, size: int = 100) -> None:
        if size < 1:
            raise ValueError(f"size = {size} must be at least 1")
        self._size = size
        self._window = array("d")
        self._oldest = 0
        """Index of the oldest sample: a full window is a ring."""
        self._sorted: array[float] | None = None
        """The same in order; None until somebody asks for what needs it."""

    def __len__(self) -> int:
        return len(self._window)

    def add(self, sample: float) -> None:
        """Take one sample; the oldest leaves a full window for it."""
        if len(self._window) < self._size:
            self._window.append(sample)
            self._exchange(None, sample)
            return
        evicted = self._window[self._oldest]
        self._window[self._oldest] = sample
        self._oldest = (self._oldest + 1) % self._size
        self._exchange(evicted, sample)

    def replace(self, old: float, new: float) -> bool:
        """A censored sample became known: put the true one in its place. False if it has left the window."""
        if old not in self._window:
            return False
        # The newest of equal ones: a late pong belongs to one of the last misses.
        newest = len(self) - 1 - self._in_order()[::-1].index(old)
        self._window[(self._oldest + newest) % len(self)] = new
        self._exchange(old, new)
        return True

    def average(self) -> float | None:
        """The mean, None without samples."""
        return fsum(self._window) / len(self._window) if self._window else None

    def minimum(self) -> float | None:
        """The smallest sample, None without samples."""
        return self._ranked()[0] if self._window else None

    def maximum(self) -> float | None:
        """The largest sample, None without samples."""
        return self._ranked()[-1] if self._window else None

    def percentile(self, p: float) -> float | None:
        """The sample at index p/100 * (n - 1), rounded half away from zero; None without samples.

        Raises:
            ValueError: `p` is not from 0 to 100.
        """
        if not 0 <= p <= 100:
            raise ValueError(f"percentile {p} must be from 0 to 100")
        return self._ranked()[floor(p / 100 * (len(self) - 1) + 0.5)] if self._window else None

    def jitter(self) -> float | None:
        """The mean absolute difference of consecutive samples, None below two."""
        if len(self._window) < 2:
            return None
        samples = self._in_order()
        return fsum(abs(b - a) for a, b in pairwise(samples)) / (len(samples) - 1)

    def _ranked(self) -> array[float]:
        """The samples, smallest first."""
        if self._sorted is None:
            self._sorted = array("d", sorted(self._window))
        return self._sorted

    def _exchange(self, old: float | None, new: float) -> None:
        """One sample more, and perhaps one less, in what is sorted."""
        if self._sorted is not None:
            if old is not None:
                del self._sorted[bisect_left(self._sorted, old)]
            insort(self._sorted, new)

    def _in_order(self) -> array[float]:
        """The samples, oldest first."""
        return self._window[self._oldest :] + self._window[: self._oldest]
