"""A small part of `tests/benchmarks/analysis.py`: how often patterns are right and wrong where the truth is known."""

from __future__ import annotations

import numpy as np

from heartbeat_trio.config import HeartbeatPolicy
from tests.support import analysis_goals as goals


def test_nothing_is_found_where_nothing_is() -> None:
    """Twenty-four months: two with a finding would be more than 7 %."""
    assert sum(bool(goals.null(seed)) for seed in range(24)) <= 1


def test_a_slow_hour_is_found_and_no_other() -> None:
    """Ten times two weeks."""
    months = [goals.slow_hour(seed) for seed in range(10)]
    claimed = sum(each.claimed for each in months)

    assert sum(each.found for each in months) >= 9
    assert sum(each.exact for each in months) >= 0.8 * claimed
    assert sum(each.neighbours for each in months) >= 0.9 * claimed


def test_eight_days_are_never_enough_for_an_hour() -> None:
    """However slow it is."""
    assert all(goals.slow_hour(seed, days=8, factor=3.0).claimed == 0 for seed in range(4))


def test_a_step_is_found_where_it_is() -> None:
    """Eight months."""
    months = [goals.one_step(seed) for seed in range(8)]

    assert np.median([each.off for each in months]) <= 0.25
    assert sum(each.off <= 2 for each in months) >= 7
    assert max(each.false for each in months) <= 1


def test_an_idle_kill_is_told_from_a_journal() -> None:
    """Its bounds are on either side of the truth."""
    bounds = goals.idle_kill(1, days=5)

    assert bounds is not None
    assert 300 < bounds[0] < 350 <= bounds[1]


def test_local_stalls_in_a_journal_are_blamed_on_nobody_else() -> None:
    """They are told, as ours."""
    assert {each.kind for each in goals.local_stalls(1, days=5)} == {"local"}


def test_days_of_nothing_through_a_journal() -> None:
    """Twelve days of it, so that hours are tested."""
    assert goals.of_journal(1, 12, HeartbeatPolicy(ping_interval=30.0), []) == ()
