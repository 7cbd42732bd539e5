"""A fleet with faults every few minutes: the smallest run of the benchmark of the same name."""

from __future__ import annotations

from tests.benchmarks.fleet import check, simulate


def test_an_hour_of_faults_twice() -> None:
    """Each quote once and in order or in a gap, no limit exceeded, and the same seed gives the same trace."""
    first = simulate(10, 1.0, 2)
    check(first)
    assert first.quotes > 1500
    assert first.gaps > 0
    assert first.lost > 20
    assert first.throttled > 0
    again = simulate(10, 1.0, 2)
    assert first._replace(took=0.0) == again._replace(took=0.0)
