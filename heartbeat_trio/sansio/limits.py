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
        """Events in the window that ends now."""
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
        return max(now, _leaves(self._times[-allowed], self._period))

    def record(self, now: float) -> None:
        """One happened, allowed or not."""
        self._times.append(now)

    def try_acquire(self, now: float, *, room: int = 0) -> bool:
        """Record one if it is allowed now, and say whether it was. See `next_allowed`."""
        if self.next_allowed(now, room=room) > now:
            return False
        self.record(now)
        return True


class Reservations:
    """`RollingLimit` for those who take their times beforehand, in turn, and may give them back.

    Memory is bounded by `limit` and those who wait.

    Args:
        limit: Events per period, at least 1.
        period: Seconds.
    """

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        """Events per period."""
        self._period = period
        self._times: list[float] = []

    def reserve(self, now: float, *, earliest: float) -> float:
        """Take the next time that is free: `earliest` (from `now` on) or later, and behind all that are taken."""
        times = self._times
        while times and now - times[0] >= self._period:
            del times[0]
        at = max(earliest, times[-1]) if times else earliest
        if len(times) >= self.limit:
            at = max(at, _leaves(times[-self.limit], self._period))
        times.append(at)
        return at

    def give_back(self, at: float) -> None:
        """A time that was taken, and has not come, will not be used."""
        self._times.remove(at)

    def used(self, now: float) -> int:
        """Events in the window that ends now."""
        return sum(0 <= now - each < self._period for each in self._times)

    def waiting(self, now: float) -> int:
        """Times that are taken, and to come."""
        return sum(each > now for each in self._times)


def _leaves(at: float, period: float) -> float:
    """When an event has left the window: rounding must not let one more into it."""
    earliest = at + period
    while earliest - at < period:
        earliest = nextafter(earliest, inf)
    return earliest
