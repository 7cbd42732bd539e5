"""Never more than the limit in any window, and never later than it must be."""

from __future__ import annotations

import sys
from fractions import Fraction
from math import inf, nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from heartbeat_trio.sansio.limits import Reservations, RollingLimit


def test_lets_the_limit_pass_and_then_waits() -> None:
    """The window rolls: the next one is allowed when the oldest has left it."""
    limit = RollingLimit(2, 10.0)

    assert [True, True, False] == [limit.try_acquire(now) for now in (0.0, 4.0, 9.0)]
    assert 10.0 == limit.next_allowed(9.0)
    assert limit.try_acquire(10.0)
    assert 14.0 == limit.next_allowed(10.0)


def test_rounding_lets_none_in_too_early() -> None:
    """0.7 + 0.1 rounds down to a moment that is less than 0.1 after 0.7: the next float is the first that will do."""
    limit = RollingLimit(1, 0.1)
    limit.record(0.7)

    assert 0.7 + 0.1 - 0.7 < 0.1
    assert not limit.try_acquire(0.7 + 0.1)
    assert nextafter(0.7 + 0.1, inf) == limit.next_allowed(0.7)
    assert limit.try_acquire(nextafter(0.7 + 0.1, inf))


def test_what_was_recorded_without_asking_counts() -> None:
    """The newest ones decide."""
    limit = RollingLimit(3, 1.0)
    for number in range(1000):
        limit.record(number * 0.001)

    assert 1.997 == pytest.approx(limit.next_allowed(1.0))


def test_memory_is_bounded_by_the_limit() -> None:
    """A thousand times a thousand events leave a thousand moments."""
    limit = RollingLimit(1000, 60.0)
    for number in range(1000):
        limit.record(float(number))
    full = sys.getsizeof(limit._times)
    for number in range(10_000):
        limit.record(1000.0 + number)

    assert 1000 == len(limit._times)
    assert full == pytest.approx(sys.getsizeof(limit._times), rel=0.2)


def test_room_is_left_for_those_who_do_not_ask() -> None:
    """And what is in the window now can be seen."""
    limit = RollingLimit(5, 10.0)
    for now in (0.0, 1.0, 2.0):
        assert now == limit.next_allowed(now, room=2)
        limit.record(now)
    assert (3, 5) == (limit.used(2.0), limit.limit)
    assert 10.0 == limit.next_allowed(3.0, room=2)
    assert 3.0 == limit.next_allowed(3.0)
    assert 12.0 == limit.next_allowed(3.0, room=4)
    assert 2 == limit.used(10.0)


def test_times_are_taken_in_turn_and_given_back() -> None:
    """Who gives one back frees it, and nothing that was used before."""
    limit = Reservations(1, 100.0)
    assert [0.0, 100.0] == [limit.reserve(now, earliest=now) for now in (0.0, 5.0)]
    assert (1, 1) == (limit.used(5.0), limit.waiting(5.0))
    limit.give_back(100.0)
    assert 100.0 == limit.reserve(6.0, earliest=6.0)
    assert 230.0 == limit.reserve(7.0, earliest=230.0)
    limit.give_back(230.0)
    assert (1, 1, 1) == (limit.limit, limit.used(7.0), limit.waiting(7.0))
    assert 0 == limit.used(200.0)
    assert 300.0 == limit.reserve(300.0, earliest=300.0)
    assert 1 == len(limit._times)


@given(
    limit=st.integers(1, 5),
    deeds=st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60),
)
def test_reservations_never_exceed_the_limit(limit: int, deeds: list[tuple[float, bool]]) -> None:
    """Whoever takes, and whoever gives back: the times that come true are never too many in any window."""
    reservations, now = Reservations(limit, 10.0), 0.0
    taken: list[float] = []
    for pause, is_given_back in deeds:
        now += pause
        waiting = [at for at in taken if at > now]
        if is_given_back and waiting:
            reservations.give_back(waiting[-1])
            taken.remove(waiting[-1])
        else:
            taken.append(reservations.reserve(now, earliest=now))
            assert taken[-1] >= now
    taken.sort()
    for first, one_too_many in zip(taken, taken[limit:], strict=False):
        assert one_too_many - first >= 10.0


class LimitMachine(RuleBasedStateMachine):
    """Against a plain list of everything that was let in, and exact fractions where floats round."""

    @initialize(limit=st.integers(1, 5), period=st.floats(0.001, 1e4), start=st.floats(0, 1e9))
    def begin(self, limit: int, period: float, start: float) -> None:
        self.limit, self.period, self.now = limit, period, start
        self.rolling = RollingLimit(limit, period)
        self.let_in: list[float] = []

    def is_full_at(self, moment: float) -> bool:
        window = Fraction(moment) - Fraction(self.period)
        return sum(Fraction(each) > window for each in self.let_in) >= self.limit

    @rule(fraction=st.one_of(st.floats(0, 2), st.sampled_from([0.0, 0.5, 1.0])))
    def time_passes(self, fraction: float) -> None:
        self.now += fraction * self.period

    @rule()
    def try_now(self) -> None:
        if self.rolling.try_acquire(self.now):
            self.let_in.append(self.now)
        else:
            assert self.is_full_at(self.now)

    @rule()
    def wait_for_the_next(self) -> None:
        allowed = self.rolling.next_allowed(self.now)
        assert allowed >= self.now
        if allowed > self.now:
            just_before = nextafter(allowed, -inf)
            assert self.is_full_at(just_before)
            assert not self.rolling.try_acquire(just_before)
        assert self.rolling.try_acquire(allowed)
        self.now = allowed
        self.let_in.append(allowed)

    @invariant()
    def no_window_holds_more(self) -> None:
        for first, one_too_many in zip(self.let_in, self.let_in[self.limit :], strict=False):
            assert one_too_many - first >= self.period


TestLimitMachine = LimitMachine.TestCase
TestLimitMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
