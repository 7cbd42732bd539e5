"""The monitor's side of a connection: it sleeps until something is to be told, and tells it.

That is what the inbox dropped, at most once a second, and, at once, that our own loop stalled or that a clock jumped, after
which the peer is asked at once, too. One task per process looks at the clocks, not one per connection: see
`transports.clock_watch`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from .events import ClockJumped, Event, Overrun
from .transports.clock_watch import ClockNews

if TYPE_CHECKING:
    from collections.abc import Callable

    from .inbox import Inbox

OVERRUN_INTERVAL = 1.0
"""Seconds between two `Overrun` events."""


class Monitor:
    """One connection's monitor.

    Args:
        inbox: Whose drops are told.
        on_event: Called with each event.
        ask_peer: Called when a clock jumped.
    """

    def __init__(self, inbox: Inbox, on_event: Callable[[Event], None], ask_peer: Callable[[], object]) -> None:
        self._inbox = inbox
        self._on_event = on_event
        self._ask_peer = ask_peer
        self._called = trio.Event()

    def call(self) -> None:
        """There is something to be told: the first drop since the last telling, or news of the clocks."""
        self._called.set()

    async def run(self) -> None:
        """The task."""
        due = -inf
        with ClockNews(self.call) as clocks:
            while True:
                if self._inbox.unreported:
                    with trio.CancelScope(deadline=due):
                        await self._called.wait()
                else:  # nearly always; a scope that never ends would take half a kilobyte
                    await self._called.wait()
                self._called = trio.Event()
                for event in clocks.take():
                    self._on_event(event)
                    if isinstance(event, ClockJumped):
                        self._ask_peer()
                now = trio.current_time()
                if now >= due and self.report():
                    due = now + OVERRUN_INTERVAL

    def report(self) -> bool:
        """Tell what the inbox dropped since the last telling; whether it did."""
        dropped, self._inbox.unreported = self._inbox.unreported, 0
        if dropped:
            self._on_event(Overrun(at=trio.current_time(), dropped=dropped))
        return bool(dropped)
