"""Events as lines for people. Pure; whatever came from a peer has its control characters escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    Quote,
    RetryScheduled,
    ServerError,
    StateChanged,
    Subscribed,
)

if TYPE_CHECKING:
    from ..events import QualitySnapshot
    from ..sansio.quality import Verdict

MAX_LENGTH = 2000
"""Characters of a line; a hostile peer must not fill the screen."""


def printable(text: str) -> str:
    """Escape control characters, and cut what is too long."""
    text = text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + "..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def describe(event: Event) -> str | None:
    """An event in words; None for one that people do not need (each pong in time)."""
    match event:
        case Connecting(attempt=1):
            return "connecting"
        case Connecting(attempt=attempt):
            return f"connecting, attempt {attempt}"
        case Connected():
            return "connected"
        case Subscribed(symbol=symbol):
            return f"subscribed to {symbol}"
        case PongLate(rtt=rtt):
            return f"late pong after {_ms(rtt)}"
        case PongMissed(missed=missed):
            return f"pong missed ({missed} since the last one)"
        case PongVoided():
            return "pong came late through a delay of our own; not counted"
        case StateChanged() if event.old is event.new:
            return None  # one more missed pong, which was told
        case StateChanged():
            return f"{event.old.value} -> {event.new.value}"
        case _:
            return _describe_session(event)


def _describe_session(event: Event) -> str | None:
    match event:
        case Lost(cause=cause, detail=detail):
            return f"lost ({cause}): {printable(detail)}"
        case RetryScheduled(attempt=attempt, delay=delay):
            return f"attempt {attempt} in {delay:.2f} s"
        case Gap(last=None):
            return f"gap: {event.symbol} from {event.first} on, stream {event.stream} has ended ({event.reason})"
        case Gap():
            return f"gap: {event.symbol} {event.first} to {event.last} of stream {event.stream} ({event.reason})"
        case Overrun(dropped=dropped):
            return f"{dropped} quotes dropped: the consumer is too slow"
        case HighLatency(p95=p95):
            return f"warning: p95 latency {_ms(p95)} is above 100 ms"
        case ServerError(code=code, message=message):
            return f"the server says {printable(code)}: {printable(message)}"
        case EventsDropped(count=count):
            return f"{count} events were not shown: the output is too slow"
        case EndedForGood(attempts=attempts):
            listed = "".join(f"\n  attempt {each.number}: {each.cause}: {printable(each.detail)}" for each in attempts)
            return f"gave up after {len(attempts)} failed attempts:{listed}"
        case Closed():
            return "closed"
        case _:
            return None


def describe_quote(quote: Quote) -> str:
    """A quote in one line."""
    if quote.bid is None or quote.ask is None:
        return f"{quote.symbol} last {quote.last} #{quote.seq}"
    return f"{quote.symbol} {quote.bid} / {quote.ask} #{quote.seq}"


def describe_statistics(quality: QualitySnapshot, verdict: Verdict) -> str:
    """The periodic statistics in one line."""
    return (
        f"{quality.answered} of {quality.sent} pings answered ({quality.late} late, {quality.missed} missed, "
        f"{quality.voided} voided), success {quality.success_rate:.1%}, RTT p50 {_ms(quality.p50)} p95 {_ms(quality.p95)} "
        f"p99 {_ms(quality.p99)}; {describe_verdict(verdict)}"
    )


def describe_verdict(verdict: Verdict) -> str:
    """The verdict in words."""
    return "suitable for trading" if verdict else f"not suitable for trading: {'; '.join(verdict.reasons)}"


def describe_pong(event: PongReceived) -> str:
    """A pong, for those who want to see each."""
    return f"pong after {_ms(event.rtt)}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"
