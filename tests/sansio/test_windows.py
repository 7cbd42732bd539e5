"""Minutes as cells: counts are exact, percentiles within 1 %, memory bounded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.sansio.windows import ACCURACY, CELLS, SMALLEST, Histogram, MinuteCells, bucket_of, value_of


@given(st.floats(SMALLEST, 1e6))
def test_a_bucket_stands_for_its_values(value: float) -> None:
    """Within the stated relative error."""
    assert value_of(bucket_of(value)) == pytest.approx(value, rel=ACCURACY * 1.0001)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=200))
def test_percentiles_are_within_one_percent(samples: list[float]) -> None:
    """Of the exact order statistic, with the index rounded as everywhere."""
    cells = MinuteCells()
    for sample in samples:
        cells.record("answered", 0.0, sample)
    snapshot = cells.snapshot(1, 0.0)

    for p, value in ((50, snapshot.p50), (95, snapshot.p95), (99, snapshot.p99)):
        exact = sorted(samples)[math.floor(p / 100 * (len(samples) - 1) + 0.5)]
        assert value == pytest.approx(exact, rel=ACCURACY * 1.0001)
    assert len(samples) == snapshot.n


def test_windows_forget() -> None:
    """Each window holds its minutes and the one under way."""
    cells = MinuteCells()
    for minute in range(120):
        cells.record("answered", minute * 60.0, 0.010)
        cells.record("missed" if minute < 118 else "answered", minute * 60.0, 3.0)

    last = 119 * 60.0
    snapshot = cells.snapshot(1, last)
    assert (1, 4, 0) == (snapshot.minutes, snapshot.answered, snapshot.missed)
    assert (8, 4) == (cells.snapshot(5, last).answered, cells.snapshot(5, last).missed)
    assert (63, 59) == (cells.snapshot(60, last).answered, cells.snapshot(60, last).missed)
    assert CELLS == 61


def test_a_late_pong_turns_its_miss() -> None:
    """In the minute in which it was missed; a miss of longer ago is out of reach."""
    cells = MinuteCells()
    cells.record("missed", 10.0, 3.0)
    cells.record("missed", 100.0, 3.0)
    cells.make_late(10.0, 3.0, 3.5)
    cells.make_late(100.0, 3.0, None)
    cells.make_late(5000.0, 3.0, 3.5)

    snapshot = cells.snapshot(5, 100.0)
    assert (0, 2, 0.0) == (snapshot.missed, snapshot.late, snapshot.success_rate)
    assert snapshot.p99 == pytest.approx(3.5, rel=ACCURACY)


def test_nothing_yet() -> None:
    """No samples, no percentiles; and nothing failed."""
    snapshot = MinuteCells().snapshot(60, 0.0)

    assert (1.0, None, None, None, 0) == (
        snapshot.success_rate,
        snapshot.p50,
        snapshot.p95,
        snapshot.p99,
        snapshot.n,
    )


def test_counts_what_is_not_decided_apart() -> None:
    """Voided and cancelled pings change no success rate."""
    cells = MinuteCells()
    cells.record("answered", 0.0)
    cells.record("voided", 0.0)
    cells.record("cancelled", 0.0)
    snapshot = cells.snapshot(1, 0.0)

    assert (1, 1, 1, 1.0, 0) == (
        snapshot.answered,
        snapshot.voided,
        snapshot.cancelled,
        snapshot.success_rate,
        snapshot.n,
    )


def test_a_value_can_move() -> None:
    """One value less there, one more here."""
    histogram = Histogram()
    histogram.add(3.0)
    histogram.move(3.0, 4.0)

    assert {bucket_of(4.0): 1} == +histogram.buckets
