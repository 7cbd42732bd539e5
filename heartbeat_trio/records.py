"""Frozen records that events carry: states, causes, evidence. Import them from `heartbeat_trio.events`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec
from msgspec import Meta

MAX_SEQ = 2**63 - 1
MAX_TS = 253_402_300_799_999_999
"""Microseconds UTC of the last instant of the year 9999; whoever turned a later one into a date would fail."""


class Quote(msgspec.Struct, frozen=True, gc=False):
    """One quote of one symbol.

    `stream` names one unbroken numbering (a restarted server has a new one); `seq` counts +1 per symbol within it, from 1.
    `ts` is the venue's time in integer microseconds UTC. Where a venue gives only trades, `bid` and `ask` are None and
    `last` is set.
    """

    symbol: str
    bid: float | None
    ask: float | None
    seq: Annotated[int, Meta(ge=1, le=MAX_SEQ)]
    stream: str
    ts: Annotated[int, Meta(ge=0, le=MAX_TS)]
    last: float | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt, as listed by `GaveUp.history`.

    ``started`` and ``ended`` are Trio time in seconds.
    """

    number: int
    started: float
    ended: float
    cause: str
    detail: str


class ConnectionState(Enum):
    """What the heartbeat says of one connection."""

    CONNECTED = "CONNECTED"
    """The last ping that was decided was answered, or none was decided yet."""
    DEGRADED = "DEGRADED"
    """Pongs are missing since the last one (`missed_pongs`), or overdue, but not enough to call the peer dead."""
    DISCONNECTED = "DISCONNECTED"
    """The peer is called dead, or the connection was closed."""


class Cause(Enum):
    """Whose fault it was that a pong did not come in time."""

    LOCAL_STALL = "LOCAL_STALL"
    """Our own program did not run: nobody else is to blame."""
    PATH_DEAD = "PATH_DEAD"
    """What we sent was not even acknowledged by the peer's kernel."""
    PEER_SILENT = "PEER_SILENT"
    """The peer's kernel lives, or nothing is known of it; its program said nothing at all."""
    PEER_SLOW = "PEER_SLOW"
    """The peer's program says something, but answers no ping in time."""
    WRITER_BLOCKED = "WRITER_BLOCKED"
    """The peer reads so little that our ping could not leave."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was known when a ping was judged. Durations are in seconds, counts in bytes or segments; None: unknown here.

    Args:
        age: Since the ping was due.
        timeout: What its pong had.
        was_sent: Whether the ping's bytes were handed to the kernel.
        silent_for: Since any byte reached our program.
        loop_lag: In which our own loop did not run since the ping was due: absences of a quarter of a second or more.
        unread: Bytes that had arrived and were not read (FIONREAD).
        buffered: Bytes waiting in our own output buffer.
        unsent: Bytes that the kernel took from us and did not send yet (`tcpi_notsent_bytes`).
        unacknowledged: Segments that were sent and not acknowledged (`tcpi_unacked`).
        backoff: Doublings of the retransmission timer, or of the probes of a closed window (`tcpi_backoff`).
        acknowledged_ago: Since the peer's kernel acknowledged anything (`tcpi_last_ack_recv`).
        received_ago: Since any data reached our kernel (`tcpi_last_data_recv`).
        window: Bytes that the peer is ready to take (`tcpi_snd_wnd`).
        network_rtt: The kernel's smoothed round-trip time (`tcpi_rtt`).
    """

    age: float
    timeout: float
    was_sent: bool = True
    silent_for: float | None = None
    loop_lag: float | None = None
    unread: int | None = None
    buffered: int = 0
    unsent: int | None = None
    unacknowledged: int | None = None
    backoff: int | None = None
    acknowledged_ago: float | None = None
    received_ago: float | None = None
    window: int | None = None
    network_rtt: float | None = None


class Receipt(msgspec.Struct, frozen=True):
    """When a message reached our kernel (Trio time), and whether that is exact; else it may have come earlier."""

    at: float
    is_exact: bool


class SessionStatus(Enum):
    """Where a session is between its connections."""

    CONNECTING = "CONNECTING"
    CONNECTED = "CONNECTED"
    RECONNECTING = "RECONNECTING"
    DISCONNECTED = "DISCONNECTED"
