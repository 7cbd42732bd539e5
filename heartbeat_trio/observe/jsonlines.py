"""Events as JSON lines. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ..events import (
    Closed,
    Connected,
    Connecting,
    EndedForGood,
    Event,
    EventsDropped,
    Gap,
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
    StateChanged,
    Subscribed,
)

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
    return msgspec.json.encode(head | fields).decode()


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
        case PongReceived(rtt=rtt):
            return "pong", {"rtt_ms": milliseconds(rtt)}
        case PongLate(rtt=rtt):
            return "pong_late", {"rtt_ms": milliseconds(rtt)}
        case PongMissed(missed=missed):
            return "pong_missed", {"missed": missed}
        case PongVoided():
            return "ping_voided", {}
        case StateChanged():
            return "state", {"from": event.old.value, "to": event.new.value, "missed_pongs": event.missed_pongs}
        case _:
            return _describe_session(event)


def _describe_session(event: Event) -> tuple[str, Fields] | None:
    match event:
        case Lost(cause=cause, detail=detail):
            return "lost", {"cause": cause, "detail": detail}
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


def describe_quote(quote: Quote) -> Fields:
    """A quote's fields; `last` only where it is set."""
    fields: Fields = {name: getattr(quote, name) for name in ("symbol", "bid", "ask", "seq", "stream", "ts")}
    return fields if quote.last is None else fields | {"last": quote.last}


def describe_statistics(quality: QualitySnapshot, verdict: Verdict) -> Fields:
    """The periodic and the final statistics."""
    counts = ("sent", "answered", "late", "missed", "voided", "cancelled", "in_flight", "unknown_pongs")
    return {
        **{name: getattr(quality, name) for name in counts},
        "success_rate": round(quality.success_rate, 6),
        "avg_ms": milliseconds(quality.average),
        "p50_ms": milliseconds(quality.p50),
        "p95_ms": milliseconds(quality.p95),
        "p99_ms": milliseconds(quality.p99),
        "min_ms": milliseconds(quality.minimum),
        "max_ms": milliseconds(quality.maximum),
        "suitable": verdict.ok,
        "reasons": list(verdict.reasons),
    }


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds with three decimals."""
    return None if seconds is None else round(1000 * seconds, 3)
