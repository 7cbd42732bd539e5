"""Frozen records of what happened, and `Quote`.

Every duration is in seconds. ``at`` is Trio time (`trio.current_time`); wall-clock time is a label that is added at the
rim (scripts, journal). Events are past participles; quotes are data and never travel among events.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

SilenceStep = Literal["probe", "wait", "resubscribe", "reconnect"]
SilenceOutcome = Literal["data", "pong", "none", "unsubscribed"]
GapReason = Literal["expired", "conflated", "stream_changed", "unexplained"]


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
    """A ping was answered in time. Times are in seconds.

    Args:
        ping: The ping's number within its connection, from 1.
        rtt: From the ping's hand-over to the kernel to the kernel's receipt of the pong (or ours, where it does not tell).
            None where it cannot be known: a later pong acknowledged this ping as well (RFC 6455 §5.5.3).
        is_exact: Whether `rtt` is exact rather than an upper bound; None where the kernel tells nothing.
        network: The part of `rtt` that the kernels took (`tcpi_rtt`), where known.
        peer: What is left of `rtt`: the peer's program.
        local: From the kernel's receipt to ours; no part of `rtt`.
        blame: `LOCAL_STALL` where our own loop delayed the pong noticeably, else None.
    """

    ping: int = 0
    rtt: float | None
    is_exact: bool | None = None
    network: float | None = None
    peer: float | None = None
    local: float | None = None
    blame: Cause | None = None


class PongLate(Event, frozen=True, kw_only=True):
    """A pong came for a ping that had been called missed. ``rtt`` and ``is_exact`` are as in `PongReceived`.

    ``blame`` and ``evidence`` are those of the miss.
    """

    ping: int = 0
    rtt: float | None
    is_exact: bool | None = None
    blame: Cause | None = None
    evidence: Evidence | None = None


class PongMissed(Event, frozen=True, kw_only=True):
    """A ping's deadline passed without its pong. ``missed`` counts the misses since the last pong."""

    ping: int = 0
    missed: int
    blame: Cause | None = None
    evidence: Evidence | None = None


class PongVoided(Event, frozen=True, kw_only=True):
    """The delay was ours, so the ping is neither missed nor measured.

    Either its pong was found while catching up after the deadline (``is_answered``; ``local`` seconds after our kernel had
    it, where known), or our loop had hardly run since the ping was due.
    """

    ping: int = 0
    is_answered: bool = False
    blame: Cause = Cause.LOCAL_STALL
    evidence: Evidence | None = None
    local: float | None = None


class Suspected(Event, frozen=True, kw_only=True):
    """The adaptive detector began to suspect the peer, or ceased to (``is_suspect``). The state stays CONNECTED."""

    is_suspect: bool
    blame: Cause | None = None
    evidence: Evidence | None = None


class Silence(Event, frozen=True, kw_only=True):
    """A feed fell silent for longer than it ever did, or an answer to that came.

    Args:
        symbol: Whose data is missing; None: all of the connection's.
        silent_for: Seconds without data.
        threshold: Seconds that were normal; None where no data ever came in this session.
        step: What is done about it: `probe` (a ping; `wait` for the next ordinary one's answer where `max_probes` are
            used up), `resubscribe`, or `reconnect`.
        outcome: None when the step begins; then `data` (it came back), `pong` (the peer lives, no data), `none` (no pong
            either: that is the heartbeat's to judge, and `pong` or `data` may follow), or `unsubscribed` (nothing is
            expected any more).
    """

    symbol: str | None
    silent_for: float
    threshold: float | None
    step: SilenceStep
    outcome: SilenceOutcome | None = None


class ClockJumped(Event, frozen=True, kw_only=True):
    """The machine slept (`suspend`), or somebody set its clock (`wall`), by ``seconds``. A ping is sent at once."""

    kind: Literal["suspend", "wall"]
    seconds: float


class GateChanged(Event, frozen=True, kw_only=True):
    """The trading gate opened or closed; ``reasons`` and ``codes`` say why it is closed, as in `Verdict`."""

    is_open: bool
    reasons: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


class Alert(Event, frozen=True, kw_only=True):
    """An alert rule fired, or what it fired for is over (``is_recovery``)."""

    rule: str
    text: str
    is_recovery: bool = False


class AlertFailed(Event, frozen=True, kw_only=True):
    """An alert could not be delivered. ``sink`` is the sink's kind only: addresses and commands are secrets."""

    rule: str
    sink: str
    detail: str


class StateChanged(Event, frozen=True, kw_only=True):
    """The connection's state changed."""

    old: ConnectionState
    new: ConnectionState
    missed_pongs: int


class Lost(Event, frozen=True, kw_only=True):
    """An established connection ended, or an attempt failed. ``cause`` is one of `exceptions.LossCause`.

    ``blame`` says whose fault a `pong_timeout` was; ``evidence`` is what was known at any established connection's end.
    """

    cause: str
    detail: str
    blame: Cause | None = None
    evidence: Evidence | None = None


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


class PingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that became of one ping, as a journal keeps it. Not an event: it is known only once the next ping is due.

    Args:
        ping: Its number within its connection, from 1.
        at: Trio time at which it was due.
        sent_after: Seconds until its bytes were handed to the kernel; None: never.
        fate: `answered`, `missed`, `late`, `voided` or `cancelled`; `missed` is recorded again if it becomes `late`.
        rtt: As in `PongReceived`.
        is_exact: As in `PongReceived`.
        first_in: Seconds from `at` to the first inbound byte before the next ping was due; None: there was none.
        last_in: The same for the last one.
        blame: Whose fault it was that it was not answered in time.
    """

    ping: int
    at: float
    sent_after: float | None
    fate: str
    rtt: float | None = None
    is_exact: bool | None = None
    first_in: float | None = None
    last_in: float | None = None
    blame: Cause | None = None


class QualitySnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a connection's quality at one instant.

    ``sent = answered + late + missed + voided + cancelled + in_flight`` holds always. Times are in seconds and None
    before the first sample; ``success_rate`` is 0..1 over what is decided (answered / (answered + late + missed)), 1.0
    before anything is. ``n`` counts the samples behind the percentiles: exact round trips on the wire, and misses as at
    least their timeout. ``inexact`` round trips were measured and left out; ``local_*`` tell our own program's delays,
    from the kernel's receipt of a pong to ours, over ``local_n`` samples.
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
    inexact: int = 0
    local_p50: float | None = None
    local_p99: float | None = None
    local_maximum: float | None = None
    local_n: int = 0
