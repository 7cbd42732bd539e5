"""When a line is replaced: by age, on request, by its state; never too often, and the old one stays if need be."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heartbeat_trio.policies import RotationPolicy
from heartbeat_trio.sansio.rotation import (
    DEGRADED,
    MAX_AGE,
    TRANSITIONS,
    Abandon,
    Finish,
    Rotation,
    RotationState,
    Start,
    Step,
)

RNG = Random(1)


class Middle(Random):
    """Draws the middle of every range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


MIDDLE = Middle()


def connected(policy: RotationPolicy | None = None) -> Rotation:
    rotation = Rotation(policy or RotationPolicy())
    rotation.connected(0.0, MIDDLE)
    return rotation


def test_nothing_to_do_without_a_reason() -> None:
    """No maximum age, no request, no trouble: no timer."""
    rotation = connected()
    assert inf == rotation.next_deadline()
    assert [] == rotation.handle_timer(1e9)
    for step in (rotation.new_lost, lambda: rotation.new_ready(1.0)):
        step()
    assert ([], []) == (rotation.ended(1.0), rotation.new_ended(1.0, ""))
    assert RotationState.STEADY is rotation.state


def test_before_the_maximum_age_and_again_by_the_new_lines_age() -> None:
    """Earlier by the margin; the next one counts from the new line's connection."""
    rotation = connected(RotationPolicy(max_age=1000, margin=0.1, jitter=0.05))
    assert 900 == rotation.next_deadline()
    assert [] == rotation.handle_timer(899.0)
    assert [Start(MAX_AGE, 900.0)] == rotation.handle_timer(900.0)
    rotation.new_connected(902.0, MIDDLE)
    assert 910 == rotation.next_deadline()
    rotation.new_ready(903.0)
    rotation.new_ready(903.5)
    assert [] == rotation.handle_timer(903.9)
    assert [Finish(MAX_AGE, 4.0)] == rotation.handle_timer(904.0)
    assert 902 + 900 == rotation.next_deadline()


def test_the_age_varies_within_the_jitter() -> None:
    """So that many lines do not rotate at once."""
    ages = []
    for seed in range(200):
        rotation = Rotation(RotationPolicy(max_age=1000, margin=0.1, jitter=0.05))
        rotation.connected(0.0, Random(seed))
        ages.append(rotation.next_deadline())
    assert (850 <= min(ages) < 860, 940 < max(ages) <= 950) == (True, True)


def test_a_request_is_served_at_once_and_only_once() -> None:
    """More of them while it is under way change nothing."""
    rotation = connected()
    rotation.request("goodbye")
    assert [Start("goodbye", 5.0)] == rotation.handle_timer(5.0)
    rotation.request("goodbye")
    rotation.new_connected(5.1, RNG)
    rotation.new_ready(5.2)
    assert [Finish("goodbye", 6.25 - 5.0)] == rotation.handle_timer(6.25)
    assert inf == rotation.next_deadline()


def test_a_new_line_that_is_to_end_as_well_is_replaced_in_its_turn() -> None:
    """What it was told while it was made is not forgotten; what an earlier connection of its was told, is."""
    rotation = connected()
    rotation.request("goodbye")
    rotation.handle_timer(5.0)
    rotation.new_connected(5.1, RNG)
    rotation.new_request("old news")
    rotation.new_lost()
    rotation.new_connected(6.0, RNG)
    rotation.new_request("notice")
    rotation.new_ready(6.0)
    assert [Finish("goodbye", 2.0)] == rotation.handle_timer(7.0)
    assert [Start("notice", 1.0)] == rotation.handle_timer(7.0)
    rotation.new_connected(7.0, RNG)
    rotation.new_ready(7.0)
    rotation.handle_timer(8.0)
    assert inf == rotation.next_deadline()


def test_a_line_without_a_connection_can_be_replaced_too() -> None:
    """Its age is not known."""
    rotation = Rotation(RotationPolicy())
    rotation.request("goodbye")
    assert [Start("goodbye", None)] == rotation.handle_timer(5.0)


@pytest.mark.parametrize(("misses", "due"), [(1, 15.0), (2, 5.0)])
def test_a_degraded_line_is_replaced(misses: int, due: float) -> None:
    """After two misses, or after ten seconds."""
    rotation = connected()
    rotation.degraded(5.0, misses)
    assert due == rotation.next_deadline()
    assert [Start(DEGRADED, due)] == rotation.handle_timer(due)


def test_a_line_that_recovers_is_not() -> None:
    """Nor one that is lost: it reconnects by itself."""
    rotation = connected()
    rotation.degraded(5.0, 1)
    rotation.degraded(9.0, 1)
    assert 15 == rotation.next_deadline()
    rotation.recovered()
    assert inf == rotation.next_deadline()
    rotation.degraded(20.0, 2)
    rotation.lost()
    rotation.degraded(20.0, 2)
    assert inf == rotation.next_deadline()
    rotation.connected(30.0, RNG)
    rotation.request("goodbye")
    rotation.recovered()
    assert rotation.next_deadline() < inf
    rotation.lost()
    assert inf == rotation.next_deadline()


def test_a_state_calls_for_it_once_in_a_while_only() -> None:
    """Not again before the new line was stable."""
    rotation = connected()
    rotation.degraded(5.0, 2)
    rotation.handle_timer(5.0)
    rotation.new_connected(5.0, RNG)
    rotation.new_ready(5.0)
    rotation.handle_timer(6.0)
    rotation.degraded(7.0, 2)
    assert 66 == rotation.next_deadline()


def test_a_new_line_that_cannot_be_had_is_tried_again_later() -> None:
    """What spoke for it still does."""
    rotation = connected()
    rotation.request("goodbye")
    rotation.handle_timer(5.0)
    assert [Abandon("goodbye", 3.0, "refused")] == rotation.new_ended(8.0, "refused")
    assert 68 == rotation.next_deadline()
    assert [Start("goodbye", 68.0)] == rotation.handle_timer(68.0)
    rotation.lost()
    rotation.connected(70.0, RNG)
    assert [Abandon("goodbye", 10.0, "it did not deliver within 10 s")] == rotation.handle_timer(78.0)
    assert inf == rotation.next_deadline()  # the old line has a new connection meanwhile


def test_a_new_line_that_is_lost_again_has_the_rest_of_its_time() -> None:
    """From its start, not from the loss; also during the overlap."""
    rotation = connected()
    rotation.degraded(5.0, 2)
    rotation.handle_timer(5.0)
    rotation.new_connected(6.0, RNG)
    rotation.new_ready(7.0)
    rotation.new_lost()
    assert 15 == rotation.next_deadline()
    rotation.new_ready(9.0)
    assert [Abandon(DEGRADED, 4.5, "gone")] == rotation.new_ended(9.5, "gone")
    assert 69.5 == rotation.next_deadline()


def test_the_new_line_takes_over_at_once_when_the_old_one_ends() -> None:
    """Ready or not: it is all there is."""
    rotation = connected()
    rotation.request("goodbye")
    rotation.handle_timer(5.0)
    assert [Finish("goodbye", 1.0)] == rotation.ended(6.0)


def test_never_more_often_than_the_intensity() -> None:
    """Whatever asks for it; what was recovered from meanwhile is dropped."""
    rotation = connected(RotationPolicy(intensity=1, period=100))
    rotation.request("goodbye")
    rotation.handle_timer(5.0)
    rotation.ended(6.0)
    rotation.request("goodbye")
    assert [] == rotation.handle_timer(7.0)
    assert 105 == rotation.next_deadline()
    assert [Start("goodbye", None)] == rotation.handle_timer(105.0)
    rotation.ended(106.0)
    rotation.connected(106.0, RNG)
    rotation.degraded(170.0, 2)
    assert [] == rotation.handle_timer(170.0)
    rotation.recovered()
    assert inf == rotation.next_deadline()


class RotationMachine(RuleBasedStateMachine):
    """A line and its replacements, with everything that may happen to them at any time."""

    @initialize(max_age=st.one_of(st.none(), st.floats(50, 500)), intensity=st.integers(1, 3))
    def begin(self, max_age: float | None, intensity: int) -> None:
        self.policy = RotationPolicy(max_age=max_age, intensity=intensity, period=300.0)
        self.rotation = Rotation(self.policy)
        self.rng = Random(1)
        self.now = 0.0
        self.is_started = False
        self.starts: list[float] = []
        self.finished_at = -inf
        self.is_up = False

    def perform(self, commands: list[Start | Finish | Abandon]) -> None:
        for command in commands:
            if isinstance(command, Start):
                assert not self.is_started
                self.starts.append(self.now)
                if command.reason == DEGRADED:
                    assert self.now - self.finished_at >= self.policy.stable_after - 1e-9
                if command.age is not None:
                    assert command.age >= 0
                    assert self.policy.max_age is None or command.age <= self.policy.max_age + 1e-6 or self.was_held_back()
            else:
                assert self.is_started
                assert 0 <= command.took <= self.policy.timeout + self.policy.overlap + 1e-6
                if isinstance(command, Finish):
                    self.finished_at = self.now
                    self.is_up = self.rotation._connected_at is not None
            self.is_started = isinstance(command, Start)

    def was_held_back(self) -> bool:
        return len(self.starts) > 1

    @rule(seconds=st.floats(0, 200))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.rotation.next_deadline() <= until:
            self.now = max(self.now, self.rotation.next_deadline())
            was_rotating = self.is_started
            self.perform(self.rotation.handle_timer(self.now))
            # Only a new line that took over just now may be due itself.
            assert self.rotation.next_deadline() > self.now or (was_rotating and not self.is_started)
        self.now = until

    @rule(misses=st.integers(1, 3))
    def degrade(self, misses: int) -> None:
        self.rotation.degraded(self.now, misses)

    @rule()
    def recover(self) -> None:
        self.rotation.recovered()

    @rule()
    def request(self) -> None:
        self.rotation.request("asked")

    @rule()
    def lose(self) -> None:
        self.rotation.lost()
        self.is_up = False

    @precondition(lambda self: not self.is_up)
    @rule()
    def connect(self) -> None:
        self.rotation.connected(self.now, self.rng)
        self.is_up = True

    @precondition(lambda self: self.is_started)
    @rule(is_ready=st.booleans())
    def new_connects(self, is_ready: bool) -> None:
        self.rotation.new_connected(self.now, self.rng)
        if is_ready:
            self.rotation.new_ready(self.now)

    @precondition(lambda self: self.is_started)
    @rule()
    def new_is_asked(self) -> None:
        self.rotation.new_request("asked")

    @precondition(lambda self: self.is_started)
    @rule(what=st.sampled_from(["lost", "ended", "old ended"]))
    def something_ends(self, what: str) -> None:
        if what == "lost":
            self.rotation.new_lost()
        elif what == "ended":
            self.perform(self.rotation.new_ended(self.now, ""))
            assert not self.is_started
        else:
            self.perform(self.rotation.ended(self.now))
            assert not self.is_started

    @invariant()
    def as_the_table_says(self) -> None:
        if hasattr(self, "rotation"):
            assert self.is_started == (self.rotation.state is not RotationState.STEADY)
            for first, one_too_many in zip(self.starts, self.starts[self.policy.intensity :], strict=False):
                assert one_too_many - first >= self.policy.period


TestRotationMachine = RotationMachine.TestCase
TestRotationMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_every_state_can_be_left() -> None:
    """No dead end in the table, and every step is used."""
    assert set(RotationState) == {state for state, _ in TRANSITIONS}
    assert set(Step) == {step for _, step in TRANSITIONS}
