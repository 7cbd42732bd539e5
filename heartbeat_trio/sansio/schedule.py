"""When the next ping is due: a pure schedule, which `heartbeat` asks and tells.

On an `every` schedule the first ping is due at once, the second U(0.5, 1) intervals later (so that connections opened
together do not beat in step), then one every interval on an absolute schedule. An idle schedule begins its interval anew
with everything that is received, or sent; its first ping is due after the first idle interval.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from ..config import HeartbeatPolicy

PUNCTUAL = 0.005
"""A wake-up later than this many seconds is our own delay: the ping's deadline then counts from the wake-up."""

SPREAD, SPREAD_PART = 1.0, 0.2
"""Seconds, and part of an interval, by which connections ping sooner after a stall of our own, not to beat in step."""


class PingSchedule:
    """One connection's schedule.

    Args:
        policy: Its `schedule` and `ping_interval`.
        now: Trio time.
        rng: Source of the phase.
    """

    def __init__(self, policy: HeartbeatPolicy, *, now: float, rng: Random) -> None:
        self._kind = policy.schedule
        self._interval = policy.ping_interval
        self._rng = rng
        self._is_first = self._kind in ("every", "negotiated")
        self.next_tick = inf if self._kind == "never" else now if self._is_first else now + self._interval
        """When the next ping is due; `inf`: never."""

    @property
    def is_steady(self) -> bool:
        """Whether pings are due whatever else happens."""
        return self._kind in ("every", "negotiated")

    def take(self, now: float) -> float:
        """A ping is sent now: when it counts as due. Sets the next tick."""
        late = now - self.next_tick
        tick = self.next_tick if late <= PUNCTUAL else now
        self.next_tick += self._interval * (self._rng.uniform(0.5, 1) if self._is_first else 1)
        self._is_first = False
        if late > self._interval / 4:
            # A long delay of ours moves the whole schedule: pings in quick succession would count one silence twice. And
            # it hit every connection of the program, which would beat in step from now on.
            self.next_tick = now + self._interval - self._rng.uniform(0, min(SPREAD, SPREAD_PART * self._interval))
        return tick

    def receive(self, now: float) -> None:
        """Bytes came that were no unmatched pong."""
        if self._kind == "inbound_idle":
            self.next_tick = now + self._interval

    def send(self, now: float) -> None:
        """Bytes left us."""
        if self._kind == "outbound_idle":
            self.next_tick = now + self._interval

    def hurry(self, now: float) -> None:
        """The next ping takes the place of one that does not count."""
        self.next_tick = min(self.next_tick, now)

    def negotiate(self, interval: float, now: float) -> None:
        """The server named an interval; it counts if that was agreed on."""
        if self._kind == "negotiated":
            self._interval = interval
            self.next_tick = min(self.next_tick, now + interval)


class RecordedSchedule(PingSchedule):
    """The times at which pings were due once, whatever happens now: so that a recording can be judged again.

    Args:
        ticks: Those times, in order; after the last one no ping is due.
    """

    def __init__(self, ticks: Iterable[float]) -> None:
        self._kind = "every"
        self._ticks = iter(ticks)
        self.next_tick = next(self._ticks, inf)

    def take(self, now: float) -> float:  # noqa: ARG002 - it was as punctual as it was
        """The ping of the next recorded time is sent."""
        tick, self.next_tick = self.next_tick, next(self._ticks, inf)
        return tick

    def hurry(self, now: float) -> None:
        """What took the place of a ping that did not count was recorded, too."""
