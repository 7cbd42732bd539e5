"""Round-trip times: RFC 6298's numbers, and exact order statistics whatever comes."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.sansio.rtt import LatencyStats, RttEstimator

SAMPLES = st.floats(0, 1e6, allow_subnormal=False)


def test_first_sample_and_next() -> None:
    """RFC 6298 §2.2 and §2.3: SRTT = R and RTTVAR = R/2; then gains of 1/8 and 1/4."""
    rtt = RttEstimator()
    rtt.add(0.8)
    assert (0.8, 0.4, 0.8, 0.8) == (rtt.smoothed, rtt.variance, rtt.latest, rtt.minimum)

    rtt.add(0.4)
    assert [rtt.smoothed, rtt.variance] == pytest.approx([0.75, 0.4])
    assert (0.4, 0.4) == (rtt.latest, rtt.minimum)


def test_timeout_is_clamped() -> None:
    """`maximum` before any sample, then SRTT + 4 RTTVAR within the bounds."""
    rtt = RttEstimator()
    assert rtt.timeout(minimum=0.5, maximum=1.0) == 1.0
    rtt.add(0.2)
    assert rtt.timeout(minimum=0.5, maximum=1.0) == pytest.approx(0.6)
    assert rtt.timeout(minimum=0.7, maximum=1.0) == 0.7
    assert rtt.timeout(minimum=0.1, maximum=0.3) == 0.3


@given(st.lists(SAMPLES, min_size=1))
def test_estimate_stays_within_the_samples(samples: list[float]) -> None:
    """A smoothed value lies between the smallest and the largest sample."""
    rtt = RttEstimator()
    for sample in samples:
        rtt.add(sample)

    assert rtt.smoothed is not None
    assert min(samples) - 1e-6 <= rtt.smoothed <= max(samples) + 1e-6
    assert min(samples) == rtt.minimum


def test_empty_window_has_no_statistics() -> None:
    """None, not zero: nothing is known."""
    stats = LatencyStats(3)

    figures = [stats.average(), stats.minimum(), stats.maximum(), stats.percentile(50), stats.jitter()]
    assert figures == [None] * 5
    assert len(stats) == 0


@pytest.mark.parametrize("p", [-0.1, 100.1, math.nan])
def test_impossible_percentile(p: float) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match="must be from 0 to 100"):
        LatencyStats().percentile(p)


def test_impossible_size() -> None:
    """A window of nothing is refused."""
    with pytest.raises(ValueError, match="size = 0"):
        LatencyStats(0)


def test_median_of_ten_rounds_away_from_zero() -> None:
    """Index 0.5 * 9 = 4.5 is 5: the tutorial's p50 is 21, where banker's rounding would give 19."""
    stats = LatencyStats()
    for sample in [15, 18, 22, 19, 45, 21, 17, 120, 23, 19]:
        stats.add(sample)

    assert (21, 120, 15, 120, 31.9) == (
        stats.percentile(50),
        stats.percentile(99),
        stats.minimum(),
        stats.maximum(),
        stats.average(),
    )


@given(
    size=st.integers(1, 8),
    script=st.lists(st.one_of(SAMPLES, st.tuples(st.sampled_from([1.5, 3.0]), SAMPLES)), max_size=40),
    p=st.floats(0, 100),
)
def test_agrees_with_a_plain_list(size: int, script: list[float | tuple[float, float]], p: float) -> None:
    """Adding, evicting and replacing: the figures are those of the last samples, sorted."""
    stats = LatencyStats(size)
    window: list[float] = []
    for step in script:
        if isinstance(step, tuple):
            old, new = step
            stats.add(old)
            window = [*window, old][-size:]
            newest = len(window) - 1 - window[::-1].index(old)
            window[newest] = new
            assert stats.replace(old, new)
        else:
            stats.add(step)
            window = [*window, step][-size:]

    assert len(stats) == len(window)
    assert not stats.replace(-1.0, 0.0)
    if window:
        exact = Fraction(p) / 100 * (len(window) - 1)
        index = math.floor(p / 100 * (len(window) - 1) + 0.5)
        assert abs(exact - index) <= Fraction(1, 2) + Fraction(1, 10**9)
        assert stats.percentile(p) == sorted(window)[index]
        assert (min(window), max(window)) == (stats.minimum(), stats.maximum())
        assert stats.average() == pytest.approx(sum(window) / len(window))
    if len(window) > 1:
        differences = [abs(b - a) for a, b in pairwise(window)]
        assert stats.jitter() == pytest.approx(sum(differences) / len(differences))


def test_sums_do_not_drift() -> None:
    """After a million samples of very different sizes, the figures are those of the window alone."""
    stats = LatencyStats(2)
    for number in range(100_000):
        stats.add(1e9 if number % 2 else 1e-9)
    stats.add(0.25)
    stats.add(0.75)

    assert (0.5, 0.5) == (stats.average(), stats.jitter())
