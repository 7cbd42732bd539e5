"""At most so many per period: the one rule behind every limit on connects and messages."""

from __future__ import annotations

from collections import deque
from math import inf, nextafter


class RollingLimit:
    """At most `limit` events in any window of `period` seconds, wherever the window begins.

    Memory is bounded by `limit` times. A fixed window would let twice the limit pass around its edge.

    Args:
        limit: Events per period, at least 1.
        period: Seconds.
    """

    def __init__(self, limit: int, period: float) -> None:
        self._limit = limit
        self._period = period
        self._times: deque[float] = deque(maxlen=limit)

    @property
    def limit(self) -> int:
        """Events per period."""
        return self._limit

    def used(self, now: float) -> int:
        """Events in the window that ends now; those that are reserved for later count too."""
        return sum(now - each < self._period for each in self._times)

    def next_allowed(self, now: float, *, room: int = 0) -> float:
        """The earliest time, `now` or later, at which one more is allowed.

        Args:
            now: Trio time.
            room: Events that are left for others, which do not ask: less than the limit.
        """
        allowed = self._limit - room
        if len(self._times) < allowed:
            return now
        oldest = self._times[-allowed]
        earliest = oldest + self._period
        while earliest - oldest < self._period:  # rounding must not let one more into the window
            earliest = nextafter(earliest, inf)
        return max(now, earliest)

    def record(self, now: float) -> None:
        """One happened, allowed or not."""
        self._times.append(now)

    def try_acquire(self, now: float) -> bool:
        """Record one if it is allowed now, and say whether it was."""
        if self.next_allowed(now) > now:
            return False
        self.record(now)
        return True
