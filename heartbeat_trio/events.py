"""Frozen records of what happened, and `Quote`.

Every duration is in seconds. ``at`` is Trio time (`trio.current_time`); wall-clock time is a label that is added at the
rim (scripts, journal). Events are past participles; quotes are data and never travel among events.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .records import MAX_SEQ as MAX_SEQ
from .records import MAX_TS as MAX_TS
from .records import Attempt as Attempt
from .records import Cause as Cause
from .records import ConnectionState as ConnectionState
from .records import Evidence as Evidence
from .records import Quote as Quote
from .records import Receipt as Receipt
from .records import SessionStatus as SessionStatus

SilenceStep = Literal["probe", "wait", "resubscribe", "reconnect"]
SilenceOutcome = Literal["data", "pong", "none", "unsubscribed"]
GapReason = Literal["expired", "conflated", "stream_changed", "reconnected", "unexplained"]


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


class Stalled(Event, frozen=True, kw_only=True):
    """Our own program did not run for ``seconds``, whether or not a ping was in flight: nobody else is to blame for it.

    Absences of a quarter of a second and more, added up over about a second.
    """

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

    ``last`` is None when the stream ended (`stream_changed`) and nobody knows how far it went, and after a connection was
    lost whose quotes have no numbers of the venue's (`reconnected`): some may be missing, or none, and nobody can know.
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


class LineAdded(Event, frozen=True, kw_only=True):
    """A line joined a redundant feed, or a session a fleet; ``endpoint`` is fit for printing."""

    name: str
    endpoint: str


class LineEnded(Event, frozen=True, kw_only=True):
    """A line of a redundant feed, or a session of a fleet, is over.

    ``cause`` is `removed`, or the name of the error that ended it; ``detail`` tells more.
    """

    name: str
    cause: str
    detail: str = ""


class RotationStarted(Event, frozen=True, kw_only=True):
    """A new connection, ``new``, is made to take the place of ``old``, which goes on meanwhile.

    ``reason`` is `max_age`, `degraded`, or what `RedundantFeed.rotate` was given; ``age`` is the old connection's, in
    seconds, None where it has none.
    """

    old: str
    new: str
    reason: str
    age: float | None


class Rotated(Event, frozen=True, kw_only=True):
    """``new`` has taken the place of ``old``, ``took`` seconds after `RotationStarted`."""

    old: str
    new: str
    reason: str
    took: float


class RotationFailed(Event, frozen=True, kw_only=True):
    """``new`` could not be had within ``took`` seconds: ``old`` stays."""

    old: str
    new: str
    reason: str
    took: float
    detail: str


class Throttled(Event, frozen=True, kw_only=True):
    """The next ``kind`` waits ``delay`` seconds, because the venue allows no more of them before.

    A connect for whose pings there is no room beside those of other sessions asks again after ``delay`` seconds, in silence,
    until one of them leaves.
    """

    venue: str
    kind: Literal["connect", "message"]
    delay: float


class SourceEvent(Event, frozen=True, kw_only=True):
    """An event of one of several sessions, with the session's name."""

    source: str
    event: Event


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
        first_in: Seconds from `at` to the first inbound byte before the next ping was due; None: there was none. Bytes of
            pongs that matched nothing do not count here, as they do not for `sansio.heartbeat`.
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

    @property
    def decided(self) -> int:
        """Pings that say something of the peer: those of which the success rate is."""
        return self.answered + self.late + self.missed
