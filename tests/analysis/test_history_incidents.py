"""Incidents: what belongs to one, whose fault it was, what is told around it, and which of them are the worst."""

from __future__ import annotations

import msgspec
import pytest

from heartbeat_trio.analysis.findings import Incident
from heartbeat_trio.analysis.incidents import all_incidents, worst_incidents
from heartbeat_trio.analysis.sentences import sentence
from heartbeat_trio.analysis.tables import Happening, SessionSpan
from heartbeat_trio.events import Event, EventsDropped, PongReceived, SourceEvent
from heartbeat_trio.observe import jsonlines
from tests.observe.test_describe import EXPECTED
from tests.support.analysis import MONDAY, journals, lost, session, told


def begin(span: SessionSpan) -> list[Happening]:
    return [told(0, "connecting", span, attempt=1), told(1, "connected", span, connection=1)]


def connected(t: float, span: SessionSpan) -> Happening:
    return told(t, "connected", span, connection=2)


def only(span: SessionSpan, *events: Happening) -> Incident:
    (incident,) = worst_incidents(journals([span], [*begin(span), *events]))
    return incident


def test_outage_is_an_incident() -> None:
    """From the last sign of life to the next connection, with the client's own words and whose fault it was."""
    span = session()
    incident = only(span, lost(500, span, silent_for=18.0, blame="PEER_SILENT"), connected(510, span))
    assert (incident.begun_at, incident.ended_at, incident.duration) == (MONDAY + 482, MONDAY + 510, 28)
    assert (incident.cause, incident.blame, incident.detected_after, incident.losses) == (
        "pong_timeout",
        "PEER_SILENT",
        18,
        1,
    )
    assert incident.detail.startswith("pong_timeout it was; the peer said nothing")
    assert (incident.line, incident.others) == (0, ())


def test_failed_attempts_are_one_incident() -> None:
    """With their loss, and counted."""
    span = session()
    attempts = [lost(t, span, "connect_refused") for t in (501, 503, 507)]
    incident = only(span, lost(500, span, "reset"), *attempts, connected(510, span))
    assert (incident.cause, incident.losses, incident.duration, incident.detected_after) == ("reset", 4, 10, 0)
    assert incident.detail == "reset it was; 3 attempts failed: connect refused"


def test_session_that_never_connected_is_one_incident() -> None:
    """It has no verdict, and no end."""
    span = session()
    (incident,) = worst_incidents(
        journals([span], [told(0, "connecting", span), lost(5, span, "dns"), lost(9, span, "dns")])
    )
    assert (incident.cause, incident.duration, incident.ended_at, incident.detected_after) == ("dns", 1000, None, None)
    assert (incident.losses, incident.detail) == (2, "dns it was; 2 attempts failed: dns")


@pytest.mark.parametrize(("held", "incidents"), [(59.0, 1), (60.0, 2)])
def test_flapping_is_one_incident_until_a_connection_holds(held: float, incidents: int) -> None:
    """A connection proves stable within 60 s."""
    span = session()
    events = [lost(500, span, "reset"), connected(510, span), lost(510 + held, span, "goodbye"), connected(600, span)]
    found = all_incidents(journals([span], [*begin(span), *events]))
    assert (len(found), sum(each.losses for each in found)) == (incidents, 2)
    assert found[0].ended_at == MONDAY + (600 if incidents == 1 else 510)


def test_what_holds_is_for_the_policy_to_say() -> None:
    """A client that calls a connection stable after five seconds has two incidents ten seconds apart."""
    span = session()
    span = msgspec.structs.replace(span, configuration={"restart": {"stable_after": 5.0}})
    events = [lost(500, span, "reset"), connected(510, span), lost(520, span, "goodbye"), connected(600, span)]
    assert [each.cause for each in all_incidents(journals([span], [*begin(span), *events]))] == ["reset", "goodbye"]


def test_own_stall_is_never_blamed_on_the_venue() -> None:
    """The loss that it cost is ours, beside the stall itself."""
    span = session()
    events = [told(500, "local_stall", span, seconds=40.0), lost(500.2, span, "reset"), connected(501, span)]
    stall, loss = worst_incidents(journals([span], [*begin(span), *events]))
    assert (stall.cause, stall.blame, stall.duration, stall.begun_at) == ("local_stall", "LOCAL_STALL", 40, MONDAY + 460)
    assert (loss.cause, loss.blame) == ("reset", "LOCAL_STALL")
    assert "our own program did not run" in loss.detail


def test_short_stalls_are_no_incidents_unless_they_follow_each_other() -> None:
    """0.9 s is nothing; two looks that found 0.9 s each are one stall of 1.8 s."""
    span = session()
    alone, row = told(100, "local_stall", span, seconds=0.9), told(101, "local_stall", span, seconds=0.9)
    assert all_incidents(journals([span], [*begin(span), alone])) == ()
    incident = only(span, alone, row)
    assert incident.duration == pytest.approx(1.9)
    assert incident.detail == "our own program did not run for 1.8 s: look for blocking calls"


def test_sleep_is_an_incident_by_the_wall_clock() -> None:
    """An hour in which the program's clock stood still."""
    span = session()
    jump = told(400, "clock_jump", span, kind="suspend", seconds=3600.0, at=MONDAY + 4000)
    incident = only(span, jump)
    assert (incident.begun_at, incident.ended_at, incident.duration) == (MONDAY + 400, MONDAY + 4000, 3600)
    assert incident.detail == "the machine slept for 3600.0 s"


def degraded(t: float, span: SessionSpan, new: str, missed: int = 1) -> Happening:
    return told(t, "state", span, {"from": "CONNECTED", "to": new, "missed_pongs": missed})


def missed(t: float, span: SessionSpan, count: int = 1) -> Happening:
    evidence = {"age": 3.0, "timeout": 3.0, "silent_for": 4.0}
    return told(t, "pong_missed", span, ping=9, missed=count, blame="PEER_SLOW", evidence=evidence)


def test_trouble_that_passed_is_an_incident() -> None:
    """Two pongs were missing; it began with the last sign of life, and ended with the pong."""
    span = session()
    events = [missed(100, span), degraded(100, span, "DEGRADED"), missed(105, span, 2), degraded(107, span, "CONNECTED", 0)]
    incident = only(span, *events)
    assert (incident.cause, incident.blame, incident.losses) == ("degraded", "PEER_SLOW", 0)
    assert (incident.begun_at, incident.ended_at, incident.duration) == (MONDAY + 96, MONDAY + 107, 11)
    assert incident.detail.startswith("2 pongs missed: the peer sends data")
    assert incident.detected_after == 4


def test_suspicion_that_passed_is_an_incident() -> None:
    """The adaptive detector's doubt, on a connection that stays CONNECTED."""
    span = session()
    events = [told(100, "suspect", span, suspect=True, blame=None), told(101, "suspect", span, suspect=False, blame=None)]
    incident = only(span, *events)
    assert (incident.cause, incident.duration, incident.detail) == ("degraded", 1, "an answer was overdue")


def test_trouble_through_a_stall_of_our_own_is_ours() -> None:
    """Even where only the state tells of it."""
    span = session()
    events = [
        told(100, "local_stall", span, seconds=5.0),
        degraded(100.5, span, "DEGRADED"),
        degraded(103, span, "CONNECTED"),
    ]
    stall, trouble = worst_incidents(journals([span], [*begin(span), *events]))
    assert (stall.cause, trouble.cause, trouble.blame, trouble.duration) == ("local_stall", "degraded", "LOCAL_STALL", 2.5)


def test_trouble_before_a_loss_belongs_to_the_outage() -> None:
    """It is told in its timeline, and is no incident of its own."""
    span = session()
    events = [missed(490, span), degraded(490, span, "DEGRADED"), degraded(500, span, "DISCONNECTED"), lost(500, span)]
    assert only(span, *events, connected(510, span)).cause == "pong_timeout"


def test_trouble_goes_on_where_the_records_end() -> None:
    """A running client's peer is degraded still: nobody knows the end."""
    span = session(ended=200)
    incident = only(span, missed(100, span), degraded(100, span, "DEGRADED"))
    assert (incident.ended_at, incident.duration) == (None, 104)


def test_the_longest_are_the_worst_and_ties_go_by_time() -> None:
    """Three of 10 s and one of 20."""
    span = session(ended=10_000)
    events: list[Happening] = []
    for t, length in ((1000, 10), (2000, 20), (3000, 10), (4000, 10)):
        events += [lost(t, span, "reset"), connected(t + length, span)]
    sources = journals([span], [*begin(span), *events])
    assert [each.begun_at - MONDAY for each in worst_incidents(sources, 3)] == [2000, 1000, 3000]
    assert [each.begun_at - MONDAY for each in all_incidents(sources)] == [1000, 2000, 3000, 4000]
    assert all(not each.timeline for each in all_incidents(sources))


def test_lines_in_trouble_at_the_same_time() -> None:
    """Incidents within two seconds of each other, by the wall clock: lines of several programs have only that in common."""
    spans = [session(f"s{line}", line, writer=f"w{line}", at=MONDAY - 100 * line, begun=100 * line) for line in range(3)]
    events = [each for span in spans for each in (told(span.begun, "connecting", span), told(span.begun, "connected", span))]
    for span, t in zip(spans, (500, 611.9, 712.1), strict=True):  # at 500, 511.9 and 512.1 on the wall
        events += [lost(t, span, "reset"), connected(t + 10, span)]
    assert [each.others for each in all_incidents(journals(spans, events))] == [(1,), (0, 2), (1,)]


def test_stall_of_one_program_is_told_once() -> None:
    """Each of its lines has it, and the worst ten are not ten times the same."""
    spans = [*(session(f"s{line}", line) for line in range(3)), session("s", 2)]  # the last line has two sessions
    events = [told(500, "local_stall", each, seconds=5.0) for each in spans]
    assert [each.others for each in all_incidents(journals(spans, events))] == [(1, 2), (0, 2), (0, 1)]
    (incident,) = worst_incidents(journals(spans, events))
    assert (incident.line, incident.others) == (0, (1, 2))


def test_timeline() -> None:
    """What happened before, during and after, in order and in words; attempts in a row are one moment."""
    span = session()
    attempts = [
        each
        for t in (502, 504, 508)
        for each in (told(t - 1, "connecting", span, attempt=t), lost(t, span, "connect_refused"))
    ]
    events = [
        told(400, "gap", span, symbol="OLD", stream="s", first=1, last=2, reason="expired"),
        told(470, "high_latency", span, p95_ms=120.0),
        missed(490, span),
        degraded(490, span, "DEGRADED"),
        lost(500, span, silent_for=18.0, blame="PATH_DEAD"),
        *attempts,
        connected(510, span),
        told(511, "subscribed", span, symbol="A"),
        told(511, "subscribed", span, symbol="B"),
        told(515, "session", span, configuration={}),
        told(541, "gate", span, open=True),
    ]
    incident = only(span, *events)
    assert [(each.offset, each.phase, each.text) for each in incident.timeline] == [
        (-481, "before", "connected, for 481 s by then"),
        (-12, "before", "warning: p95 latency 120.0 ms is above 100 ms"),
        (0, "during", "the last sign of life"),
        (8, "during", "pong missed [PEER_SLOW: " + EXPLAINED),
        (8, "during", "CONNECTED -> DEGRADED"),
        (18, "during", "lost (pong_timeout): pong_timeout it was"),
        (20, "during", "3 attempts failed in 6 s: connect refused"),
        (28, "during", "connected"),
        (29, "after", "subscribed to A (and 1 more)"),
    ]
    assert [each.at for each in incident.timeline[:3]] == [MONDAY + 1, MONDAY + 470, MONDAY + 482]


EXPLAINED = "the peer sends data but answers no ping in time: it is overloaded, try another or ask for less]"


def test_timeline_stays_short() -> None:
    """A hundred things that happened are told in some twenty lines, and those left out are counted."""
    span = session()
    events = [told(440 + index, "alert", span, rule=f"r{index}", text="x") for index in range(100)]
    mixed = [told(440.5 + index, "overrun", span, dropped=index) for index in range(100)]
    timeline = only(span, *events, *mixed, lost(500, span, "reset"), connected(530, span)).timeline
    assert len(timeline) <= 21
    assert [each.text for each in timeline if each.text.endswith(" more")] == ["116 more", "55 more", "16 more"]
    assert [each.at for each in timeline] == sorted(each.at for each in timeline)


@pytest.mark.parametrize(
    ("event", "fields", "words"),
    [
        ("pong_late", {"ping": 1, "rtt_ms": 3500.0, "blame": None}, "late pong after 3500.0 ms"),
        ("state", {"from": "CONNECTED", "to": "DEGRADED", "missed_pongs": 1}, "CONNECTED -> DEGRADED"),
        ("state", {"from": "NEW", "to": "NEWER", "missed_pongs": 1}, "state: from NEW, to NEWER, missed_pongs 1"),
        ("suspect", {"suspect": True, "blame": None}, "suspect: an answer is overdue"),
        ("gate", {"open": False, "reasons": ["no data"], "codes": ["age"]}, "trading gate closed: no data"),
        ("alert", {"rule": "r", "text": "all is well", "recovery": True}, "recovered (r): all is well"),
        ("clock_jump", {"kind": "wall", "seconds": -3.0}, "the machine's clock was set by -3.0 s"),
        ("gave_up", {"attempts": [{"number": 1}]}, "gave up after 1 failed attempts"),
        ("gave_up", {}, "gave up"),
        ("lost", {"cause": "reset", "detail": "bad \x1b[31m"}, "lost (reset): bad \\x1b[31m"),
        ("lost", {"cause": 5}, "lost: cause 5"),
        ("of_tomorrow", {"x": 1, "y": None}, "of_tomorrow: x 1"),
        ("line_added", {"name": "b", "line_endpoint": "tcp://b:1"}, "b joins: tcp://b:1"),
        ("ping_voided", {"local_ms": "many"}, "ping_voided: local_ms many"),
    ],
)
def test_sentences(event: str, fields: dict[str, object], words: str) -> None:
    """The words of `watch`; a record that nobody understands is shown as it is, and harmless to a terminal."""
    assert sentence(told(0, event, session(), fields)) == words


JOURNALED = [each[:2] for each in EXPECTED if not isinstance(each[0], PongReceived | EventsDropped | SourceEvent)]


@pytest.mark.parametrize(("event", "words"), JOURNALED)
def test_words_are_those_of_watch(event: Event, words: str) -> None:
    """Of every event that a session's journal keeps; of giving up, without the attempts, which were told."""
    described = jsonlines.describe(event)
    assert described is not None
    name, fields = described

    assert sentence(told(1.0, name, session(), fields)) == words.partition(":\n")[0]


def test_no_field_is_trusted() -> None:
    """Fields of any kind: no traceback, and no figure that is none."""
    span = session()
    strange = [[1], {"a": 1}, "x", -5, 1e400, 10**400, None, True]
    events = [
        told(
            100 + index,
            event,
            span,
            dict.fromkeys(("seconds", "blame", "evidence", "cause", "detail", "to", "suspect"), value),
        )
        for index, value in enumerate(strange)
        for event in ("lost", "local_stall", "clock_jump", "state", "suspect", "pong_missed", "connected", "gave_up")
    ]
    incidents = worst_incidents(journals([span], [*begin(span), *events]), 100)
    assert incidents
    for incident in incidents:
        assert 0 <= incident.duration <= 1000
        assert incident.cause in ("unknown", "x", "degraded")
