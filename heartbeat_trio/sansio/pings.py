"""The ledger of a connection's pings: what each has become, and the sum that always holds.

All that a ping can become stands in `TRANSITIONS`; at every instant
``sent = answered + late + missed + voided + cancelled + in_flight``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ..events import Cause, Evidence

REMEMBERED = 64
"""Unanswered pings that are remembered, so that a late pong still finds its ping."""


class Fate(Enum):
    """What has become of a ping."""

    __hash__ = object.__hash__  # there is one of each: no need to hash its name, several times for each ping

    IN_FLIGHT = "in_flight"
    ANSWERED = "answered"
    LATE = "late"
    MISSED = "missed"
    VOIDED = "voided"
    CANCELLED = "cancelled"


class Happening(Enum):
    """What can happen to a ping."""

    __hash__ = object.__hash__

    PONG_IN_TIME = "pong until the deadline"
    PONG_AFTER_DEADLINE = "pong after the deadline"
    DEADLINE = "deadline, and nothing is left unread"
    STALL = "deadline, and our own loop hardly ran since the tick"
    END = "end of the connection"


TRANSITIONS: dict[tuple[Fate, Happening], Fate] = {
    (Fate.IN_FLIGHT, Happening.PONG_IN_TIME): Fate.ANSWERED,
    # Nobody has called it missed yet, so we are the ones who are late: it was found while catching up.
    (Fate.IN_FLIGHT, Happening.PONG_AFTER_DEADLINE): Fate.VOIDED,
    (Fate.IN_FLIGHT, Happening.DEADLINE): Fate.MISSED,
    (Fate.IN_FLIGHT, Happening.STALL): Fate.VOIDED,
    (Fate.IN_FLIGHT, Happening.END): Fate.CANCELLED,
    (Fate.MISSED, Happening.PONG_AFTER_DEADLINE): Fate.LATE,
}
"""What is not listed cannot happen: the other fates are final, and a final ping is forgotten."""


TryProbe = Callable[[float], bool]
"""Whether a probe may be sent at that time; one that may is counted."""


def always(_now: float) -> bool:
    """Where nobody limits probes."""
    return True


class SendPing(msgspec.Struct, frozen=True):
    """Command to the shell: send a ping with this nonce now, without waiting, and call `Heartbeat.ping_sent`.

    ``number`` counts the connection's pings from 1; a probe was counted by who allowed it (see `Heartbeat`).
    """

    nonce: bytes
    number: int
    is_probe: bool = False


class Accused(msgspec.Struct, frozen=True):
    """What a verdict would be about: bytes that were due to leave then, whether they did, and how long an answer had."""

    due: float
    timeout: float
    was_sent: bool


class SentPing:
    """One unanswered ping. `tick` is when it was due, `sent_at` when its bytes left us (None: not yet)."""

    __slots__ = ("blame", "deadline", "evidence", "fate", "is_probe", "number", "sent_at", "tick")

    def __init__(self, number: int, tick: float, deadline: float, *, is_probe: bool) -> None:
        self.number = number
        self.tick = tick
        self.deadline = deadline
        self.is_probe = is_probe
        self.sent_at: float | None = None
        self.fate = Fate.IN_FLIGHT
        self.blame: Cause | None = None
        self.evidence: Evidence | None = None


class PingLedger:
    """Every ping of a connection, the unanswered ones by nonce.

    Args:
        remembered: Unanswered pings to remember; those in flight are never forgotten.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._unanswered: dict[bytes, SentPing] = {}  # oldest first, in flight or missed
        self._counts: Counter[Fate] = Counter()
        self.sent = 0
        """Pings that were due, handed over or not."""

    def count(self, fate: Fate) -> int:
        """How many pings have this fate now."""
        return self._counts[fate]

    def get(self, nonce: bytes) -> SentPing | None:
        """An unanswered ping that is remembered."""
        return self._unanswered.get(nonce)

    def oldest_sent(self) -> bytes:
        """The nonce of the oldest unanswered ping that has left, b"" if there is none."""
        return next((nonce for nonce, ping in self._unanswered.items() if ping.sent_at is not None), b"")

    def oldest_in_flight(self) -> SentPing | None:
        """The oldest ping whose fate is open."""
        return next((ping for ping in self._unanswered.values() if ping.fate is Fate.IN_FLIGHT), None)

    def earliest_deadline(self) -> float:
        """The first deadline in flight, `inf` if nothing is."""
        earliest = inf
        for ping in self._unanswered.values():
            if ping.deadline < earliest and ping.fate is Fate.IN_FLIGHT:
                earliest = ping.deadline
        return earliest

    def expired(self, now: float) -> list[tuple[bytes, SentPing]]:
        """Pings in flight whose deadline has passed, oldest first."""
        return [
            (nonce, ping) for nonce, ping in self._unanswered.items() if ping.fate is Fate.IN_FLIGHT and ping.deadline <= now
        ]

    def add(self, key: int, tick: float, deadline: float, *, is_probe: bool) -> tuple[bytes, int]:
        """A ping is due; its nonce, made of 16 random bits and its number, and its number."""
        self.sent += 1
        nonce = b"%04x%04x" % (key, self.sent & 0xFFFF)
        self._unanswered[nonce] = SentPing(self.sent, tick, deadline, is_probe=is_probe)
        self._counts[Fate.IN_FLIGHT] += 1
        self._forget_old()
        return nonce, self.sent

    def move(self, ping: SentPing, happening: Happening) -> Fate:
        """Something happened to a ping; its new fate."""
        self._counts[ping.fate] -= 1
        ping.fate = TRANSITIONS[ping.fate, happening]
        self._counts[ping.fate] += 1
        return ping.fate

    def forget(self, nonce: bytes) -> None:
        """A ping's fate is final."""
        del self._unanswered[nonce]

    def take_until(self, nonce: bytes) -> list[SentPing]:
        """Take out the unanswered pings up to this one, which is the last of the list."""
        taken: list[SentPing] = []
        while True:
            oldest = next(iter(self._unanswered))
            taken.append(self._unanswered.pop(oldest))
            if oldest == nonce:
                return taken

    def cancel(self) -> None:
        """The connection ended."""
        for ping in self._unanswered.values():
            if ping.fate is Fate.IN_FLIGHT:
                self.move(ping, Happening.END)
        self._unanswered.clear()

    def _forget_old(self) -> None:
        while len(self._unanswered) > self._remembered:
            nonce, oldest = next(iter(self._unanswered.items()))
            if oldest.fate is Fate.IN_FLIGHT:
                return
            del self._unanswered[nonce]
