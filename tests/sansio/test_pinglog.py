"""One record of each ping, complete, and a second one where a miss turned out to be late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import Cause, PingRecord
from heartbeat_trio.sansio.pinglog import REMEMBERED, PingLog


def test_a_record_waits_for_its_fate_and_for_the_next_ping() -> None:
    """So that it knows the first and the last byte of its time."""
    log = PingLog()
    log.receive(0.5)  # before any ping: nobody's
    log.ping(1, 1.0)
    log.sent(1, 1.25)
    log.receive(1.5)
    log.decide(1, "answered", rtt=0.25, is_exact=True)
    log.receive(2.0)
    assert [] == log.take()
    log.ping(2, 6.0)

    record = PingRecord(ping=1, at=1.0, sent_after=0.25, fate="answered", rtt=0.25, is_exact=True, first_in=0.5, last_in=1.0)
    assert [record] == log.take()
    assert [] == log.take()


def test_a_miss_that_turns_out_late_is_recorded_again() -> None:
    """With everything that was known of it."""
    log = PingLog()
    log.ping(1, 1.0)
    log.sent(1, 1.0)
    log.ping(2, 2.0)
    log.decide(1, "missed", blame=Cause.PEER_SILENT)
    log.receive(2.5)
    log.decide(1, "late", rtt=1.5, blame=Cause.PEER_SILENT)
    log.decide(1, "late", rtt=9.0)  # it is forgotten now

    missed, late = log.take()
    assert PingRecord(ping=1, at=1.0, sent_after=0.0, fate="missed", blame=Cause.PEER_SILENT) == missed
    assert PingRecord(ping=1, at=1.0, sent_after=0.0, fate="late", rtt=1.5, blame=Cause.PEER_SILENT) == late


def test_the_end_completes_every_record() -> None:
    """What has no fate was cancelled; what has one keeps it."""
    log = PingLog()
    log.ping(1, 1.0)
    log.ping(2, 2.0)
    log.decide(2, "voided", blame=Cause.LOCAL_STALL)
    log.close()
    log.receive(3.0)
    log.sent(1, 3.0)

    assert [(1, "cancelled"), (2, "voided")] == [(record.ping, record.fate) for record in log.take()]


def test_its_memory_is_bounded() -> None:
    """A miss of long ago cannot turn out late any more."""
    log = PingLog()
    for number in range(1, REMEMBERED + 3):
        log.ping(number, float(number))
        log.decide(number, "missed")
    log.take()
    log.decide(1, "late")
    assert [] == log.take()
    log.decide(2, "late")

    assert [2] == [record.ping for record in log.take()]


@given(st.lists(st.sampled_from(["ping", "in", "decide", "late"]), max_size=60))
def test_every_ping_is_recorded_once_as_what_it_became(steps: list[str]) -> None:
    """And once more if it was late; the times of inbound bytes never reach into the next ping's."""
    log, now, sent, missed = PingLog(), 0.0, 0, set[int]()
    for step in steps:
        now += 1.0
        if step == "ping":
            sent += 1
            log.ping(sent, now)
        elif step == "in":
            log.receive(now)
        elif sent and step == "decide" and sent not in missed:
            missed.add(sent)
            log.decide(sent, "missed")
        elif step == "late" and missed:
            log.decide(missed.pop(), "late")
    log.close()
    records = log.take()
    dues = {record.ping: record.at for record in records}

    assert set(range(1, sent + 1)) == set(dues)
    for record in records:
        following = dues.get(record.ping + 1, now + 1)
        assert record.last_in is None or record.first_in is not None
        assert record.at + (record.last_in or 0.0) < following
