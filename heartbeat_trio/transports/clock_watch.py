"""Notices a clock that jumped, and a stall of our own loop: one look a second for each `trio.run`, whoever listens.

A system task of Trio looks while anybody listens. It only wakes the listeners, and each acts on the news in a task of its
own, where an error is its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

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
    """This run's clocks, and who listens."""

    def __init__(self, read: Callable[[], Clocks]) -> None:
        self._read = read
        self._watch = ClockWatch()
        self._loop = watch_loop()
        self._looked_at = trio.current_time()
        self._is_running = False
        self.listeners: set[ClockNews] = set()

    def start(self) -> None:
        """Somebody is about to listen."""
        if not self._is_running:
            self._is_running = True
            self._look()  # nobody has for long: what happened meanwhile concerns nobody
            trio.lowlevel.spawn_system_task(self._run, name="clocks")

    async def _run(self) -> None:  # noqa: ASYNC910 - nobody awaits it
        while self.listeners:
            await trio.sleep(LOOK)
            events = self._look()
            if events:
                for listener in self.listeners:
                    listener.put(events)
        self._is_running = False

    def _look(self) -> list[Event]:
        now, since = trio.current_time(), self._looked_at
        self._looked_at = now
        events = self._watch.check(self._read(), now)
        if self._loop is not None and (lag := self._loop.lag(since, now)):
            events.append(Stalled(at=now, seconds=lag))
        return events


class ClockNews:
    """Each `ClockJumped` and `Stalled` while its block lasts; none under a mock clock.

    Args:
        wake: Called when there is news to `take`; must neither wait nor raise, nor begin or end listening.
    """

    __slots__ = ("_monitor", "_news", "_wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._news: list[Event] = []
        self._monitor: _Monitor | None = None

    def __enter__(self) -> Self:
        self._monitor = _find_monitor()
        if self._monitor is not None:
            self._monitor.start()
            self._monitor.listeners.add(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._monitor is not None:
            self._monitor.listeners.discard(self)

    def put(self, events: list[Event]) -> None:
        """The monitor has seen something."""
        self._news += events
        self._wake()

    def take(self) -> list[Event]:
        """The news since the last call."""
        news, self._news = self._news, []
        return news


async def follow_clocks(on_jump: Callable[[Event], None]) -> None:
    """Call this with each `ClockJumped` and `Stalled` from now on, until cancelled; never under a mock clock."""
    awake = trio.Event()
    with ClockNews(lambda: awake.set()) as clocks:
        while True:
            await awake.wait()
            awake = trio.Event()
            for event in clocks.take():
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
