"""Every ping has exactly one fate, and a silent peer is called dead in time: no sooner, no later."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import (
    Cause,
    ConnectionState,
    Event,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    StateChanged,
)
from heartbeat_trio.sansio.heartbeat import Heartbeat
from heartbeat_trio.sansio.pings import REMEMBERED, TRANSITIONS, Fate, Happening, SendPing

CLASSIC = HeartbeatPolicy()


class Driver:
    """A shell without I/O: keeps time, hands every ping over at once, and remembers nonces and decisions."""

    def __init__(self, policy: HeartbeatPolicy = CLASSIC, *, seed: int = 0, remembered: int = REMEMBERED) -> None:
        self.now = 1000.0
        self.heartbeat = Heartbeat(policy, now=self.now, rng=Random(seed), remembered=remembered)
        self.nonces: list[bytes] = []
        self.sent_at: list[float] = []
        self.decisions: list[Event | SendPing] = []
        self.hand_over = True

    def run_until(self, when: float) -> list[Event | SendPing]:
        """Let time pass, waking up exactly at every deadline."""
        done: list[Event | SendPing] = []
        while self.heartbeat.next_deadline() <= when:
            self.now = max(self.now, self.heartbeat.next_deadline())
            done += self.wake()
        self.now = max(self.now, when)
        return done

    def wake(self) -> list[Event | SendPing]:
        decisions = self.heartbeat.handle_timer(self.now)
        for decision in decisions:
            if isinstance(decision, SendPing):
                self.nonces.append(decision.nonce)
                self.sent_at.append(self.now)
                if self.hand_over:
                    self.heartbeat.ping_sent(decision.nonce, self.now)
        self.decisions += decisions
        return decisions

    def pong(self, number: int) -> list[Event]:
        events = self.heartbeat.receive_pong(self.nonces[number], self.now)
        self.decisions += events
        return events

    def until_lost(self) -> float:
        """Nothing comes any more: the time at which the peer is called dead."""
        while not self.heartbeat.is_over:
            self.run_until(self.heartbeat.next_deadline())
        return self.now


def test_first_ping_is_due_at_once_and_the_schedule_is_absolute() -> None:
    """The first ping at once, the second half an interval to a whole one later, then exactly every interval."""
    driver = Driver()

    driver.run_until(1060)

    first, second, *others = driver.sent_at
    assert first == 1000
    assert 1002.5 <= second <= 1005
    assert [second + 5 * k for k in range(1, len(others) + 1)] == others


def test_connections_opened_together_do_not_beat_in_step() -> None:
    """Another seed, another phase."""
    phases = set()
    for seed in range(20):
        driver = Driver(seed=seed)
        driver.run_until(1006)
        phases.add(driver.sent_at[1])

    assert len(phases) == 20


def test_pong_in_time_is_measured_from_the_hand_over() -> None:
    """The round trip begins when the bytes leave, not at the tick."""
    driver = Driver()
    driver.hand_over = False
    driver.run_until(1000)
    driver.heartbeat.ping_sent(driver.nonces[0], 1000.5)
    driver.heartbeat.ping_sent(driver.nonces[0], 1000.75)  # a second hand-over changes nothing
    driver.now = 1001.0

    assert [PongReceived(at=1001.0, ping=1, rtt=0.5)] == driver.pong(0)
    assert driver.heartbeat.count(Fate.ANSWERED) == 1


def test_pong_exactly_at_the_deadline_is_in_time() -> None:
    """The deadline itself still belongs to the ping."""
    driver = Driver()
    driver.run_until(1000)
    driver.now = 1003.0

    assert [PongReceived(at=1003.0, ping=1, rtt=3.0)] == driver.pong(0)


def test_missed_then_late() -> None:
    """A late pong moves its ping from missed to late, ends the streak, and tells its true time."""
    driver = Driver(HeartbeatPolicy(ping_interval=5, pong_timeout=2))
    missed = driver.run_until(1002)
    assert missed[-2:] == [
        PongMissed(at=1002.0, ping=1, missed=1),
        StateChanged(at=1002.0, old=ConnectionState.CONNECTED, new=ConnectionState.DEGRADED, missed_pongs=1),
    ]
    driver.now = 1002.25

    late = driver.pong(0)

    assert late == [
        PongLate(at=1002.25, ping=1, rtt=2.25),
        StateChanged(at=1002.25, old=ConnectionState.DEGRADED, new=ConnectionState.CONNECTED, missed_pongs=0),
    ]
    assert (0, 1) == (driver.heartbeat.count(Fate.MISSED), driver.heartbeat.count(Fate.LATE))


def test_a_pong_found_too_late_voids_the_older_pings_whose_time_was_over() -> None:
    """They were answered all the same, and so were those that still had time."""
    driver = Driver(HeartbeatPolicy(ping_interval=1, pong_timeout=3))
    driver.run_until(1002.9)
    driver.now = 1003.1

    *older, newest = driver.pong(len(driver.nonces) - 1)
    assert PongVoided(at=1003.1, ping=1, is_answered=True) == older[0]
    assert {PongReceived} == {type(event) for event in [*older[1:], newest]}


def test_pong_found_while_catching_up_voids_its_ping() -> None:
    """After the deadline, but before anybody called it missed: the delay was ours."""
    driver = Driver()
    driver.run_until(1000)
    driver.now = 1003.5
    assert driver.heartbeat.accused(driver.now) is not None

    assert [PongVoided(at=1003.5, ping=1, is_answered=True)] == driver.pong(0)
    assert driver.heartbeat.accused(driver.now) is None
    assert driver.heartbeat.count(Fate.VOIDED) == 1


def test_a_pong_acknowledges_older_pings_without_a_measurement() -> None:
    """Older pings in time are answered, those called missed are late; neither has a round-trip time (RFC 6455 §5.5.3)."""
    driver = Driver(HeartbeatPolicy(ping_interval=1, pong_timeout=2.2, max_missed_pongs=9))
    driver.run_until(1002.6)
    last = len(driver.nonces) - 1

    late, *in_time, matched, _state = driver.pong(last)

    assert late == PongLate(at=1002.6, ping=1, rtt=None)
    assert in_time == [PongReceived(at=1002.6, ping=number, rtt=None) for number in range(2, last + 1)]
    assert matched == PongReceived(at=1002.6, ping=last + 1, rtt=1002.6 - driver.sent_at[last])
    assert driver.heartbeat.in_flight == 0


def test_bare_pong_answers_the_oldest_sent_ping() -> None:
    """TCP keeps order, so a pong without a nonce belongs to the oldest unanswered ping, missed ones included."""
    driver = Driver(HeartbeatPolicy(ping_interval=5, pong_timeout=3))
    driver.run_until(1005)
    assert len(driver.nonces) == 2

    events = driver.heartbeat.receive_pong(b"", driver.now)

    assert isinstance(events[0], PongLate)
    assert events[0].rtt == driver.now - 1000
    assert driver.heartbeat.in_flight == 1


@pytest.mark.parametrize("nonce", [b"", b"stranger"])
def test_surplus_pongs_change_nothing(nonce: bytes) -> None:
    """Thirteen pongs that nobody asked for are counted, and leave every deadline where it was."""
    driver = Driver()
    driver.run_until(1000)
    driver.now = 1000.1
    driver.pong(0)
    before = driver.heartbeat.next_deadline()

    for _ in range(13):
        assert driver.heartbeat.receive_pong(nonce, driver.now) == []

    assert driver.heartbeat.unknown_pongs == 13
    assert before == driver.heartbeat.next_deadline()
    lost = driver.until_lost()
    assert 13 <= lost - 1000.1 <= 18


def test_pong_for_a_ping_that_has_not_left_is_unknown() -> None:
    """Nobody can answer what was not sent: no round trip of 0, and no sign of life."""
    driver = Driver()
    driver.hand_over = False
    driver.run_until(1000)

    assert driver.pong(0) == []
    assert driver.heartbeat.receive_pong(b"", driver.now) == []
    assert driver.heartbeat.unknown_pongs == 2


def test_data_keeps_alive_but_does_not_hide_missing_pongs() -> None:
    """With quotes flowing the peer is degraded, not dead, until it has not ponged for `max_pongless` seconds."""
    driver = Driver()
    driver.run_until(1000)
    driver.pong(0)
    while not driver.heartbeat.is_over:
        driver.run_until(driver.now + 0.5)
        driver.heartbeat.receive_data(driver.now)

    assert driver.heartbeat.missed_pongs >= 11
    assert 1060 <= driver.now <= 1060 + 5 + 3
    assert Cause.PEER_SLOW is driver.heartbeat.blame


def test_rare_pings_are_not_called_pongless_at_the_first_miss() -> None:
    """Where three pings take longer than `max_pongless`, nothing is decided before them: it is no other rule's business."""
    policy = HeartbeatPolicy(ping_interval=400, pong_timeout=10, max_missed_pongs=3)
    driver = Driver(policy)
    driver.run_until(1000)
    driver.pong(0)
    while not driver.heartbeat.is_over:
        driver.run_until(driver.now + 1)

    assert driver.heartbeat.missed_pongs == 3
    assert driver.now <= 1000 + policy.bound + 1
    assert driver.heartbeat.blame is not Cause.PEER_SLOW


def test_pong_only_ignores_data() -> None:
    """Under `pong_only` data is no sign of life."""
    driver = Driver(HeartbeatPolicy(liveness="pong_only"))
    driver.run_until(1000)
    driver.pong(0)
    while not driver.heartbeat.is_over:
        driver.run_until(driver.now + 0.5)
        driver.heartbeat.receive_data(driver.now)

    assert 1013 <= driver.now <= 1018


def test_a_late_wake_up_moves_the_deadline_with_it() -> None:
    """A ping that we send late has its full time from then on: our own stall must not make it missed."""
    driver = Driver()
    driver.run_until(1000)
    driver.pong(0)
    tick = driver.heartbeat.next_deadline()
    driver.now = tick + 0.5  # less than a quarter of the interval: the schedule stays
    driver.wake()
    driver.now = tick + 3.4

    assert driver.heartbeat.handle_timer(driver.now) == []
    assert tick + 3.5 == driver.heartbeat.next_deadline()
    driver.pong(1)
    assert tick + 5 == driver.heartbeat.next_deadline()


def test_a_stall_between_tick_and_hand_over_moves_the_deadline() -> None:
    """The ping left only after its deadline, while we caught up: it has its full time from then on, once."""
    driver = Driver()
    driver.hand_over = False
    driver.run_until(1000)
    driver.now = 1003.5
    driver.heartbeat.ping_sent(driver.nonces[0], 1003.5)

    assert driver.heartbeat.handle_timer(1003.5) == []
    driver.run_until(1006.4)
    assert driver.heartbeat.count(Fate.MISSED) == 0
    driver.run_until(1006.5)
    assert driver.heartbeat.count(Fate.MISSED) == 1


def test_a_long_stall_skips_ticks_and_moves_the_schedule() -> None:
    """Missed ticks are skipped, never repeated in a burst; and a program's connections do not beat in step afterwards."""
    nexts = set()
    for seed in range(20):
        driver = Driver(seed=seed)
        driver.run_until(1000)
        driver.pong(0)
        driver.now = 1033.0
        assert [SendPing] == [type(decision) for decision in driver.wake()]
        driver.pong(1)
        nexts.add(driver.heartbeat.next_deadline())

    assert len(nexts) == 20
    assert 1037 <= min(nexts) < max(nexts) <= 1038  # sooner, never later: the bound holds


@pytest.mark.parametrize("stall", [1.3, 2.0, 4.0, 9.0])
def test_a_peer_that_dies_after_our_stall_is_found_within_the_bound(stall: float) -> None:
    """It answered right after the stall, and never again."""
    for seed in range(20):
        driver = Driver(seed=seed)
        driver.run_until(1004.9)
        driver.pong(len(driver.nonces) - 1)
        driver.now += stall
        driver.wake()
        driver.now += 0.01
        died_at = driver.now
        driver.pong(len(driver.nonces) - 1)

        assert driver.until_lost() - died_at <= CLASSIC.bound


def test_tutorial_memory_is_bounded_by_the_misses() -> None:
    """Where pongs carry no nonce, an old unanswered ping is forgotten, or it would take each later pong for its own."""
    driver = Driver(HeartbeatPolicy(max_missed_pongs=3), remembered=3)
    while len(driver.nonces) < 8:
        driver.run_until(driver.now + 1)
        driver.heartbeat.receive_data(driver.now)
    oldest = driver.sent_at[-3]

    [late, *_] = driver.heartbeat.receive_pong(b"", driver.now)

    assert late == PongLate(at=driver.now, ping=6, rtt=driver.now - oldest)


def test_in_flight_pings_are_never_forgotten() -> None:
    """With a timeout longer than the interval, every ping in flight keeps its place."""
    driver = Driver(HeartbeatPolicy(ping_interval=1, pong_timeout=10, max_missed_pongs=3), remembered=3)

    driver.run_until(1008)

    assert driver.heartbeat.in_flight == len(driver.nonces) >= 8


def test_close_cancels_what_is_in_flight() -> None:
    """After the end nothing is open, nothing is due, and pongs are strangers."""
    driver = Driver()
    driver.run_until(1000)

    events = driver.heartbeat.close(1001)

    gone = StateChanged(at=1001, old=ConnectionState.CONNECTED, new=ConnectionState.DISCONNECTED, missed_pongs=0)
    assert [gone] == events
    assert driver.heartbeat.close(1002) == []
    assert driver.heartbeat.count(Fate.CANCELLED) == 1
    assert math.inf == driver.heartbeat.next_deadline()
    assert driver.heartbeat.handle_timer(1100) == []
    assert driver.heartbeat.receive_pong(driver.nonces[0], 1002) == []
    driver.heartbeat.ping_sent(driver.nonces[0], 1002)  # comes too late, and changes nothing


def test_missed_pings_are_forgotten_at_close() -> None:
    """A missed ping stays missed when the connection ends."""
    driver = Driver()
    driver.run_until(1003)
    driver.heartbeat.close(1004)

    assert (1, 0) == (driver.heartbeat.count(Fate.MISSED), driver.heartbeat.in_flight)


def test_tells_how_long_it_has_been_silent() -> None:
    """Since the last byte that counted; the birth counts as one."""
    driver = Driver()
    assert driver.heartbeat.silent_for(1004.0) == 4.0
    driver.heartbeat.receive_data(1003.0)
    assert driver.heartbeat.silent_for(1004.0) == 1.0


def test_repr_tells_the_state() -> None:
    """Whoever debugs sees what it is at."""
    assert "<Heartbeat CONNECTED sent=0 in_flight=0 missed_pongs=0>" == repr(Driver().heartbeat)


def test_only_listed_moves_exist() -> None:
    """Final fates have no way out, and each open one has a way for its deadline, its pong and its end."""
    assert {Fate.IN_FLIGHT, Fate.MISSED} == {fate for fate, _ in TRANSITIONS}
    assert {happening for fate, happening in TRANSITIONS if fate is Fate.IN_FLIGHT} == set(Happening)


@settings(max_examples=1000, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    crash=st.floats(0, 60),
    rtt=st.floats(0.001, 0.5),
    quotes=st.sampled_from([0.0, 0.3, 2.0]),
)
def test_silent_peer_is_lost_within_the_bound(seed: int, crash: float, rtt: float, quotes: float) -> None:
    """5/3/3: between 13 s less one round trip and 18 s after the last byte, whatever the phase of the crash."""
    driver = Driver(seed=seed)
    last_byte = driver.now
    answered = 0
    next_quote = driver.now + quotes
    end = driver.now + crash
    while True:
        pong_due = driver.sent_at[answered] + rtt if answered < len(driver.sent_at) else math.inf
        due = min(pong_due, next_quote if quotes else math.inf, driver.heartbeat.next_deadline())
        if due > end:
            break
        if due == pong_due:
            driver.now = due
            driver.pong(answered)
            answered += 1
            last_byte = due
        elif due == next_quote and quotes:
            driver.now = due
            driver.heartbeat.receive_data(due)
            next_quote += quotes
            last_byte = due
        else:
            driver.run_until(due)

    silence = driver.until_lost() - last_byte

    assert silence <= 18.0 + 1e-9
    if last_byte > 1005:
        assert 13.0 - rtt - 1e-9 <= silence


class HeartbeatMachine(RuleBasedStateMachine):
    """Random life against a model that keeps one fate per ping in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        policy = HeartbeatPolicy(ping_interval=2, pong_timeout=3.5, max_missed_pongs=3, max_pongless=30)
        self.driver = Driver(policy)
        self.fates: list[str] = []
        self.deadlines: list[float] = []
        self.unknown = 0
        self.streak = 0
        self.last_life = self.driver.now

    def _learn(self, decisions: list[Event | SendPing]) -> None:
        for decision in decisions:
            if isinstance(decision, SendPing):
                self.fates.append("in_flight")
                self.deadlines.append(self.driver.now + 3.5)
            elif isinstance(decision, PongMissed):
                oldest = self.fates.index("in_flight")
                assert self.deadlines[oldest] <= self.driver.now
                self.fates[oldest] = "missed"
                self.streak += 1
                assert self.streak == decision.missed

    @rule(seconds=st.floats(0, 9))
    def time_passes(self, seconds: float) -> None:
        until = self.driver.now + seconds
        while self.driver.heartbeat.next_deadline() <= until:
            self.driver.now = max(self.driver.now, self.driver.heartbeat.next_deadline())
            self._learn(self.driver.wake())
        self.driver.now = until

    @rule(seconds=st.floats(0.01, 9), caught_up=st.booleans())
    def we_stall(self, seconds: float, caught_up: bool) -> None:
        """Nobody calls the machine; the timer comes late, or something else comes first."""
        self.driver.now += seconds
        if caught_up:
            self._learn(self.driver.wake())

    @precondition(lambda self: self.fates)
    @rule(data=st.data())
    def pong(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.fates) - 1))
        open_fate = self.fates[number] in ("in_flight", "missed")
        if not open_fate or self.driver.heartbeat.is_over or number < len(self.fates) - REMEMBERED:
            self.unknown += 1
            assert self.driver.pong(number) == []
            return
        events = self.driver.pong(number)
        expected = []
        for each in range(number + 1):
            if self.fates[each] in ("in_flight", "missed"):
                in_time = self.driver.now <= self.deadlines[each]
                late = "late" if self.fates[each] == "missed" else "voided"
                self.fates[each] = "answered" if in_time else late
                expected.append({"answered": PongReceived, "late": PongLate, "voided": PongVoided}[self.fates[each]])
        assert expected == [type(event) for event in events if not isinstance(event, StateChanged)]
        self.streak = 0
        self.last_life = self.driver.now
        assert self.driver.heartbeat.state is ConnectionState.CONNECTED

    @rule(nonce=st.sampled_from([b"unknown1", b"\0"]))
    def stray_pong(self, nonce: bytes) -> None:
        self.unknown += 1
        assert self.driver.heartbeat.receive_pong(nonce, self.driver.now) == []

    @rule()
    def data(self) -> None:
        self.driver.heartbeat.receive_data(self.driver.now)
        self.last_life = self.driver.now

    @precondition(lambda self: not self.driver.heartbeat.is_over)
    @rule()
    def connection_ends(self) -> None:
        self.driver.heartbeat.close(self.driver.now)
        self.fates = ["cancelled" if fate == "in_flight" else fate for fate in self.fates]
        assert self.driver.heartbeat.is_over

    @invariant()
    def every_ping_has_one_fate(self) -> None:
        heartbeat = self.driver.heartbeat
        assert len(self.fates) == heartbeat.sent
        assert {fate.value: self.fates.count(fate.value) for fate in Fate} == {
            fate.value: heartbeat.count(fate) for fate in Fate
        }
        assert heartbeat.sent == sum(heartbeat.count(fate) for fate in Fate)
        assert self.unknown == heartbeat.unknown_pongs
        assert self.streak == heartbeat.missed_pongs

    @invariant()
    def nothing_is_due_after_the_end(self) -> None:
        heartbeat = self.driver.heartbeat
        if heartbeat.is_over:
            assert math.inf == heartbeat.next_deadline()


TestHeartbeatMachine = HeartbeatMachine.TestCase
TestHeartbeatMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
