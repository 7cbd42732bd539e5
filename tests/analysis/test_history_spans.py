"""What becomes of a session's time: connected, not connected, ours. All figures are reckoned by hand."""

from __future__ import annotations

from typing import Any

import pytest

from heartbeat_trio.analysis.spans import SessionTime, session_times
from heartbeat_trio.analysis.tables import Happening, SessionSpan
from tests.support.analysis import MONDAY, Quarter, journals, lost, session, told


def follow(span: SessionSpan, *happenings: Happening, quarters: tuple[Quarter, ...] = ()) -> SessionTime:
    (time,) = session_times(journals([span], happenings, quarters))
    return time


def seconds(time: SessionTime) -> tuple[float, float, float]:
    return time.seconds("up"), time.seconds("down"), time.seconds("ours")


def begin(span: SessionSpan, connected: float = 2.0) -> list[Happening]:
    return [told(0, "connecting", span, attempt=1), told(connected, "connected", span, connection=1)]


def test_outage_begins_with_the_last_sign_of_life() -> None:
    """Connected at 2, last heard of at 482, verdict at 500, connected again at 510: 20 + 8 + 2 seconds without."""
    span = session()
    time = follow(span, *begin(span), lost(500, span, silent_for=18.0), told(510, "connected", span, connection=2))
    assert seconds(time) == (970.0, 30.0, 0.0)
    (outage,) = time.outages
    assert (outage.begun, outage.verdict, outage.ended, outage.ended_by) == (482, 500, 510, "connected")


def test_peer_that_closes_was_heard_of_at_that_moment() -> None:
    """Its close, or its reset, is itself a sign of life, however long there was no data before."""
    span = session()
    closed = lost(500, span, "closed_by_peer", silent_for=4.0)
    time = follow(span, *begin(span), closed, told(510, "connected", span, connection=2))
    assert (time.outages[0].begun, seconds(time)) == (500, (988.0, 12.0, 0.0))


def test_reset_by_a_dead_path_happened_before_it_was_told() -> None:
    """A kernel that gave up after retransmissions in vain tells of a silence."""
    span = session()
    evidence = {"age": 20.0, "timeout": 30.0, "silent_for": 20.0, "unacknowledged": 2, "backoff": 5, "window": 1000}
    time = follow(span, *begin(span), lost(500, span, "reset", evidence=evidence))
    assert time.outages[0].begun == 480


def test_silence_is_not_longer_than_the_connection() -> None:
    """A connection without a single byte was lost when it began."""
    span = session()
    time = follow(span, *begin(span, 495.0), lost(500, span, silent_for=18.0))
    assert (time.outages[0].begun, seconds(time)) == (495, (0.0, 1000.0, 0.0))


def test_failed_attempts_belong_to_their_outage() -> None:
    """They prolong it and are counted by themselves."""
    span = session()
    attempts = [lost(t, span, "connect_refused") for t in (501, 503, 507)]
    time = follow(span, *begin(span), lost(500, span, "reset"), *attempts, told(510, "connected", span, connection=2))
    assert (len(time.outages), len(time.outages[0].failures), time.failed_connects) == (1, 3, 3)


def test_session_that_never_connected() -> None:
    """Its time is not connected; its outage has attempts, and no loss."""
    span = session(ended=100)
    time = follow(span, told(0, "connecting", span, attempt=1), lost(5, span, "connect_timeout"), lost(12, span, "dns"))
    (outage,) = time.outages
    assert seconds(time) == (0.0, 100.0, 0.0)
    assert (outage.loss, len(outage.failures), outage.begun, outage.ended, outage.ended_by) == (None, 2, 0, 100, None)


def test_owner_who_closes_loses_nothing() -> None:
    """The session ends there, whatever its last statistics say later."""
    span = session(ended=600.5)
    time = follow(span, *begin(span), told(600, "closed", span, connection=1))
    assert (seconds(time), time.outages, time.ended) == ((598.0, 2.0, 0.0), (), 600)


@pytest.mark.parametrize(("event", "ended_by"), [("closed", "closed"), ("gave_up", "gave_up"), ("gap", None)])
def test_outage_ends_with_its_session(event: str, ended_by: str | None) -> None:
    """Where nothing told of the end, nobody knows it."""
    span = session(ended=520)
    time = follow(span, *begin(span), lost(500, span, "reset"), told(520, event, span))
    assert (time.outages[0].ended, time.outages[0].ended_by) == (520, ended_by)


def test_stall_is_neither_up_nor_down() -> None:
    """Three seconds that end at 100 are ours; and of four at 501, one was connected time and three were outage."""
    span = session()
    stalls = [told(100, "local_stall", span, seconds=3.0), told(503, "local_stall", span, seconds=4.0)]
    lost_at = lost(500, span, "closed_by_peer", blame="PEER_SLOW")
    time = follow(span, *begin(span), stalls[0], lost_at, told(506, "connected", span, connection=2))
    assert seconds(time) == (989.0, 8.0, 3.0)
    time = follow(span, *begin(span), *stalls, lost(700, span, "reset"), told(706, "connected", span, connection=2))
    assert seconds(time) == (985.0, 8.0, 7.0)


def test_outage_of_our_own_making_is_ours_until_somebody_refuses() -> None:
    """A stall of 40 s cost the connection; after the first refusal at 505 the endpoint is to blame again."""
    span = session()
    stall = told(500, "local_stall", span, seconds=40.0)
    events = [
        stall,
        lost(500, span, "reset"),
        lost(505, span, "connect_refused"),
        told(520, "connected", span, connection=2),
    ]
    time = follow(span, *begin(span), *events)
    assert time.outages[0].is_ours
    assert seconds(time) == (458.0 + 480.0, 2.0 + 15.0, 45.0)


@pytest.mark.parametrize(
    ("fields", "is_ours"),
    [
        ({"blame": "LOCAL_STALL"}, True),
        ({"blame": "PEER_SILENT"}, False),
        ({"evidence": {"age": 3.0, "timeout": 3.0, "silent_for": 18.0, "loop_lag": 10.0}}, True),
        ({"evidence": {"age": 3.0, "timeout": 3.0, "silent_for": 18.0, "loop_lag": 0.5}}, False),
        ({"evidence": {"age": 3.0, "timeout": 3.0, "silent_for": 18.0, "loop_lag": 10.0}, "blame": "PATH_DEAD"}, False),
    ],
)
def test_whose_fault(fields: dict[str, Any], is_ours: bool) -> None:
    """What the verdict said, our loop's lag where it was long enough, and the kernel's word above it."""
    span = session()
    time = follow(span, *begin(span), lost(500, span, **fields))
    assert time.outages[0].is_ours is is_ours


@pytest.mark.parametrize(
    ("stall", "is_ours"), [((499.0, 2.0), True), ((495.0, 12.0), True), ((490.0, 2.0), False), ((499.0, 0.5), False)]
)
def test_stall_that_overlaps_the_detection(stall: tuple[float, float], is_ours: bool) -> None:
    """A verdict just after a stall, or a silence that was mostly a stall, is put down to ourselves; no more than that."""
    span = session()
    event = told(stall[0], "local_stall", span, seconds=stall[1])
    time = follow(span, *begin(span), event, lost(500, span, silent_for=18.0, blame="PEER_SILENT"))
    assert time.outages[0].is_ours is is_ours


def test_sleep_takes_none_of_the_programs_time() -> None:
    """The clock stood still: it is told apart, and what was lost over it is ours."""
    span = session()
    jump = told(400, "clock_jump", span, kind="suspend", seconds=3600.0, at=MONDAY + 4000)
    after = told(410, "connected", span, connection=2, at=MONDAY + 4010)
    time = follow(span, *begin(span), jump, lost(403, span, "reset", blame="PATH_DEAD", at=MONDAY + 4003), after)
    assert (time.slept, time.outages[0].is_ours) == (3600.0, True)
    assert seconds(time) == (401.0 + 590.0, 2.0, 7.0)


def test_clock_that_was_set_back_changes_labels_only() -> None:
    """Durations are the program's; labels are those of the clock as it was then."""
    span = session()
    jump = told(300, "clock_jump", span, kind="wall", seconds=-100.0, at=MONDAY + 200)
    events = [jump, lost(310, span, silent_for=18.0, at=MONDAY + 210), told(320, "connected", span, at=MONDAY + 220)]
    time = follow(span, *begin(span), *events)
    assert seconds(time) == (290.0 + 680.0, 2.0 + 28.0, 0.0)
    assert (time.labels.at(292), time.labels.at(320)) == (MONDAY + 292, MONDAY + 220)
    assert list(time.labels.pieces(290, 310)) == [(MONDAY + 290, MONDAY + 300), (MONDAY + 200, MONDAY + 210)]


def test_records_out_of_order() -> None:
    """The program's clock orders them."""
    span = session()
    events = [*begin(span), lost(500, span, "reset"), told(510, "connected", span, connection=2)]
    assert follow(span, *events[::-1]).stretches == follow(span, *events).stretches


def test_loss_at_time_zero() -> None:
    """A connection of no length is no time, but a loss."""
    span = session()
    events = [told(0, "connecting", span), told(0, "connected", span, connection=1), lost(0, span, "reset")]
    time = follow(span, *events, told(10, "connected", span, connection=2))
    assert (seconds(time), len(time.outages), time.outages[0].begun) == ((990.0, 10.0, 0.0), 1, 0)


def test_head_that_was_tidied_away_begins_at_the_first_record() -> None:
    """A missed pong proves that a connection stood; what was before is not known."""
    span = session()
    time = follow(span, told(400, "pong_missed", span, connection=7), lost(410, span, "reset"))
    assert (time.begun, seconds(time)) == (400, (10.0, 590.0, 0.0))


def test_head_without_any_record_is_known_by_its_answers() -> None:
    """Answered pings prove a connection, from the quarter of their first one on."""
    span = session(ended=3000)
    time = follow(span, told(0, "session", span), quarters=(Quarter(MONDAY + 900, {300: 5}),))
    assert (time.begun, seconds(time)) == (900, (2100.0, 0.0, 0.0))


def test_head_between_two_connections() -> None:
    """An attempt that is not the first of its session proves that there was no connection."""
    span = session()
    time = follow(span, told(400, "connecting", span, connection=3), told(410, "connected", span, connection=4))
    assert (time.begun, seconds(time)) == (400, (590.0, 10.0, 0.0))


def test_session_of_which_nothing_is_known() -> None:
    """Killed before it could connect: it was not connected."""
    assert seconds(follow(session(ended=5))) == (0.0, 5.0, 0.0)


def test_record_of_a_connection_that_was_dropped() -> None:
    """A loss with evidence is that of a connection, which began after its attempt did."""
    span = session()
    events = [
        told(0, "connecting", span),
        lost(5, span, "dns"),
        told(8, "connecting", span),
        lost(100, span, silent_for=18.0),
    ]
    time = follow(span, *events)
    assert seconds(time) == (74.0, 926.0, 0.0)
    assert [(each.loss is None, each.ended_by) for each in time.outages] == [(True, "connected"), (False, None)]


def test_record_of_a_loss_that_was_dropped() -> None:
    """An attempt proves that the connection has ended: no later than it began."""
    span = session()
    time = follow(
        span, *begin(span), told(500, "connecting", span, connection=1), told(510, "connected", span, connection=2)
    )
    assert (seconds(time), time.outages) == ((988.0, 12.0, 0.0), ())


@pytest.mark.parametrize("silent_for", ["long", -1.0, float("inf"), 10**400, True, [1], None])
def test_evidence_that_is_none(silent_for: object) -> None:
    """What is no duration is not believed."""
    span = session()
    time = follow(span, *begin(span), lost(500, span, evidence={"silent_for": silent_for}, blame=[1]))
    assert time.outages[0].begun == 500


def test_overlapping_sessions_to_one_endpoint() -> None:
    """Each has its own time: a rotation's two connections are two."""
    first, second = session("a", ended=600), session("b", begun=500, ended=1000)
    events = [*begin(first), told(500, "connecting", second), told(501, "connected", second, connection=1)]
    times = session_times(journals([first, second], [*events, told(600, "closed", first), lost(900, second, "reset")]))
    assert [seconds(each) for each in times] == [(598.0, 2.0, 0.0), (399.0, 101.0, 0.0)]
