"""What a venue allows one client, over all of its connections: connects and messages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import Reservations, RollingLimit

if TYPE_CHECKING:
    from ..policies import VenueLimits


class Budget:
    """The connects and messages of one venue, kept within `VenueLimits.share` of its limits in any window.

    Pings are never delayed. So other messages, probes among them, leave room for all the pings that the venue's sessions may
    send, and a session that joins waits until its pings have room beside those of the others and one message. The first
    one need not wait: where its pings alone fill the limit they exceed it, and one other message in each period is let
    through all the same. Answers to the venue's own pings are not counted.

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
        self._most = messages - 1
        """Room for pings at most: one message in each period remains."""
        self._rooms: dict[object, int] = {}
        self._extra: list[float] = []
        """Room for pings that connections sent before they ended: until when."""

    @property
    def connect_limit(self) -> int | None:
        """Connects in a period; None: no limit."""
        return None if self._connects is None else self._connects.limit

    @property
    def message_limit(self) -> int | None:
        """Messages in a period; None: no limit."""
        return None if self._messages is None else self._messages.limit

    def reserve_connect(self, key: object, ping_interval: float, now: float) -> float | None:
        """The time from which a session may begin an attempt to connect, which is taken by this call.

        None: there is no room for its pings until another session leaves.

        Args:
            key: Whose; it has no connection.
            ping_interval: Seconds between its pings.
            now: Trio time.
        """
        at, is_extra = now, False
        if self._messages is not None:
            if self._counts_pings:
                # The second ping comes half an interval after the first at the earliest.
                room = 1 + int(2 * self._period / ping_interval)
                if self._is_full(key, room):
                    return None
                at, is_extra = self._make_room(key, room, now)
            at = max(at, self._messages.next_allowed(now, room=max(0, self._room(now) + is_extra - 1)))
        if self._connects is not None:
            at = self._connects.reserve(now, earliest=at)
        if is_extra:
            self._extra.append(at + self._period)
        return at

    def give_back_connect(self, at: float) -> None:
        """A time that `reserve_connect` gave, and that has not come, is not needed."""
        if self._connects is not None:
            self._connects.give_back(at)

    def next_message(self, now: float) -> float:
        """The earliest time, `now` or later, at which a message other than a ping may be sent."""
        return now if self._messages is None else self._messages.next_allowed(now, room=self._room(now))

    def try_probe(self, now: float) -> bool:
        """Count a ping that need not be sent if there is room for it, and say whether there was."""
        if self._messages is None or not self._counts_pings:
            return True
        return self._messages.try_acquire(now, room=self._room(now))

    def record_message(self, now: float, *, is_ping: bool) -> None:
        """A message was sent."""
        counter = self._pings if is_ping else self._messages
        if counter is not None and (self._counts_pings or not is_ping):
            counter.record(now)

    def remove(self, key: object, now: float) -> None:
        """A session will send nothing more. What it has sent counts for a while."""
        self._extra += [now + self._period] * self._rooms.pop(key, 0)

    def used_connects(self, now: float) -> int:
        """Connects in the window that ends now."""
        return 0 if self._connects is None else self._connects.used(now)

    def waiting_connects(self, now: float) -> int:
        """Connects that wait for their time."""
        return 0 if self._connects is None else self._connects.waiting(now)

    def used_messages(self, now: float) -> int:
        """Messages in the window that ends now."""
        return sum(each.used(now) for each in (self._messages, self._pings) if each is not None)

    def _is_full(self, key: object, room: int) -> bool:
        """Whether a session that joins must wait until another one leaves."""
        return bool(self._rooms) and key not in self._rooms and sum(self._rooms.values()) + room > self._most

    def _make_room(self, key: object, room: int, now: float) -> tuple[float, bool]:
        """From when a session's pings have room, and whether it needs room for one more for a while."""
        is_new = key not in self._rooms
        self._rooms[key] = room
        free = self._most - sum(self._rooms.values()) - self._count_extra(now)
        if is_new:
            return (now if free >= 0 else max(self._extra, default=now)), False
        # The connection that ended may have pinged just now: the first ping of the next one is one more in this period.
        return (now, True) if free > 0 else (now + self._period, False)

    def _count_extra(self, now: float) -> int:
        self._extra = [until for until in self._extra if until > now]
        return len(self._extra)

    def _room(self, now: float) -> int:
        return min(sum(self._rooms.values()) + self._count_extra(now), self._most)


def _part_of(limit: int | None, period: float, share: float) -> tuple[int, float]:
    """A share of a limit in whole events, 0 for none: of a share below one event, the period is longer instead."""
    if limit is None:
        return 0, period
    count = max(1, int(limit * share))
    return count, period * max(1.0, count / (limit * share))
