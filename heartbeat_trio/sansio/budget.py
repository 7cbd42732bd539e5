"""What a venue allows one client, over all of its connections: connects and messages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import RollingLimit

if TYPE_CHECKING:
    from ..config import VenueLimits


class Budget:
    """The connects and messages of one venue, kept within `VenueLimits.share` of its limits in any window.

    Messages leave room for the pings that the venue's connections may send, since pings are never delayed. Where pings alone
    are more than the limit, one message in a period is let through all the same.

    Args:
        limits: The venue's.
    """

    def __init__(self, limits: VenueLimits) -> None:
        share = limits.share
        self.connects = _part_of(limits.connects, limits.connect_period, share)
        self.messages = _part_of(limits.messages, limits.message_period, share)
        self._period = limits.message_period
        self._counts_pings = limits.counts_pings
        self._rooms: dict[object, int] = {}

    def reserve_connect(self, now: float) -> float:
        """The time from which one attempt to connect may begin, which is taken by this call."""
        if self.connects is None:
            return now
        at = self.connects.next_allowed(now)
        self.connects.record(at)
        return at

    def next_message(self, now: float) -> float:
        """The earliest time, `now` or later, at which a message may be sent."""
        if self.messages is None:
            return now
        return self.messages.next_allowed(now, room=sum(self._rooms.values()))

    def record_message(self, now: float, *, is_ping: bool) -> None:
        """A message was sent."""
        if self.messages is not None and (self._counts_pings or not is_ping):
            self.messages.record(now)

    def add_connection(self, key: object, ping_interval: float) -> None:
        """A connection will send pings. The second one comes half an interval after the first at the earliest."""
        if self._counts_pings:
            self._rooms[key] = 1 + int(2 * self._period / ping_interval)

    def remove_connection(self, key: object) -> None:
        """It will send no more."""
        self._rooms.pop(key, None)


def _part_of(limit: int | None, period: float, share: float) -> RollingLimit | None:
    """A share of a limit in whole events: of a share below one event, the period is longer instead."""
    if limit is None:
        return None
    count = max(1, int(limit * share))
    return RollingLimit(count, period * max(1.0, count / (limit * share)))
