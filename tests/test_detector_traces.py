"""One day of each made-up line, the same code as ``scripts/bench detector``: found soon, and no living peer killed."""

from __future__ import annotations

import pytest

from tests.benchmarks.detector import ADAPTIVE, CLASSIC, Job, Row, fixed, measure
from tests.support.traces import CLEAN, HOSTILE, STALLS, Trace

CRASHES = 300
SEED = 3


def one_day(trace: Trace, name: str) -> Row:
    policy = {"adaptive": ADAPTIVE, "classic": CLASSIC}[name]
    return measure(Job(trace, name, policy, 1.0, CRASHES, SEED))


def test_on_a_clean_line() -> None:
    """A crash is found in 6.1 s on average and 8.6 s at the 99th percentile; nobody is killed, nobody even suspected."""
    row = one_day(CLEAN, "adaptive")

    assert row.mean <= 6.1
    assert row.p99 <= 8.6
    assert (0, 0) == (row.mistakes, row.suspicions_per_day)
    assert row.pings_per_hour == pytest.approx(720, abs=1)  # and no probe is wasted


def test_the_classic_detector_is_as_slow_as_it_promises() -> None:
    """13 to 18 s, so that the comparison means something."""
    row = one_day(CLEAN, "classic")

    assert 15.0 <= row.mean <= 16.0
    assert row.maximum <= 18.0
    assert row.mistakes == 0


def test_our_own_stalls_kill_nobody() -> None:
    """Four an hour, up to 30 s each."""
    assert one_day(STALLS, "adaptive").mistakes == 0


def test_on_a_hostile_line_it_makes_half_the_mistakes_of_a_fixed_timeout() -> None:
    """One that finds a crash as soon. Half is the goal over 60 days; a day of this seed keeps to it as well."""
    row = one_day(HOSTILE, "adaptive")
    equal = measure(Job(HOSTILE, "fixed", fixed(row), 1.0, CRASHES, SEED))

    assert equal.mean == pytest.approx(row.mean, abs=0.3)
    assert equal.mistakes >= 10  # or the day would prove nothing
    assert row.mistakes <= equal.mistakes / 2
