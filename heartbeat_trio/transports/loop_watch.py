"""How long our own event loop did not run: measured once per `trio.run`, by an instrument and no task.

It sees two kinds of stalls: a task that kept the loop from polling, and a poll that returned later than it was asked to,
as after a SIGSTOP of ourselves.
"""

from __future__ import annotations

import sys
from collections import deque

import trio

from ..sansio.cause import STALL

LATE = 0.005
"""Seconds from which on the loop was late, and what it reads may have waited."""

BLOCKED = 0.0001
"""Seconds from which on a poll really waited: nothing was ready when it began."""

OVERSLEPT = 0.002
"""Seconds beyond its timeout that a poll may take: the kernel counts in milliseconds."""

REMEMBERED = 256
"""Stalls that are remembered."""


class LoopWatch(trio.abc.Instrument):
    """The stalls of this run's loop, and when it last looked for news. Times are Trio's.

    Attributes:
        previous_poll: When the last poll before the last one that surely looked ended. What was ready then has been handled.
        last_poll: When the last poll ended.
        has_waited: Whether the last poll began with nothing ready at all.
        lateness: By how much the last poll was late (seconds), through a task before it or through itself.
    """

    def __init__(self) -> None:
        self.now = trio.lowlevel.current_clock().current_time
        """Trio's time, without the way through Trio: it is asked for several times with each poll and read."""
        now = self.now()
        self._stalls: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._poll_began = now
        self._looked_at = now
        self.previous_poll = self.last_poll = now
        self.has_waited = False
        self.lateness = 0.0

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - the interface is Trio's
        """The loop is about to poll."""
        self._poll_began = now = self.now()
        self.lateness = now - self.last_poll
        if self.lateness >= STALL:
            self._stalls.append((self.last_poll, now))

    def after_io_wait(self, timeout: float) -> None:
        """The poll is over."""
        now = self.now()
        waited = now - self._poll_began
        self.has_waited = timeout > 0 and waited > BLOCKED
        late = waited - timeout if timeout > 0 else waited
        if late > self.lateness:
            self.lateness = late
        if late >= STALL:
            self._stalls.append((now - late, now))
        self.previous_poll, self.last_poll = self._looked_at, now
        # Interrupted by a SIGSTOP, a poll that finds its time is up returns without another look (PEP 475).
        if waited - timeout <= OVERSLEPT:
            self._looked_at = now

    def lag(self, since: float, until: float) -> float:
        """Seconds between two times in which the loop did not run.

        Shorter absences than `cause.STALL` are none, however many: between them it looked for news, and a pong was found.
        """
        current = (self.last_poll, until) if until - self.last_poll >= STALL else (until, until)
        return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in (*self._stalls, current))


_current: trio.lowlevel.RunVar[LoopWatch | None] = trio.lowlevel.RunVar("heartbeat_trio.loop_watch", default=None)


def watch_loop() -> LoopWatch | None:
    """This run's watch, started with the first call; None under a mock clock, whose jumps are no stalls."""
    watch = _current.get()
    if watch is None and not is_virtual(trio.lowlevel.current_clock()):
        watch = LoopWatch()
        trio.lowlevel.add_instrument(watch)
        _current.set(watch)
    return watch


def is_virtual(clock: trio.abc.Clock) -> bool:
    """Whether it is a test's clock, whose jumps are neither stalls nor sleeps."""
    testing = sys.modules.get("trio.testing")  # a mock clock cannot be in use without it
    return testing is not None and isinstance(clock, testing.MockClock)
