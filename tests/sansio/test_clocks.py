"""Suspends and set clocks, told from each other by three readings."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import ClockJumped, Event
from heartbeat_trio.sansio.clocks import JUMP, ClockWatch


class Reading(NamedTuple):
    monotonic: float
    since_boot: float | None
    wall: float


def look(*readings: Reading) -> list[Event]:
    """The events of the last of these looks."""
    watch = ClockWatch()
    events: list[Event] = []
    for reading in readings:
        events = watch.check(reading, 7.0)
    return events


def test_the_first_look_says_nothing() -> None:
    """There is nothing to compare with."""
    assert [] == look(Reading(0, 0, 0))


def test_a_suspend_moves_boot_time_and_wall_time_together() -> None:
    """The wall clock was not set: it went on with the machine's sleep."""
    events = look(Reading(100, 100, 1000), Reading(105, 165, 1065))

    assert [ClockJumped(at=7.0, kind="suspend", seconds=60.0)] == events


def test_a_set_clock_moves_alone() -> None:
    """In either direction."""
    assert [ClockJumped(at=7.0, kind="wall", seconds=30.0)] == look(Reading(100, 100, 1000), Reading(105, 105, 1035))
    assert [ClockJumped(at=7.0, kind="wall", seconds=-30.0)] == look(Reading(100, 100, 1000), Reading(105, 105, 975))


def test_both_at_once() -> None:
    """A clock that was set during the sleep."""
    events = look(Reading(100, 100, 1000), Reading(105, 165, 1165))

    assert [
        ClockJumped(at=7.0, kind="suspend", seconds=60.0),
        ClockJumped(at=7.0, kind="wall", seconds=100.0),
    ] == events


def test_without_a_boot_clock_a_sleep_looks_like_a_set_clock() -> None:
    """It is told all the same."""
    assert [ClockJumped(at=7.0, kind="wall", seconds=60.0)] == look(Reading(100, None, 1000), Reading(105, None, 1065))
    assert [] == look(Reading(100, 100, 1000), Reading(105, None, 1005))


@given(passed=st.floats(0, 1e5), slew=st.floats(-JUMP, JUMP), slept=st.floats(0, JUMP))
def test_small_differences_are_none(passed: float, slew: float, slept: float) -> None:
    """Slewing, and what lies between three readings."""
    events = look(Reading(0, 0, 0), Reading(passed, passed + slept * 0.99, passed + slept * 0.99 + slew * 0.99))

    assert [] == events
