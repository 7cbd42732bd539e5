"""Never more than the limit in any window, and never later than it must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.sansio.limits import RollingLimit


def test_lets_the_limit_pass_and_then_waits() -> None:
    """The window rolls: the next one is allowed when the oldest has left it."""
    limit = RollingLimit(2, 10.0)

    assert [True, True, False] == [limit.try_acquire(now) for now in (0.0, 4.0, 9.0)]
    assert limit.next_allowed(9.0) == 10.0
    assert limit.try_acquire(10.0)
    assert limit.next_allowed(10.0) == 14.0


@given(
    limit=st.integers(1, 5),
    period=st.floats(0.001, 1e4),
    start=st.floats(0, 1e9),
    steps=st.lists(st.tuples(st.floats(0, 1e4), st.booleans()), max_size=60),
)
def test_no_window_ever_holds_more(limit: int, period: float, start: float, steps: list[tuple[float, bool]]) -> None:
    """Against a plain list; what `next_allowed` names is accepted, whatever rounding does."""
    rolling = RollingLimit(limit, period)
    happened: list[float] = []
    now = start
    for wait, patient in steps:
        now += wait
        if patient:
            now = rolling.next_allowed(now)
            assert rolling.try_acquire(now)
            happened.append(now)
        elif rolling.try_acquire(now):
            happened.append(now)
        else:
            in_window = [each for each in happened if now - each < period]
            assert len(in_window) >= limit

    for index in range(len(happened) - limit):
        assert happened[index + limit] - happened[index] >= period


def test_memory_is_bounded() -> None:
    """What was recorded without asking counts, and no more than the limit is remembered."""
    limit = RollingLimit(3, 1.0)
    for number in range(1000):
        limit.record(number * 0.001)

    assert limit.next_allowed(1.0) == pytest.approx(1.997)
