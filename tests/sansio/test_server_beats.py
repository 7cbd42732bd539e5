"""A server that is to beat and does not: noticed in time, and never wrongly."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from heartbeat_trio.config import BeatPolicy
from heartbeat_trio.events import Cause, Evidence
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.sansio.server_beats import ServerBeats

POLICY = BeatPolicy(period=5, misses=3, grace=3)


def run_until(beats: ServerBeats, now: float) -> list[tuple[float, int]]:
    """Let the timer run; when beats were missed, and how many by then."""
    missed: list[tuple[float, int]] = []
    while beats.next_deadline() <= now:
        at = beats.next_deadline()
        missed += [(each.at, each.missed) for each in beats.handle_timer(at)]
    return missed


def test_a_silent_server_is_dead_at_the_bound() -> None:
    """Exactly `misses * period + grace` after its last beat; each miss is told when it is due."""
    beats = ServerBeats(POLICY, now=0.0)
    for now in (0.5, 5.5, 10.5):
        assert [] == run_until(beats, now)
        beats.receive_beat(now)
    assert [(18.5, 1), (23.5, 2), (28.5, 3)] == run_until(beats, 1000)
    assert beats.is_over
    assert 18.0 == POLICY.bound == beats.silent_for(28.5)
    assert inf == beats.next_deadline()
    beats.receive_beat(29.0)
    assert beats.is_over
    assert "DEAD" in repr(beats)


def test_data_alone_keeps_it_for_a_time() -> None:
    """A minute without a beat is enough whatever else comes; silence in between is enough sooner."""
    busy, quiet = ServerBeats(POLICY, now=0.0), ServerBeats(POLICY, now=0.0)
    for second in range(1, 60):
        run_until(busy, second)
        busy.receive_data(second)
        assert not busy.is_over
    run_until(busy, 60)
    assert busy.is_over
    quiet.receive_data(20.0 - 1e-9)
    assert [(8.0, 1), (13.0, 2), (18.0, 3)] == run_until(quiet, 30)
    assert not quiet.is_over
    quiet.receive_data(30.0)
    run_until(quiet, 47.9)
    assert not quiet.is_over
    run_until(quiet, 48.0)
    assert quiet.is_over


def test_where_data_is_as_good_as_a_beat() -> None:
    """Only silence counts."""
    beats = ServerBeats(BeatPolicy(period=30, misses=2, grace=5, data_counts=True), now=0.0)
    for minute in range(1, 100):
        beats.receive_data(20.0 * minute)
        assert [] == run_until(beats, 20.0 * minute)
    assert [(1980.0 + 35, 1), (1980.0 + 65, 2)] == run_until(beats, 5000)
    assert beats.is_over


def test_nothing_is_due_before_a_subscription() -> None:
    """... or before a first beat, where data is none."""
    policy = BeatPolicy(period=1, misses=7, grace=3, needs_subscription=True, data_counts=True)
    beats = ServerBeats(policy, now=0.0)
    beats.receive_data(50.0)
    assert [] == run_until(beats, 1000)
    beats.subscribed(1000.0)
    beats.subscribed(1001.0)
    assert 1004.0 == beats.next_deadline()
    early = ServerBeats(policy, now=0.0)
    early.receive_beat(5.0)
    assert 9.0 == early.next_deadline()
    for each in (beats, early, ServerBeats(policy, now=0.0), ServerBeats(POLICY, now=0.0)):
        each.close()
        assert inf == each.next_deadline()
        assert not each.is_over


def test_beats_that_were_lost_on_the_way() -> None:
    """A counter that jumps tells of them; one that begins anew does not."""
    beats = ServerBeats(POLICY, now=0.0)
    for counter in (10, 11, 14, 14, 2, 3):
        beats.receive_beat(1.0, counter)
    assert 2 == beats.skipped


def test_accusation_and_blame() -> None:
    """Before a verdict it says what to gather evidence about; the evidence stands in the event."""
    beats = ServerBeats(POLICY, now=0.0)
    assert beats.accused(7.9) is None
    accused = beats.accused(8.0)
    assert accused is not None
    assert (5.0, 3) == (accused.due, accused.timeout)
    evidence = Evidence(age=3.0, timeout=3.0, silent_for=8.0)
    [missed] = beats.handle_timer(8.0, evidence)
    assert missed.evidence is evidence
    assert Cause.PEER_SILENT is missed.blame
    assert 8.0 == missed.silent_for


def test_a_very_late_timer_tells_the_latest_count_once() -> None:
    """After a long sleep of our own there is one event, and the verdict."""
    beats = ServerBeats(POLICY, now=0.0)
    assert [3] == [each.missed for each in beats.handle_timer(100.0)]
    assert beats.is_over


@pytest.mark.parametrize("field", ["period", "misses", "grace", "max_beatless"])
def test_impossible_policies(field: str) -> None:
    """Each names its field."""
    values: dict[str, Any] = {"period": 1, field: -1}
    with pytest.raises(ConfigError, match=rf"BeatPolicy\.{field} = -1"):
        BeatPolicy(**values)


class BeatsMachine(RuleBasedStateMachine):
    """Any order of beats, data, subscriptions and time: dead if and only if it was silent, or beatless, for too long."""

    @initialize(
        misses=st.integers(1, 4),
        grace=st.floats(0, 4),
        needs=st.booleans(),
        counts=st.booleans(),
        beatless=st.floats(1, 100),
    )
    def begin(self, misses: int, grace: float, needs: bool, counts: bool, beatless: float) -> None:
        self.policy = BeatPolicy(
            period=5, misses=misses, grace=grace, needs_subscription=needs, data_counts=counts, max_beatless=beatless
        )
        self.now = 100.0
        self.is_armed = not needs
        self.last_beat = self.last_byte = self.now
        self.is_dead = False
        self.beats = ServerBeats(self.policy, now=self.now)

    @rule(seconds=st.floats(0.001, 30))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.beats.next_deadline() <= until:
            self.now = self.beats.next_deadline()
            self.beats.handle_timer(self.now)
            self.is_dead = self.is_dead or self.beats.is_over
            if self.beats.is_over:
                silent, beatless = self.now - self.last_byte, self.now - self.last_beat
                limit = max(self.policy.bound, self.policy.max_beatless)
                assert silent >= self.policy.bound - 1e-6 or beatless >= limit - 1e-6
        self.now = until

    @rule()
    def beat(self) -> None:
        self.beats.receive_beat(self.now)
        if not self.is_dead:
            self.is_armed = True
            self.last_beat = self.last_byte = self.now

    @rule()
    def data(self) -> None:
        self.beats.receive_data(self.now)
        if not self.is_dead:
            self.last_byte = self.now
            if self.policy.data_counts and self.is_armed:
                self.last_beat = self.now

    @rule()
    def subscription(self) -> None:
        self.beats.subscribed(self.now)
        if not self.is_armed:
            self.is_armed = True
            self.last_beat = self.last_byte = self.now

    @rule()
    def a_spurious_call(self) -> None:
        if self.now < self.beats.next_deadline():
            assert [] == self.beats.handle_timer(self.now)

    @invariant()
    def silence_is_noticed(self) -> None:
        if not hasattr(self, "beats") or not self.is_armed:
            return
        silent, beatless = self.now - self.last_byte, self.now - self.last_beat
        limit = max(self.policy.bound, self.policy.max_beatless)
        if silent > self.policy.bound + 1e-6 or beatless > limit + 1e-6:
            assert self.is_dead
        assert self.beats.is_over is self.is_dead
        assert 0 <= self.beats.missed <= self.policy.misses


TestBeats = BeatsMachine.TestCase
TestBeats.settings = settings(max_examples=150, stateful_step_count=30)
