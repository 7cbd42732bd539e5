"""Frozen records of what happened, and `Quote`.

Every duration is in seconds. ``at`` is Trio time (`trio.current_time`); wall-clock time is a label that is added at the
rim (scripts, journal). Events are past participles; quotes are data and never travel among events.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

from .exceptions import Attempt

GapReason = Literal["expired", "conflated", "stream_changed", "unexplained"]


class ConnectionState(Enum):
    """What the heartbeat says of one connection."""

    CONNECTED = "CONNECTED"
    """The last ping that was decided was answered, or none was decided yet."""
    DEGRADED = "DEGRADED"
    """One or more pongs are missing since the last one (`missed_pongs`), but not enough to call the peer dead."""
    DISCONNECTED = "DISCONNECTED"
    """The peer is called dead, or the connection was closed."""


class SessionStatus(Enum):
    """Where a session is between its connections."""

    CONNECTING = "CONNECTING"
    CONNECTED = "CONNECTED"
    RECONNECTING = "RECONNECTING"
    DISCONNECTED = "DISCONNECTED"


class Quote(msgspec.Struct, frozen=True, gc=False):
    """One quote of one symbol.

    `stream` names one unbroken numbering (a restarted server has a new one); `seq` counts +1 per symbol within it, from 1.
    `ts` is the venue's time in integer microseconds UTC. Where a venue gives only trades, `bid` and `ask` are None and
    `last` is set.
    """

    symbol: str
    bid: float | None
    ask: float | None
    seq: int
    stream: str
    ts: int
    last: float | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. ``at`` is the Trio time at which it happened, in seconds."""

    at: float


class Connecting(Event, frozen=True, kw_only=True):
    """An attempt to connect began. ``attempt`` counts from 1 since the session began, or was last stable."""

    attempt: int


class Connected(Event, frozen=True, kw_only=True):
    """The connection stands, its handshake included. It proves nothing yet about the peer's health."""


class Subscribed(Event, frozen=True, kw_only=True):
    """The peer acknowledged a subscription."""

    symbol: str


class PongReceived(Event, frozen=True, kw_only=True):
    """A ping was answered in time.

    ``rtt`` is None where it cannot be known honestly: a later pong acknowledged this ping as well (RFC 6455 §5.5.3).
    """

    rtt: float | None


class PongLate(Event, frozen=True, kw_only=True):
    """A pong came for a ping that had been called missed. ``rtt`` is its true time, or None as in `PongReceived`."""

    rtt: float | None


class PongMissed(Event, frozen=True, kw_only=True):
    """A ping's deadline passed without its pong. ``missed`` counts the misses since the last pong."""

    missed: int


class PongVoided(Event, frozen=True, kw_only=True):
    """A pong was found while catching up after its deadline: the delay was ours, so it is neither missed nor measured."""


class StateChanged(Event, frozen=True, kw_only=True):
    """The connection's state changed."""

    old: ConnectionState
    new: ConnectionState
    missed_pongs: int


class Lost(Event, frozen=True, kw_only=True):
    """An established connection ended, or an attempt failed. ``cause`` is one of `exceptions.LossCause`."""

    cause: str
    detail: str


class RetryScheduled(Event, frozen=True, kw_only=True):
    """The next attempt begins in ``delay`` seconds."""

    attempt: int
    delay: float


class Gap(Event, frozen=True, kw_only=True):
    """Quotes ``first`` to ``last`` of one symbol and stream will not come.

    ``last`` is None when the stream ended (`stream_changed`) and nobody knows how far it went.
    """

    symbol: str
    stream: str
    first: int
    last: int | None
    reason: GapReason


class Overrun(Event, frozen=True, kw_only=True):
    """``dropped`` quotes were thrown away since the last such event because the consumer was slow."""

    dropped: int


class HighLatency(Event, frozen=True, kw_only=True):
    """The p95 of the round-trip time rose above 100 ms. Armed again once it falls below 80 ms."""

    p95: float


class ServerError(Event, frozen=True, kw_only=True):
    """The peer answered a request with an error; the connection stays."""

    code: str
    message: str


class EndedForGood(Event, frozen=True, kw_only=True):
    """The session gave up after ``attempts`` failed attempts in a row; `GaveUp` carries the same history."""

    attempts: tuple[Attempt, ...]


class Closed(Event, frozen=True, kw_only=True):
    """The session was closed by its owner."""


class EventsDropped(Event, frozen=True, kw_only=True):
    """The reader of an event channel was too slow and lost its ``count`` oldest events."""

    count: int


class QualitySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a connection's quality at one instant.

    ``sent = answered + late + missed + voided + cancelled + in_flight`` holds always. Times are in seconds and None
    before the first sample; ``success_rate`` is 0..1 over what is decided (answered / (answered + late + missed)), 1.0
    before anything is. ``n`` counts the samples behind the percentiles.
    """

    sent: int
    answered: int
    late: int
    missed: int
    voided: int
    cancelled: int
    in_flight: int
    unknown_pongs: int
    success_rate: float
    average: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    minimum: float | None
    maximum: float | None
    jitter: float | None
    n: int
