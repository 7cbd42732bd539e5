"""What a venue allows one client, over all of its connections: connects and messages. Pure."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from .limits import RollingLimit

if TYPE_CHECKING:
    from ..config import VenueLimits


class Budget:
    """The connects and messages of one venue, kept within `VenueLimits.share` of its limits in any window.

    Pings are never delayed. So other messages leave room for all the pings that the venue's sessions may send, and a session
    that joins connects only when there is room for its pings. Where pings alone fill the limit, one other message in each
    period is let through all the same.

    Args:
        limits: The venue's.
    """

    def __init__(self, limits: VenueLimits) -> None:
        self._connects = _part_of(limits.connects, limits.connect_period, limits.share)
        self._messages = _part_of(limits.messages, limits.message_period, limits.share)
        self._pings = _part_of(limits.messages, limits.message_period, limits.share)
        self._period = limits.message_period
        self._counts_pings = limits.counts_pings
        self._rooms: dict[object, int] = {}
        self._reserved = -inf

    @property
    def connect_limit(self) -> int | None:
        """Connects in a period; None: no limit."""
        return None if self._connects is None else self._connects.limit

    @property
    def message_limit(self) -> int | None:
        """Messages in a period; None: no limit."""
        return None if self._messages is None else self._messages.limit

    def reserve_connect(self, key: object, ping_interval: float, now: float) -> float:
        """The time from which a session may begin an attempt to connect, which is taken by this call.

        Args:
            key: Whose.
            ping_interval: Seconds between its pings.
            now: Trio time.
        """
        if self._counts_pings:  # the second ping comes half an interval after the first at the earliest
            self._rooms[key] = 1 + int(2 * self._period / ping_interval)
        at = max(now, self._reserved)
        if self._messages is not None:
            at = max(at, self._messages.next_allowed(now, room=max(0, self._room() - 1)))
        if self._connects is not None:
            at = max(at, self._connects.next_allowed(at))
            self._connects.record(at)
        self._reserved = at
        return at

    def next_message(self, now: float) -> float:
        """The earliest time, `now` or later, at which a message other than a ping may be sent."""
        return now if self._messages is None else self._messages.next_allowed(now, room=self._room())

    def record_message(self, now: float, *, is_ping: bool) -> None:
        """A message was sent."""
        counter = self._pings if is_ping else self._messages
        if counter is not None and (self._counts_pings or not is_ping):
            counter.record(now)

    def remove(self, key: object) -> None:
        """A session will send nothing more."""
        self._rooms.pop(key, None)

    def used_connects(self, now: float) -> int:
        """Connects in the window that ends now, and those that wait for their time."""
        return 0 if self._connects is None else self._connects.used(now)

    def used_messages(self, now: float) -> int:
        """Messages in the window that ends now."""
        return sum(each.used(now) for each in (self._messages, self._pings) if each is not None)

    def _room(self) -> int:
        limit = self._messages.limit if self._messages is not None else 1
        return min(sum(self._rooms.values()), limit - 1)


def _part_of(limit: int | None, period: float, share: float) -> RollingLimit | None:
    """A share of a limit in whole events: of a share below one event, the period is longer instead."""
    if limit is None:
        return None
    count = max(1, int(limit * share))
    return RollingLimit(count, period * max(1.0, count / (limit * share)))
