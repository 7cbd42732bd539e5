"""What became of each ping, as a journal keeps it: with the first and the last inbound byte before the next ping."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from ..events import PingRecord

if TYPE_CHECKING:
    from ..events import Cause

REMEMBERED = 64
"""Missed pings that are remembered, in case their pongs come late."""


class _Open(msgspec.Struct):
    """A ping whose record is not complete."""

    ping: int
    at: float
    sent_after: float | None = None
    first_in: float | None = None
    last_in: float | None = None
    fate: str | None = None
    rtt: float | None = None
    is_exact: bool | None = None
    blame: Cause | None = None
    is_followed: bool = False

    def record(self) -> PingRecord:
        return PingRecord(
            ping=self.ping,
            at=self.at,
            sent_after=self.sent_after,
            fate=self.fate or "cancelled",
            rtt=self.rtt,
            is_exact=self.is_exact,
            first_in=self.first_in,
            last_in=self.last_in,
            blame=self.blame,
        )


class PingLog:
    """Makes one record of each ping of a connection, once its fate is known and the next ping is due."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._missed: OrderedDict[int, _Open] = OrderedDict()
        self._current: _Open | None = None
        self._ready: list[PingRecord] = []

    def ping(self, number: int, at: float) -> None:
        """A ping is due: what comes in from now on belongs to it."""
        if self._current is not None:
            self._current.is_followed = True
            self._finish(self._current)
        self._current = self._open[number] = _Open(number, at)

    def sent(self, number: int, now: float) -> None:
        """A ping's bytes were handed over."""
        ping = self._open.get(number)
        if ping is not None:
            ping.sent_after = now - ping.at

    def receive(self, now: float) -> None:
        """Bytes came in."""
        ping = self._current
        if ping is not None:
            ping.last_in = now - ping.at
            ping.first_in = ping.last_in if ping.first_in is None else ping.first_in

    def decide(
        self, number: int, fate: str, *, rtt: float | None = None, is_exact: bool | None = None, blame: Cause | None = None
    ) -> None:
        """A ping's fate is known; `late` amends a record that said `missed`."""
        ping = self._open.get(number) or self._missed.pop(number, None)
        if ping is None:
            return
        ping.fate, ping.rtt, ping.is_exact, ping.blame = fate, rtt, is_exact, blame
        self._finish(ping)

    def close(self) -> None:
        """The connection ended: every open record is complete."""
        for ping in self._open.values():
            self._ready.append(ping.record())
        self._open.clear()
        self._current = None

    def take(self) -> list[PingRecord]:
        """The records that are complete, each once, in the order of their completion."""
        ready, self._ready = self._ready, []
        return ready

    def _finish(self, ping: _Open) -> None:
        if ping.fate is None or not ping.is_followed:
            return
        self._open.pop(ping.ping, None)
        self._ready.append(ping.record())
        if ping.fate == "missed":
            self._missed[ping.ping] = ping
            if len(self._missed) > REMEMBERED:
                self._missed.popitem(last=False)
