"""How fast requests may follow each other: every limit that applies, asked as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import RollingLimit

if TYPE_CHECKING:
    from collections.abc import Iterable


class RequestPacer:
    """The limits of one connection.

    Args:
        limits: Each as requests and seconds.
        batch: Symbols that one request may name.
    """

    def __init__(self, limits: Iterable[tuple[int, float]] = (), *, batch: int = 1) -> None:
        self._limits = [RollingLimit(count, period) for count, period in limits]
        self.batch = batch
        """Symbols that one request may name."""

    def next_allowed(self, now: float) -> float:
        """The earliest time, `now` or later, at which one more request is within every limit."""
        return max((limit.next_allowed(now) for limit in self._limits), default=now)

    def try_acquire(self, now: float) -> bool:
        """Record a request if it is allowed now, and say whether it was."""
        if self.next_allowed(now) > now:
            return False
        self.record(now)
        return True

    def record(self, now: float) -> None:
        """A request was made, allowed or not."""
        for limit in self._limits:
            limit.record(now)
