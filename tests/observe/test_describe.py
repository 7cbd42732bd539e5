"""Events in words and in JSON: every kind has both, and what a peer said cannot hurt a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from heartbeat_trio import events
from heartbeat_trio.events import (
    Alert,
    AlertFailed,
    Attempt,
    Cause,
    ClockJumped,
    Closed,
    Connected,
    Connecting,
    ConnectionState,
    EndedForGood,
    Event,
    EventsDropped,
    Evidence,
    Gap,
    GateChanged,
    HighLatency,
    LineAdded,
    LineEnded,
    Lost,
    Overrun,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    RetryScheduled,
    Rotated,
    RotationFailed,
    RotationStarted,
    ServerError,
    Silence,
    SourceEvent,
    Stalled,
    StateChanged,
    Subscribed,
    Suspected,
    Throttled,
)
from heartbeat_trio.observe import jsonlines, text
from heartbeat_trio.sansio.cause import SENTENCES
from heartbeat_trio.sansio.quality import ConnectionQuality, Verdict

KERNEL = Evidence(age=3.0, timeout=3.0, unacknowledged=1, acknowledged_ago=3.1, window=65536)
PATH_DEAD = f"PATH_DEAD: {SENTENCES[Cause.PATH_DEAD]}"

EXPECTED: list[tuple[Event, str | None, str, dict[str, object]]] = [
    (Connecting(at=1.0, attempt=1), "connecting", "connecting", {"attempt": 1}),
    (Connecting(at=1.0, attempt=3), "connecting, attempt 3", "connecting", {"attempt": 3}),
    (Connected(at=1.0), "connected", "connected", {}),
    (Subscribed(at=1.0, symbol="A"), "subscribed to A", "subscribed", {"symbol": "A"}),
    (
        PongReceived(at=1.0, ping=3, rtt=0.002, is_exact=True, network=0.0005, peer=0.0015, local=0.0001),
        None,
        "pong",
        {"ping": 3, "rtt_ms": 2.0, "exact": True, "network_ms": 0.5, "peer_ms": 1.5, "local_ms": 0.1, "blame": None},
    ),
    (
        PongReceived(at=1.0, ping=4, rtt=0.002, local=2.0, blame=Cause.LOCAL_STALL),
        None,
        "pong",
        {
            "ping": 4,
            "rtt_ms": 2.0,
            "exact": None,
            "network_ms": None,
            "peer_ms": None,
            "local_ms": 2000.0,
            "blame": "LOCAL_STALL",
        },
    ),
    (
        PongLate(at=1.0, ping=5, rtt=3.5),
        "late pong after 3500.0 ms",
        "pong_late",
        {"ping": 5, "rtt_ms": 3500.0, "blame": None},
    ),
    (
        PongMissed(at=1.0, ping=6, missed=1, blame=Cause.PATH_DEAD, evidence=KERNEL),
        f"pong missed [{PATH_DEAD}]",
        "pong_missed",
        {
            "ping": 6,
            "missed": 1,
            "blame": "PATH_DEAD",
            "evidence": {"age": 3.0, "timeout": 3.0, "unacknowledged": 1, "acknowledged_ago": 3.1, "window": 65536},
        },
    ),
    (
        PongMissed(at=1.0, ping=7, missed=2, blame=Cause.PATH_DEAD),
        "pong missed (2 since the last one) [PATH_DEAD]",
        "pong_missed",
        {"ping": 7, "missed": 2, "blame": "PATH_DEAD"},
    ),
    (
        PongMissed(at=1.0, ping=7, missed=2),
        "pong missed (2 since the last one)",
        "pong_missed",
        {"ping": 7, "missed": 2, "blame": None},
    ),
    (
        PongVoided(at=1.0, ping=8, local=2.0),
        f"a pong was late through a delay of our own, and is not counted [LOCAL_STALL: {SENTENCES[Cause.LOCAL_STALL]}]",
        "ping_voided",
        {"ping": 8, "local_ms": 2000.0, "blame": "LOCAL_STALL"},
    ),
    (
        StateChanged(at=1.0, old=ConnectionState.CONNECTED, new=ConnectionState.DEGRADED, missed_pongs=1),
        "CONNECTED -> DEGRADED",
        "state",
        {"from": "CONNECTED", "to": "DEGRADED", "missed_pongs": 1},
    ),
    (
        Suspected(at=1.0, is_suspect=True, blame=Cause.PEER_SILENT),
        "suspect: an answer is overdue [PEER_SILENT]",
        "suspect",
        {"suspect": True, "blame": "PEER_SILENT"},
    ),
    (Suspected(at=1.0, is_suspect=False), "no longer suspect", "suspect", {"suspect": False, "blame": None}),
    (
        Lost(at=1.0, cause="reset", detail="gone \x1b[31m", blame=None),
        "lost (reset): gone \\x1b[31m",
        "lost",
        {"cause": "reset", "detail": "gone \x1b[31m", "blame": None},
    ),
    (RetryScheduled(at=1.0, attempt=2, delay=0.5), "attempt 2 in 0.50 s", "retry_scheduled", {"attempt": 2, "delay": 0.5}),
    (
        Gap(at=1.0, symbol="A", stream="s", first=3, last=5, reason="expired"),
        "gap: A 3 to 5 of stream s (expired)",
        "gap",
        {"symbol": "A", "stream": "s", "first": 3, "last": 5, "reason": "expired"},
    ),
    (
        Gap(at=1.0, symbol="A", stream="local-1", first=3, last=None, reason="reconnected"),
        "gap: A, of which nobody can know what the reconnection cost: its venue does not number it",
        "gap",
        {"symbol": "A", "stream": "local-1", "first": 3, "last": None, "reason": "reconnected"},
    ),
    (Overrun(at=1.0, dropped=3), "3 quotes dropped: the consumer is too slow", "overrun", {"dropped": 3}),
    (HighLatency(at=1.0, p95=0.15), "warning: p95 latency 150.0 ms is above 100 ms", "high_latency", {"p95_ms": 150.0}),
    (
        ServerError(at=1.0, code="unknown_symbol", message="no X"),
        "the server says unknown_symbol: no X",
        "server_error",
        {"code": "unknown_symbol", "message": "no X"},
    ),
    (EventsDropped(at=1.0, count=3), "3 events were not shown: the output is too slow", "events_dropped", {"count": 3}),
    (
        EndedForGood(at=1.0, attempts=(Attempt(number=1, started=0.0, ended=1.0, cause="dns", detail="no such name"),)),
        "gave up after 1 failed attempts:\n  attempt 1: dns: no such name",
        "gave_up",
        {"attempts": [{"number": 1, "cause": "dns", "detail": "no such name"}]},
    ),
    (Closed(at=1.0), "closed", "closed", {}),
    (
        Silence(at=1.0, symbol="A", silent_for=12.25, threshold=4.0, step="probe"),
        "A is silent for 12.2 s (more than 4.0 s is not normal); asking the peer",
        "silence",
        {"symbol": "A", "silent_for": 12.25, "threshold": 4.0, "step": "probe", "outcome": None},
    ),
    (
        Silence(at=1.0, symbol=None, silent_for=30.0, threshold=None, step="reconnect"),
        "the feed is silent for 30.0 s (nothing ever came); connecting again",
        "silence",
        {"symbol": None, "silent_for": 30.0, "threshold": None, "step": "reconnect", "outcome": None},
    ),
    (
        Silence(at=1.0, symbol="A", silent_for=5.0, threshold=4.0, step="resubscribe", outcome="data"),
        "A was silent for 5.0 s; subscribing again: data came back",
        "silence",
        {"symbol": "A", "silent_for": 5.0, "threshold": 4.0, "step": "resubscribe", "outcome": "data"},
    ),
    (
        ClockJumped(at=1.0, kind="suspend", seconds=60.0),
        "the machine slept for 60.0 s; asking the peer at once",
        "clock_jump",
        {"kind": "suspend", "seconds": 60.0},
    ),
    (
        ClockJumped(at=1.0, kind="wall", seconds=-3600.0),
        "the machine's clock was set by -3600.0 s",
        "clock_jump",
        {"kind": "wall", "seconds": -3600.0},
    ),
    (
        Stalled(at=1.0, seconds=2.04),
        "our own program did not run for 2.0 s: look for blocking calls",
        "local_stall",
        {"seconds": 2.04},
    ),
    (GateChanged(at=1.0, is_open=True), "trading gate open", "gate", {"open": True, "reasons": (), "codes": ()}),
    (
        GateChanged(at=1.0, is_open=False, reasons=("not connected",), codes=("disconnected",)),
        "trading gate closed: not connected",
        "gate",
        {"open": False, "reasons": ("not connected",), "codes": ("disconnected",)},
    ),
    (
        Alert(at=1.0, rule="lost", text="connection lost"),
        "ALERT (lost): connection lost",
        "alert",
        {"rule": "lost", "text": "connection lost", "recovery": False},
    ),
    (
        Alert(at=1.0, rule="lost", text="connected again", is_recovery=True),
        "recovered (lost): connected again",
        "alert",
        {"rule": "lost", "text": "connected again", "recovery": True},
    ),
    (
        AlertFailed(at=1.0, rule="lost", sink="webhook", detail="status 500"),
        "alert lost could not be delivered to webhook: status 500",
        "alert_failed",
        {"rule": "lost", "sink": "webhook", "detail": "status 500"},
    ),
    (
        LineAdded(at=1.0, name="a", endpoint="tcp://h:1"),
        "a joins: tcp://h:1",
        "line_added",
        {"name": "a", "line_endpoint": "tcp://h:1"},
    ),
    (
        LineEnded(at=1.0, name="a", cause="removed"),
        "a was removed",
        "line_ended",
        {"name": "a", "cause": "removed", "detail": ""},
    ),
    (
        LineEnded(at=1.0, name="a", cause="GaveUp", detail="enough \x1b[31m"),
        "a ended (GaveUp): enough \\x1b[31m",
        "line_ended",
        {"name": "a", "cause": "GaveUp", "detail": "enough \x1b[31m"},
    ),
    (
        RotationStarted(at=1.0, old="line-1", new="line-2", reason="max_age", age=82800.0),
        "line-1 is replaced by line-2 after 82800 s (max_age)",
        "rotation_started",
        {"old": "line-1", "new": "line-2", "reason": "max_age", "age": 82800.0},
    ),
    (
        RotationStarted(at=1.0, old="line-1", new="line-2", reason="goodbye", age=None),
        "line-1 is replaced by line-2 (goodbye)",
        "rotation_started",
        {"old": "line-1", "new": "line-2", "reason": "goodbye", "age": None},
    ),
    (
        Rotated(at=1.0, old="line-1", new="line-2", reason="degraded", took=1.25),
        "line-2 has replaced line-1 in 1.2 s (degraded)",
        "rotated",
        {"old": "line-1", "new": "line-2", "reason": "degraded", "took": 1.25},
    ),
    (
        RotationFailed(at=1.0, old="line-1", new="line-2", reason="degraded", took=10.0, detail="refused"),
        "line-1 stays: line-2 could not replace it in 10.0 s: refused",
        "rotation_failed",
        {"old": "line-1", "new": "line-2", "reason": "degraded", "took": 10.0, "detail": "refused"},
    ),
    (
        Throttled(at=1.0, venue="binance", kind="connect", delay=12.5),
        "the next connect waits 12.50 s for the limit of binance",
        "throttled",
        {"venue": "binance", "kind": "connect", "delay": 12.5},
    ),
    (
        SourceEvent(at=1.0, source="a", event=Connected(at=1.0)),
        "a: connected",
        "connected",
        {"source": "a"},
    ),
    (
        SourceEvent(at=1.0, source="a", event=ServerError(at=1.0, code="busy", message="later")),
        "a: the server says busy: later",
        "server_error",
        {"source": "a", "code": "busy", "message": "later"},
    ),
]


@pytest.mark.parametrize(("event", "words", "name", "fields"), EXPECTED, ids=lambda each: type(each).__name__)
def test_each_event_in_words_and_in_json(event: Event, words: str | None, name: str, fields: dict[str, object]) -> None:
    """Exactly, with only what is known."""
    assert words == text.describe(event)
    assert (name, fields) == jsonlines.describe(event)


def kinds(of: type[Event]) -> Iterator[type[Event]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_no_kind_of_event_is_forgotten() -> None:
    """A new one is described, or this fails."""
    assert {kind for kind in kinds(Event) if kind.__module__ == events.__name__} == {type(event) for event, *_ in EXPECTED}


def test_a_json_line_is_one_line() -> None:
    """With time and endpoint in front."""
    line = jsonlines.encode("lost", "ws://h/", 0.25, {"detail": "a\nb"})

    assert line.splitlines() == [line]
    assert {
        "event": "lost",
        "at": "1970-01-01T00:00:00.250000Z",
        "endpoint": "ws://h/",
        "detail": "a\nb",
    } == msgspec.json.decode(line)


def test_statistics_tell_the_wire_from_our_own_delay() -> None:
    """Both with their counts."""
    quality = ConnectionQuality(pong_timeout=3)
    for _ in range(3):
        quality.record_ping(0.0)
        quality.record_pong(0.002, 0.0, is_exact=True, local=0.004)
    quality.record_ping(0.0)
    quality.record_pong(0.050, 0.0, is_exact=False, local=0.004)
    snapshot = quality.snapshot(0.0)

    line = text.describe_statistics(snapshot, Verdict(ok=True))
    fields = jsonlines.describe_statistics(snapshot, Verdict(ok=True))

    assert "p99 2.0 ms on the wire (3 samples, 1 inexact), own delay p99 4.0 ms (4); suitable for trading" in line
    assert (3, 1, 4, 4.0, 2.0) == tuple(fields[name] for name in ("n", "inexact", "local_n", "local_p99_ms", "max_ms"))


def test_nothing_decided_is_no_success() -> None:
    """Neither 100 % nor 0 %, for people and for programs; pongs with strange words are told where there are any."""
    quality, verdict = ConnectionQuality(pong_timeout=3.0), Verdict(ok=True)
    quality.record_ping(0.0)
    before = quality.snapshot(0.0)
    quality.record_unknown_pong(1.0)
    quality.record_pong(0.002, 1.0)
    after = quality.snapshot(1.0)

    assert (0, 1) == (before.decided, after.decided)
    assert "0 of 1 pings answered (0 late, 0 missed, 0 voided), success -, " in text.describe_statistics(before, verdict)
    assert "0 voided; 1 pongs answered none of our pings), success 100.0%, " in text.describe_statistics(after, verdict)
    assert (None, 1.0) == tuple(jsonlines.describe_quality(each)["success_rate"] for each in (before, after))


def test_a_pong_that_waited_for_us_says_so() -> None:
    """Beside its round trip, which is that of the wire."""
    delayed = PongReceived(at=1.0, rtt=0.002, local=2.0, blame=Cause.LOCAL_STALL)

    assert text.describe_pong(PongReceived(at=1.0, rtt=0.002)) == "pong after 2.0 ms"
    assert text.describe_pong(delayed).startswith(
        "pong after 2.0 ms, but 2000.0 ms later for us [LOCAL_STALL: our own program"
    )


def test_a_late_pong_of_unknown_time_tells_none() -> None:
    """A pong whose round trip was not measured is late, and no more."""
    assert text.describe(PongLate(at=1.0, ping=5, rtt=None)) == "late pong"
