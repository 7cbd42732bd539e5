"""Notices a clock that jumped, and a stall of our own loop: one look a second for each `trio.run`, whoever listens.

Of those who wait for news one sleeps and looks, and all are told; when it stops, the next one takes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ..events import Stalled
from ..sansio.clocks import ClockWatch
from .kernel import read_clocks
from .loop_watch import is_virtual, watch_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..events import Event
    from .kernel import Clocks

LOOK = 1.0
"""Seconds between two looks: a sleeping machine's timers stand still, so the first one is over soon after it wakes."""


class _Monitor:
    """This run's clocks, and what their last jump was."""

    def __init__(self, read: Callable[[], Clocks]) -> None:
        self._read = read
        self._watch = ClockWatch()
        self._loop = watch_loop()
        self._looked_at = trio.current_time()
        self.lock = trio.Lock()
        self.jumps = 0
        """How often they have jumped so far."""
        self.last: list[Event] = []

    def look(self) -> None:
        now, since = trio.current_time(), self._looked_at
        self._looked_at = now
        events = self._watch.check(self._read(), now)
        if self._loop is not None and (lag := self._loop.lag(since, now)):
            events.append(Stalled(at=now, seconds=lag))
        if events:
            self.jumps += 1
            self.last = events


async def follow_clocks(on_jump: Callable[[Event], None]) -> None:
    """Call this with each `ClockJumped` and `Stalled` from now on, until cancelled; never under a mock clock."""
    monitor = _find_monitor()
    if monitor is None:
        await trio.sleep_forever()
    if not monitor.lock.locked():  # nobody has looked for long: what happened meanwhile concerns nobody
        monitor.look()
    known = monitor.jumps
    while True:
        async with monitor.lock:
            while monitor.jumps == known:
                await trio.sleep(LOOK)
                monitor.look()
        known = monitor.jumps
        for event in monitor.last:
            on_jump(event)


_current: trio.lowlevel.RunVar[_Monitor | None] = trio.lowlevel.RunVar("heartbeat_trio.clock_watch", default=None)


def _find_monitor() -> _Monitor | None:
    """This run's, started with the first call."""
    monitor = _current.get()
    read = None if monitor is not None else find_reader()
    if read is not None:
        monitor = _Monitor(read)
        _current.set(monitor)
    return monitor


def find_reader() -> Callable[[], Clocks] | None:
    """What reads the clocks in this run; None under a mock clock, which has nothing to do with them."""
    return None if is_virtual(trio.lowlevel.current_clock()) else read_clocks
