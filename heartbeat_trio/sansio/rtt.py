"""Round-trip times: the smoothed estimate of RFC 6298, and exact statistics over the last samples. Seconds throughout."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import floor, fsum

from sortedcontainers import SortedList

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
    """The last `size` samples: exact order statistics in O(log n) per sample.

    Sums are of the samples that are in the window now, so that rounding does not pile up over millions of them.

    Args:
        size: Samples in the window.
    """

    def __init__(self, size: int = 100) -> None:
        if size < 1:
            raise ValueError(f"size = {size} must be at least 1")
        self._size = size
        self._window: deque[float] = deque()
        self._sorted: SortedList[float] = SortedList()

    def __len__(self) -> int:
        return len(self._window)

    def add(self, sample: float) -> float | None:
        """Take one sample; the one that left the window for it is returned."""
        evicted = self._window.popleft() if len(self._window) == self._size else None
        if evicted is not None:
            self._sorted.remove(evicted)
        self._window.append(sample)
        self._sorted.add(sample)
        return evicted

    def replace(self, old: float, new: float) -> bool:
        """A censored sample became known: put the true one in its place. False if it has left the window."""
        if old not in self._sorted:
            return False
        # The newest of equal ones: a late pong belongs to one of the last misses.
        index = len(self._window) - 1 - list(reversed(self._window)).index(old)
        self._window[index] = new
        self._sorted.remove(old)
        self._sorted.add(new)
        return True

    def average(self) -> float | None:
        """The mean, None without samples."""
        return fsum(self._window) / len(self._window) if self._window else None

    def minimum(self) -> float | None:
        """The smallest sample, None without samples."""
        return self._sorted[0] if self._sorted else None

    def maximum(self) -> float | None:
        """The largest sample, None without samples."""
        return self._sorted[-1] if self._sorted else None

    def percentile(self, p: float) -> float | None:
        """The sample at index p/100 * (n - 1), rounded half away from zero; None without samples.

        Raises:
            ValueError: `p` is not from 0 to 100.
        """
        if not 0 <= p <= 100:
            raise ValueError(f"percentile {p} must be from 0 to 100")
        return self._sorted[floor(p / 100 * (len(self._sorted) - 1) + 0.5)] if self._sorted else None

    def jitter(self) -> float | None:
        """The mean absolute difference of consecutive samples, None below two."""
        if len(self._window) < 2:
            return None
        samples = self._window
        return fsum(abs(b - a) for a, b in pairwise(samples)) / (len(samples) - 1)
