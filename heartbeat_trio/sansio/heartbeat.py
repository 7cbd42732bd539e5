"""One connection's heartbeat: every ping's fate, the misses, and the connection's state.

Rules of this file. It knows neither clock nor transport: the shell calls `handle_timer` when `next_deadline` has come,
`receive_data` and `receive_pong` when bytes came, `ping_sent` when a ping's bytes were handed to the kernel, and performs
what it is told. Early or repeated calls change nothing. All that a ping can become stands in `TRANSITIONS`; at every
instant ``sent = answered + late + missed + voided + cancelled + in_flight``.

A missed pong is a local observation. Before the shell calls `handle_timer` for an expired ping (`has_expired`), it makes
sure that nothing lies unread; a pong that it finds then is older than our delay, so its ping is voided: neither a miss nor
a measurement.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

import msgspec

from ..events import ConnectionState, Event, PongLate, PongMissed, PongReceived, PongVoided, StateChanged

if TYPE_CHECKING:
    from random import Random

    from ..config import HeartbeatPolicy

REMEMBERED = 64
"""Unanswered pings that are remembered, so that a late pong still finds its ping."""

PUNCTUAL = 0.005
"""A wake-up later than this many seconds is our own delay: the ping's deadline then counts from the wake-up."""


class Fate(Enum):
    """What has become of a ping."""

    IN_FLIGHT = "in_flight"
    ANSWERED = "answered"
    LATE = "late"
    MISSED = "missed"
    VOIDED = "voided"
    CANCELLED = "cancelled"


class Happening(Enum):
    """What can happen to a ping."""

    PONG_IN_TIME = "pong until the deadline"
    PONG_AFTER_DEADLINE = "pong after the deadline"
    DEADLINE = "deadline, and nothing is left unread"
    END = "end of the connection"


TRANSITIONS: dict[tuple[Fate, Happening], Fate] = {
    (Fate.IN_FLIGHT, Happening.PONG_IN_TIME): Fate.ANSWERED,
    # Nobody has called it missed yet, so we are the ones who are late: it was found while catching up.
    (Fate.IN_FLIGHT, Happening.PONG_AFTER_DEADLINE): Fate.VOIDED,
    (Fate.IN_FLIGHT, Happening.DEADLINE): Fate.MISSED,
    (Fate.IN_FLIGHT, Happening.END): Fate.CANCELLED,
    (Fate.MISSED, Happening.PONG_AFTER_DEADLINE): Fate.LATE,
}
"""What is not listed cannot happen: the other fates are final, and a final ping is forgotten."""


class SendPing(msgspec.Struct, frozen=True):
    """Command to the shell: send a ping with this nonce now, without waiting, and call `Heartbeat.ping_sent`."""

    nonce: bytes


class _Ping:
    """One unanswered ping. `tick` is when it was due, `sent_at` when its bytes left us (None: not yet)."""

    __slots__ = ("deadline", "fate", "sent_at", "tick")

    def __init__(self, tick: float, deadline: float) -> None:
        self.tick = tick
        self.deadline = deadline
        self.sent_at: float | None = None
        self.fate = Fate.IN_FLIGHT


class Heartbeat:
    """Decides when to ping, what became of each ping, and when the peer is dead.

    The first ping is due at once, the second U(0.5, 1) intervals later (so that connections opened together do not beat
    in step), then one every interval on an absolute schedule. A tick that passed while we slept is skipped.

    A miss counts towards the end only if its ping was due after the last sign of life, so that a silent peer is called
    dead between ``(max_missed_pongs - 1) * ping_interval + pong_timeout`` and `HeartbeatPolicy.bound` seconds after the
    last byte that counted, whatever came before.

    Args:
        policy: Intervals, limits, and what counts as life.
        now: Trio time; the connection's birth counts as a sign of life.
        rng: Source of the phase and of the nonces.
        remembered: Unanswered pings to remember. A dialect whose pongs carry no nonce sets it to `max_missed_pongs`:
            an unanswered ping older than that would take every later pong for its own.
    """

    def __init__(self, policy: HeartbeatPolicy, *, now: float, rng: Random, remembered: int = REMEMBERED) -> None:
        self._policy = policy
        self._rng = rng
        self._remembered = remembered
        self._next_tick = now
        self._unanswered: OrderedDict[bytes, _Ping] = OrderedDict()  # oldest first, in flight or missed
        self._counts: Counter[Fate] = Counter()
        self._misses_since_life = 0
        self._last_life = now
        self._last_pong = now
        self.sent = 0
        """Pings that were due, handed over or not."""
        self.unknown_pongs = 0
        """Pongs that matched no unanswered ping: duplicates, strangers, and those too old to be remembered."""
        self.missed_pongs = 0
        """Misses since the last pong."""
        self.state = ConnectionState.CONNECTED

    def __repr__(self) -> str:
        return f"<Heartbeat {self.state.value} sent={self.sent} in_flight={self.in_flight} missed_pongs={self.missed_pongs}>"

    @property
    def in_flight(self) -> int:
        """Pings whose fate is open."""
        return self._counts[Fate.IN_FLIGHT]

    def count(self, fate: Fate) -> int:
        """How many pings have this fate now."""
        return self._counts[fate]

    @property
    def is_over(self) -> bool:
        """Whether the peer was called dead, or the connection was closed."""
        return self.state is ConnectionState.DISCONNECTED

    def silent_for(self, now: float) -> float:
        """Seconds since the last byte that counted as life."""
        return now - self._last_life

    def next_deadline(self) -> float:
        """When `handle_timer` is due: the next tick or the earliest deadline in flight, `inf` once it is over.

        It may change after every call of `handle_timer`, `receive_pong` and `close`, and after no other.
        """
        if self.is_over:
            return inf
        return min(self._next_tick, self._earliest_deadline())

    def has_expired(self, now: float) -> bool:
        """Whether `handle_timer` would call a ping missed: first make sure that nothing lies unread."""
        return self._earliest_deadline() <= now

    def handle_timer(self, now: float) -> list[Event | SendPing]:
        """Call expired pings missed, and send the ping that is due. Early calls do nothing.

        The last event is a `StateChanged` to DISCONNECTED when the peer is dead.
        """
        if self.is_over:
            return []
        done: list[Event | SendPing] = []
        for ping in [ping for ping in self._unanswered.values() if ping.fate is Fate.IN_FLIGHT and ping.deadline <= now]:
            if ping.sent_at is not None and ping.sent_at > ping.deadline:
                # It left only while we were catching up: a stall of ours came between the tick and the hand-over.
                ping.deadline = ping.sent_at + self._policy.pong_timeout
            else:
                done += self._miss(ping, now)
        if self.next_deadline() <= now:  # only the tick is left of what was due, unless it is over
            done.append(self._ping(now))
        return done

    def ping_sent(self, nonce: bytes, now: float) -> None:
        """A ping's bytes were handed to the kernel: its round trip begins here (its deadline began at its tick)."""
        ping = self._unanswered.get(nonce)
        if ping is not None and ping.sent_at is None:
            ping.sent_at = now

    def receive_data(self, now: float) -> None:
        """Bytes came that belong to no pong. They are a sign of life unless `liveness` is `pong_only`."""
        if self._policy.liveness == "any_inbound":
            self._live(now)

    def receive_pong(self, nonce: bytes, now: float) -> list[Event]:
        """A pong came; b"" is one without a nonce, which answers the oldest unanswered ping (TCP keeps order).

        It acknowledges every older ping as well (RFC 6455 §5.5.3), those without a measurement. Returns [] for a pong
        that matches nothing: it is counted, and changes nothing else.
        """
        nonce = nonce or self._oldest_sent()
        matched = self._unanswered.get(nonce)
        if matched is None or matched.sent_at is None or self.is_over:
            self.unknown_pongs += 1
            return []
        events: list[Event] = []
        while True:
            oldest, ping = self._unanswered.popitem(last=False)
            events.append(self._answer(ping, now, is_matched=oldest == nonce))
            if oldest == nonce:
                break
        self._live(now)
        self._last_pong = now
        self.missed_pongs = 0
        return events + self._change_state(ConnectionState.CONNECTED, now)

    def close(self, now: float) -> list[Event]:
        """The connection ended: what is in flight is cancelled."""
        for ping in self._unanswered.values():
            if ping.fate is Fate.IN_FLIGHT:
                self._move(ping, Happening.END)
        self._unanswered.clear()
        return self._change_state(ConnectionState.DISCONNECTED, now)

    def _earliest_deadline(self) -> float:
        return min((ping.deadline for ping in self._unanswered.values() if ping.fate is Fate.IN_FLIGHT), default=inf)

    def _oldest_sent(self) -> bytes:
        return next((nonce for nonce, ping in self._unanswered.items() if ping.sent_at is not None), b"")

    def _ping(self, now: float) -> SendPing:
        interval = self._policy.ping_interval
        late = now - self._next_tick
        tick = self._next_tick if late <= PUNCTUAL else now
        # A long delay of ours moves the whole schedule: pings in quick succession would count one silence twice.
        base = now if late > interval / 4 else self._next_tick
        self._next_tick = base + interval * (self._rng.uniform(0.5, 1) if self.sent == 0 else 1)
        self.sent += 1
        nonce = b"%04x%04x" % (self._rng.getrandbits(16), self.sent & 0xFFFF)
        self._unanswered[nonce] = _Ping(tick, tick + self._policy.pong_timeout)
        self._counts[Fate.IN_FLIGHT] += 1
        self._forget_old()
        return SendPing(nonce)

    def _forget_old(self) -> None:
        while len(self._unanswered) > self._remembered:
            nonce, oldest = next(iter(self._unanswered.items()))
            if oldest.fate is Fate.IN_FLIGHT:
                return
            del self._unanswered[nonce]

    def _miss(self, ping: _Ping, now: float) -> list[Event]:
        self._move(ping, Happening.DEADLINE)
        self.missed_pongs += 1
        if ping.tick >= self._last_life:
            self._misses_since_life += 1
        state = ConnectionState.DISCONNECTED if self._is_dead(now) else ConnectionState.DEGRADED
        return [PongMissed(at=now, missed=self.missed_pongs), *self._change_state(state, now)]

    def _is_dead(self, now: float) -> bool:
        pongless = now - self._last_pong >= self._policy.max_pongless and self._policy.liveness == "any_inbound"
        return pongless or self._misses_since_life >= self._policy.max_missed_pongs

    def _answer(self, ping: _Ping, now: float, *, is_matched: bool) -> Event:
        rtt = now - ping.sent_at if is_matched and ping.sent_at is not None else None
        in_time = now <= ping.deadline
        fate = self._move(ping, Happening.PONG_IN_TIME if in_time else Happening.PONG_AFTER_DEADLINE)
        if fate is Fate.ANSWERED:
            return PongReceived(at=now, rtt=rtt)
        return PongLate(at=now, rtt=rtt) if fate is Fate.LATE else PongVoided(at=now)

    def _live(self, now: float) -> None:
        self._last_life = now
        self._misses_since_life = 0

    def _move(self, ping: _Ping, happening: Happening) -> Fate:
        self._counts[ping.fate] -= 1
        ping.fate = TRANSITIONS[ping.fate, happening]
        self._counts[ping.fate] += 1
        return ping.fate

    def _change_state(self, new: ConnectionState, now: float) -> list[Event]:
        old, self.state = self.state, new
        if new is old and new is not ConnectionState.DEGRADED:
            return []
        return [StateChanged(at=now, old=old, new=new, missed_pongs=self.missed_pongs)]
