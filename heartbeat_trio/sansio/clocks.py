"""Notices that the machine slept, or that somebody set its clock, by comparing its clocks with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import ClockJumped, Event

if TYPE_CHECKING:
    from typing import Protocol

    class Clocks(Protocol):
        """Readings of one instant, in seconds."""

        @property
        def monotonic(self) -> float:
            """Stands still while the machine sleeps (CLOCK_MONOTONIC)."""

        @property
        def since_boot(self) -> float | None:
            """Does not (CLOCK_BOOTTIME); None where there is no such clock."""

        @property
        def wall(self) -> float:
            """Can be set by anybody (CLOCK_REALTIME)."""


JUMP = 1.0
"""Seconds from which on a difference is a jump; slewing (at most 500 ppm) stays below it between two looks."""


class ClockWatch:
    """Compares each reading with the one before."""

    def __init__(self) -> None:
        self._last: Clocks | None = None

    def check(self, clocks: Clocks, now: float) -> list[Event]:
        """Look at the clocks; `now` is Trio time. At most one event of each kind."""
        last, self._last = self._last, clocks
        if last is None:
            return []
        passed = clocks.monotonic - last.monotonic
        slept = 0.0
        if clocks.since_boot is not None and last.since_boot is not None:
            slept = clocks.since_boot - last.since_boot - passed
        set_by = clocks.wall - last.wall - passed - slept
        events: list[Event] = []
        if slept > JUMP:
            events.append(ClockJumped(at=now, kind="suspend", seconds=slept))
        if abs(set_by) > JUMP:
            events.append(ClockJumped(at=now, kind="wall", seconds=set_by))
        return events
