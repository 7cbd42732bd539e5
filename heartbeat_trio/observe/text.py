"""Events as lines for people. Pure; whatever came from a peer has its control characters escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from ..sansio.cause import explain
from ..venue_events import BeatMissed, RotationAdvised
from .line_text import describe_lines
from .printable import printable as printable

if TYPE_CHECKING:
    from ..events import QualitySnapshot
    from ..sansio.quality import Verdict


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
        case StateChanged() if event.old is event.new:
            return None  # one more missed pong, which was told
        case StateChanged():
            return f"{event.old.value} -> {event.new.value}"
        case SourceEvent(source=source, event=theirs):
            words = describe(theirs)
            return None if words is None else f"{printable(source)}: {words}"
        case _:
            return _describe_ping(event) or _describe_session(event) or _describe_watch(event) or describe_lines(event)


def _describe_ping(event: Event) -> str | None:
    match event:
        case PongLate(rtt=rtt):
            return ("late pong" if rtt is None else f"late pong after {_ms(rtt)}") + (
                "" if event.blame is None else f" [{event.blame.value}]"
            )
        case PongMissed(missed=1):
            return f"pong missed{_blame(event.blame, event.evidence)}"
        case PongMissed(missed=missed, blame=None):
            return f"pong missed ({missed} since the last one)"
        case PongMissed(missed=missed, blame=Cause() as blame):  # the sentence was told with the first one
            return f"pong missed ({missed} since the last one) [{blame.value}]"
        case PongVoided():
            return f"a pong was late through a delay of our own, and is not counted{_blame(event.blame, event.evidence)}"
        case BeatMissed():
            return f"no ping or beat from the server for {event.silent_for:.1f} s{_blame(event.blame, event.evidence)}"
        case Suspected(is_suspect=True):
            return "suspect: an answer is overdue" + ("" if event.blame is None else f" [{event.blame.value}]")
        case Suspected():
            return "no longer suspect"
        case _:
            return None


def _describe_session(event: Event) -> str | None:
    match event:
        case Lost(cause=cause, detail=detail):
            return f"lost ({cause}): {printable(detail)}"
        case RetryScheduled(attempt=attempt, delay=delay):
            return f"attempt {attempt} in {delay:.2f} s"
        case Gap(reason="reconnected"):
            return f"gap: {event.symbol}, of which nobody can know what the reconnection cost: its venue does not number it"
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


def _describe_watch(event: Event) -> str | None:
    match event:
        case Silence():
            return _describe_silence(event)
        case Stalled(seconds=seconds):
            return f"our own program did not run for {seconds:.1f} s: look for blocking calls"
        case ClockJumped(kind="suspend", seconds=seconds):
            return f"the machine slept for {seconds:.1f} s; asking the peer at once"
        case ClockJumped(seconds=seconds):
            return f"the machine's clock was set by {seconds:+.1f} s"
        case RotationAdvised(reason=reason):
            return f"the server asks to be left: {printable(reason)}"
        case GateChanged(is_open=True):
            return "trading gate open"
        case GateChanged(reasons=reasons):
            return f"trading gate closed: {'; '.join(reasons)}"
        case Alert(rule=rule, text=text):
            return f"{'recovered' if event.is_recovery else 'ALERT'} ({printable(rule)}): {printable(text)}"
        case AlertFailed(rule=rule, sink=sink, detail=detail):
            return f"alert {printable(rule)} could not be delivered to {sink}: {printable(detail)}"
        case _:
            return None


STEPS = {
    "probe": "asking the peer",
    "wait": "waiting for its next pong",
    "resubscribe": "subscribing again",
    "reconnect": "connecting again",
}
OUTCOMES = {
    "data": "data came back",
    "pong": "the peer answers, but sends no data",
    "none": "no pong either, so the heartbeat is to judge",
    "unsubscribed": "no longer subscribed",
}


def _describe_silence(event: Silence) -> str:
    what = "the feed" if event.symbol is None else printable(event.symbol)
    if event.outcome is not None:
        return f"{what} was silent for {event.silent_for:.1f} s; {STEPS[event.step]}: {OUTCOMES[event.outcome]}"
    normal = "nothing ever came" if event.threshold is None else f"more than {event.threshold:.1f} s is not normal"
    return f"{what} is silent for {event.silent_for:.1f} s ({normal}); {STEPS[event.step]}"


def _blame(blame: Cause | None, evidence: Evidence | None = None) -> str:
    return "" if blame is None else f" [{blame.value}: {explain(blame, evidence)}]"


def describe_quote(quote: Quote) -> str:
    """A quote in one line."""
    if quote.bid is None or quote.ask is None:
        return f"{quote.symbol} last {quote.last} #{quote.seq}"
    return f"{quote.symbol} {quote.bid} / {quote.ask} #{quote.seq}"


def describe_statistics(quality: QualitySnapshot, verdict: Verdict) -> str:
    """The periodic statistics in one line."""
    success = f"{quality.success_rate:.1%}" if quality.decided else "-"
    unknown = f"; {quality.unknown_pongs} pongs answered none of our pings" if quality.unknown_pongs else ""
    return (
        f"{quality.answered} of {quality.sent} pings answered ({quality.late} late, {quality.missed} missed, "
        f"{quality.voided} voided{unknown}), success {success}, RTT p50 {_ms(quality.p50)} p95 {_ms(quality.p95)} "
        f"p99 {_ms(quality.p99)} on the wire{_own_delay(quality)}; {describe_verdict(verdict)}"
    )


def _own_delay(quality: QualitySnapshot) -> str:
    """Our own program's part, where the kernel let us tell it from the wire."""
    if not quality.local_n:
        return ""
    return f" ({quality.n} samples, {quality.inexact} inexact), own delay p99 {_ms(quality.local_p99)} ({quality.local_n})"


def describe_verdict(verdict: Verdict) -> str:
    """The verdict in words."""
    return "suitable for trading" if verdict else f"not suitable for trading: {'; '.join(verdict.reasons)}"


def describe_pong(event: PongReceived) -> str:
    """A pong, for those who want to see each."""
    known = f"pong after {_ms(event.rtt)}"
    return known if event.blame is None else f"{known}, but {_ms(event.local)} later for us{_blame(event.blame)}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"
