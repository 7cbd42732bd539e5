"""The adaptive detector's ladder, its health, and how good it says it has been."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.sansio.detector import MAX_HEALTH, PATH_CHECK, AdaptiveDetector, DetectorRecord, Level

POLICY = HeartbeatPolicy(adaptive=True)


def detector(rtt: float | None = 0.01) -> AdaptiveDetector:
    """One that has seen a round trip: 0.5 s of patience."""
    made = AdaptiveDetector(POLICY)
    if rtt is not None:
        made.answered(rtt, is_ours=False)
    return made


def test_the_probe_timeout_is_clamped() -> None:
    """A second before any sample; then SRTT + 4 RTTVAR between half a second and one."""
    assert detector(None).pto == 1.0
    assert detector(0.01).pto == 0.5
    assert detector(0.2).pto == pytest.approx(0.2 + 4 * 0.1)
    assert detector(2.0).pto == 1.0


def test_the_ladder_takes_seven_timeouts() -> None:
    """Suspect after one, degraded after three, dead after seven."""
    made = detector()
    made.ping_sent(100.0)
    assert not made.has_expired(100.49)
    steps = []
    while made.level is not Level.DEAD:
        now = made.next_deadline()
        if made.must_check_path(now):
            made.check_path(now, is_dead=False)
            continue
        assert made.has_expired(now)
        assert made.expire(now)
        steps.append((now - 100.0, made.level))

    assert [(0.5, Level.SUSPECT), (1.5, Level.DEGRADED), (3.5, Level.DEAD)] == steps
    assert inf == made.next_deadline()


@pytest.mark.parametrize("expired", [1, 2])
def test_life_begins_anew(expired: int) -> None:
    """At any step; while an answer is still due, its time runs from the sign of life."""
    made = detector()
    made.ping_sent(100.0)
    for _ in range(expired):
        made.expire(101.0)

    assert made.live(102.0, is_waiting=True)
    assert (Level.TRUSTED, True) == (made.level, made.has_expired(102.5))
    assert not made.live(103.0, is_waiting=False)
    assert not made.has_expired(1e9)


def test_a_second_ping_does_not_restart_the_clock() -> None:
    """The first unanswered one counts."""
    made = detector()
    made.ping_sent(100.0)
    made.ping_sent(100.4)

    assert made.has_expired(100.5)


def test_a_dead_path_makes_suspect_at_once() -> None:
    """When the kernel is asked, 0.9 s after the first bytes that left; what left later has its turn after that."""
    made = detector()
    made.sent(100.0)
    made.sent(100.5)
    assert (100.0, 100.0 + PATH_CHECK) == (made.watched_since, made.next_deadline())
    assert made.must_check_path(100.9)

    assert made.check_path(100.9, is_dead=True)
    assert Level.SUSPECT is made.level
    assert (100.5, 100.5 + PATH_CHECK) == (made.watched_since, made.next_deadline())
    assert not made.check_path(101.4, is_dead=True)
    assert Level.SUSPECT is made.level
    assert 100.9 + 2 * 0.5 == made.next_deadline()


def test_a_path_that_lives_changes_nothing() -> None:
    """And is not asked again before something else is sent."""
    made = detector()
    made.sent(100.0)

    assert not made.check_path(100.9, is_dead=False)
    assert (Level.TRUSTED, inf) == (made.level, made.next_deadline())


def test_who_was_late_himself_waits_longer() -> None:
    """One more timeout for each stall of our own, up to eight; one less for each punctual answer."""
    made = detector()
    for _ in range(10):
        made.answered(0.01, is_ours=True)
    assert (MAX_HEALTH, 8 * 0.5) == (made.health, made.pto)
    for _ in range(10):
        made.answered(0.01, is_ours=False)
    assert (0, 0.5) == (made.health, made.pto)
    made.ping_sent(100.0)
    made.excuse(100.5)

    assert (1, Level.TRUSTED) == (made.health, made.level)
    assert made.has_expired(101.5)
    assert not made.has_expired(101.49)


def test_its_own_quality() -> None:
    """Mistakes, their length and distance, the part of the time in which it was right, and the detections."""
    record = DetectorRecord()
    assert (1.0, None, None, None) == (
        record.snapshot(0.0).query_accuracy,
        record.snapshot(0.0).mistake_duration,
        record.snapshot(0.0).mistake_recurrence,
        record.snapshot(0.0).detection_time,
    )
    record.connect(0.0)
    record.trust(1.0)  # nobody was suspected
    for begin, end in ((10.0, 12.0), (30.0, 34.0), (60.0, 63.0)):
        record.suspect(begin)
        record.suspect(begin + 1)  # degraded, after it was suspect
        record.trust(end)
    record.suspect(95.0)
    record.detect(98.0, silent_for=6.0)
    record.disconnect(100.0)
    record.disconnect(100.0)
    snapshot = record.snapshot(500.0)

    assert (3, 3.0, 25.0) == (snapshot.mistakes, snapshot.mistake_duration, snapshot.mistake_recurrence)
    assert (1, 6.0) == (snapshot.detections, snapshot.detection_time)
    assert snapshot.query_accuracy == pytest.approx(1 - 9 / 100)
    record.connect(500.0)
    assert record.snapshot(600.0).query_accuracy == pytest.approx(1 - 9 / 200)


class DetectorMachine(RuleBasedStateMachine):
    """The level against a model that counts expiries since the last life."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = detector()
        self.now = 100.0
        self.expired = 0

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.detector.next_deadline() <= until:
            self.now = max(self.now, self.detector.next_deadline())
            if self.detector.must_check_path(self.now):
                self.detector.check_path(self.now, is_dead=False)
            elif self.detector.has_expired(self.now):
                self.expired += self.detector.expire(self.now)
            assert self.detector.next_deadline() > self.now
        self.now = until

    @precondition(lambda self: self.expired < 3)
    @rule(is_waiting=st.booleans())
    def life(self, is_waiting: bool) -> None:
        assert self.detector.live(self.now, is_waiting=is_waiting) == (self.expired > 0)
        self.expired = 0

    @precondition(lambda self: self.expired < 3)
    @rule()
    def ping(self) -> None:
        self.detector.ping_sent(self.now)

    @rule(rtt=st.floats(0, 10), is_ours=st.booleans())
    def answer(self, rtt: float, is_ours: bool) -> None:
        self.detector.answered(rtt, is_ours=is_ours)
        assert 0.5 <= self.detector.pto <= 8.0

    @invariant()
    def the_level_is_the_number_of_expiries(self) -> None:
        levels = (Level.TRUSTED, Level.SUSPECT, Level.DEGRADED, Level.DEAD)
        assert levels[self.expired] is self.detector.level


TestDetectorMachine = DetectorMachine.TestCase
TestDetectorMachine.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
