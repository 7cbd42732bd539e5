"""Events as JSON lines. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ..events import (
    Alert,
    AlertFailed,
    Cause,
    ClockJumped,
    Closed,
    Connected,
    Connecting,
    EndedForGood,
    Event,
    EventsDropped,
    Evidence,
    Gap,
    GateChanged,
    HighLatency,
    Lost,
    Overrun,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    QualitySnapshot,
    Quote,
    RetryScheduled,
    ServerError,
    Silence,
    SourceEvent,
    Stalled,
    StateChanged,
    Subscribed,
    Suspected,
)
from ..venue_events import BeatMissed, RotationAdvised
from .line_text import line_fields

if TYPE_CHECKING:
    from ..sansio.quality import Verdict

Fields = dict[str, Any]


def encode(event: str, endpoint: str | None, at: float | None, fields: Fields) -> str:
    """One JSON line.

    Args:
        event: Its name.
        endpoint: Whose, None where it is of the program.
        at: Unix time in seconds; None: left out.
        fields: The rest.
    """
    head: Fields = {"event": event}
    if at is not None:
        head["at"] = timestamp(at)
    if endpoint is not None:
        head["endpoint"] = endpoint
    return to_line(head | fields)


def to_line(fields: Fields) -> str:
    """Fields as one line of JSON."""
    line: bytes = msgspec.json.encode(fields)
    return line.decode()


def timestamp(at: float) -> str:
    """Unix time as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def describe(event: Event) -> tuple[str, Fields] | None:
    """An event's name and fields; None for one that is not told in JSON."""
    match event:
        case Connecting(attempt=attempt):
            return "connecting", {"attempt": attempt}
        case Connected():
            return "connected", {}
        case Subscribed(symbol=symbol):
            return "subscribed", {"symbol": symbol}
        case PongReceived():
            return "pong", _describe_pong(event)
        case PongLate(ping=ping, rtt=rtt):
            return "pong_late", {"ping": ping, "rtt_ms": milliseconds(rtt), **_blame(event.blame, event.evidence)}
        case PongMissed(ping=ping, missed=missed):
            return "pong_missed", {"ping": ping, "missed": missed, **_blame(event.blame, event.evidence)}
        case PongVoided(ping=ping, local=local):
            return "ping_voided", {"ping": ping, "local_ms": milliseconds(local), **_blame(event.blame, event.evidence)}
        case BeatMissed(missed=missed):
            silent_for = round(event.silent_for, 3)
            return "beat_missed", {"missed": missed, "silent_for": silent_for, **_blame(event.blame, event.evidence)}
        case Suspected():
            return "suspect", {"suspect": event.is_suspect, **_blame(event.blame, event.evidence)}
        case StateChanged():
            return "state", {"from": event.old.value, "to": event.new.value, "missed_pongs": event.missed_pongs}
        case SourceEvent(source=source, event=theirs):
            described = describe(theirs)
            return None if described is None else (described[0], {"source": source, **described[1]})
        case _:
            return _describe_session(event) or _describe_watch(event) or line_fields(event)


def _describe_session(event: Event) -> tuple[str, Fields] | None:
    match event:
        case Lost(cause=cause, detail=detail):
            return "lost", {"cause": cause, "detail": detail, **_blame(event.blame, event.evidence)}
        case RetryScheduled(attempt=attempt, delay=delay):
            return "retry_scheduled", {"attempt": attempt, "delay": round(delay, 3)}
        case Gap():
            fields = {name: getattr(event, name) for name in ("symbol", "stream", "first", "last", "reason")}
            return "gap", fields
        case Overrun(dropped=dropped):
            return "overrun", {"dropped": dropped}
        case HighLatency(p95=p95):
            return "high_latency", {"p95_ms": milliseconds(p95)}
        case ServerError(code=code, message=message):
            return "server_error", {"code": code, "message": message}
        case EventsDropped(count=count):
            return "events_dropped", {"count": count}
        case EndedForGood(attempts=attempts):
            listed = [{"number": each.number, "cause": each.cause, "detail": each.detail} for each in attempts]
            return "gave_up", {"attempts": listed}
        case Closed():
            return "closed", {}
        case _:
            return None


def _describe_watch(event: Event) -> tuple[str, Fields] | None:
    match event:
        case Silence():
            names = ("symbol", "silent_for", "threshold", "step", "outcome")
            return "silence", {name: _rounded(getattr(event, name)) for name in names}
        case Stalled(seconds=seconds):
            return "local_stall", {"seconds": round(seconds, 3)}
        case ClockJumped(kind=kind, seconds=seconds):
            return "clock_jump", {"kind": kind, "seconds": round(seconds, 3)}
        case RotationAdvised(reason=reason):
            return "rotation_advised", {"reason": reason}
        case GateChanged():
            return "gate", {"open": event.is_open, "reasons": event.reasons, "codes": event.codes}
        case Alert(rule=rule, text=text):
            return "alert", {"rule": rule, "text": text, "recovery": event.is_recovery}
        case AlertFailed(rule=rule, sink=sink, detail=detail):
            return "alert_failed", {"rule": rule, "sink": sink, "detail": detail}
        case _:
            return None


def _describe_pong(event: PongReceived) -> Fields:
    """The round trip and its parts; null where they are not known."""
    return {
        "ping": event.ping,
        "rtt_ms": milliseconds(event.rtt),
        "exact": event.is_exact,
        **{f"{name}_ms": milliseconds(getattr(event, name)) for name in ("network", "peer", "local")},
        "blame": None if event.blame is None else event.blame.value,
    }


def _blame(blame: Cause | None, evidence: Evidence | None) -> Fields:
    """Whose fault, and what that rests on: only what was known."""
    fields: Fields = {"blame": None if blame is None else blame.value}
    if evidence is not None:
        known = msgspec.to_builtins(evidence)
        fields["evidence"] = {name: _rounded(value) for name, value in known.items() if value is not None}
    return fields


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value


def describe_quote(quote: Quote) -> Fields:
    """A quote's fields; `last` only where it is set."""
    fields: Fields = {name: getattr(quote, name) for name in ("symbol", "bid", "ask", "seq", "stream", "ts")}
    return fields if quote.last is None else fields | {"last": quote.last}


def describe_quality(quality: QualitySnapshot) -> Fields:
    """A snapshot's fields."""
    counts = ("sent", "answered", "late", "missed", "voided", "cancelled", "in_flight", "unknown_pongs")
    return {
        **{name: getattr(quality, name) for name in counts},
        "success_rate": round(quality.success_rate, 6) if quality.decided else None,
        "avg_ms": milliseconds(quality.average),
        "p50_ms": milliseconds(quality.p50),
        "p95_ms": milliseconds(quality.p95),
        "p99_ms": milliseconds(quality.p99),
        "min_ms": milliseconds(quality.minimum),
        "max_ms": milliseconds(quality.maximum),
        "n": quality.n,
        "inexact": quality.inexact,
        "local_p50_ms": milliseconds(quality.local_p50),
        "local_p99_ms": milliseconds(quality.local_p99),
        "local_max_ms": milliseconds(quality.local_maximum),
        "local_n": quality.local_n,
    }


def describe_statistics(quality: QualitySnapshot, verdict: Verdict) -> Fields:
    """The periodic and the final statistics."""
    return describe_quality(quality) | {"suitable": verdict.ok, "reasons": list(verdict.reasons)}


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds with three decimals."""
    return None if seconds is None else round(1000 * seconds, 3)
