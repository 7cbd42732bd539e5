"""What a venue allows one client, over all of its connections: connects and messages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import Reservations, RollingLimit

if TYPE_CHECKING:
    from ..policies import VenueLimits


class Budget:
    """The connects and messages of one venue, kept within `VenueLimits.share` of its limits in any window.

    Pings are never delayed. So other messages leave room for all the pings that the venue's sessions may send, and a session
    that joins connects only when there is room for its pings. Where pings alone fill the limit, one other message in each
    period is let through all the same.

    Args:
        limits: The venue's.
    """

    def __init__(self, limits: VenueLimits) -> None:
        connects, connect_period = _part_of(limits.connects, limits.connect_period, limits.share)
        messages, message_period = _part_of(limits.messages, limits.message_period, limits.share)
        self._connects = Reservations(connects, connect_period) if connects else None
        self._messages = RollingLimit(messages, message_period) if messages else None
        self._pings = RollingLimit(messages, message_period) if messages else None
        self._period = limits.message_period
        self._counts_pings = limits.counts_pings
        self._rooms: dict[object, int] = {}

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
        at = now
        if self._messages is not None:
            at = self._messages.next_allowed(now, room=max(0, self._room() - 1))
        return at if self._connects is None else self._connects.reserve(now, earliest=at)

    def give_back_connect(self, at: float) -> None:
        """A time that `reserve_connect` gave, and that has not come, is not needed."""
        if self._connects is not None:
            self._connects.give_back(at)

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
        """Connects in the window that ends now."""
        return 0 if self._connects is None else self._connects.used(now)

    def waiting_connects(self, now: float) -> int:
        """Connects that wait for their time."""
        return 0 if self._connects is None else self._connects.waiting(now)

    def used_messages(self, now: float) -> int:
        """Messages in the window that ends now."""
        return sum(each.used(now) for each in (self._messages, self._pings) if each is not None)

    def _room(self) -> int:
        limit = self._messages.limit if self._messages is not None else 1
        return min(sum(self._rooms.values()), limit - 1)


def _part_of(limit: int | None, period: float, share: float) -> tuple[int, float]:
    """A share of a limit in whole events, 0 for none: of a share below one event, the period is longer instead."""
    if limit is None:
        return 0, period
    count = max(1, int(limit * share))
    return count, period * max(1.0, count / (limit * share))
