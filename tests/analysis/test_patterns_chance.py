"""What is chance: the budget of errors, ranks, shifts and medians, against figures that can be had otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, wilcoxon

from heartbeat_trio.analysis.patterns import chance, series
from tests.support.analysis_cells import by_quarter, cells_of

if TYPE_CHECKING:
    from random import Random


def test_one_family_alone_has_the_whole_budget() -> None:
    """Without other tests, the adjusted p are those of Benjamini and Hochberg."""
    p = [0.001, 0.02, 0.03, 0.5]

    assert chance.adjusted([("hour", each) for each in p]) == pytest.approx(false_discovery_control(p))


def test_families_share_the_budget_by_their_weights() -> None:
    """An hour and a drift have 0.70 and 0.03 of it: one p in each counts 0.73 / 0.70 and 0.73 / 0.03 of itself."""
    adjusted = chance.adjusted([("hour", 0.01), ("drift", 1.0)])

    assert adjusted == pytest.approx([0.01 * 0.73 / 0.70, 1.0])
    assert chance.adjusted([("hour", 1.0), ("drift", 0.001)])[1] == pytest.approx(0.001 * 0.73 / 0.03)


def test_nine_days_are_enough_for_one_hour() -> None:
    """The least p that nine days can give is a discovery among 24 hours, even beside other tests; among eight, never."""
    others: tuple[chance.Family, ...] = (*(("hour",) * 23), "step", "drift", "hour_misses")
    tests = [(family, 1.0) for family in others]

    assert chance.adjusted([*tests, ("hour", 2.0**-9)], days=9)[-1] <= chance.Q
    assert chance.adjusted([*tests, ("hour", 2.0**-8)], days=9)[-1] > chance.Q


def test_eight_weeks_are_enough_for_one_day() -> None:
    """The least p that eight weeks can give is a discovery among seven days, beside tests of all other kinds."""
    names: tuple[chance.Family, ...] = (*(family for family in chance.SHARES if family != "weekday"), *(("weekday",) * 6))
    others = [(family, 1.0) for family in names]

    assert chance.adjusted([*others, ("weekday", 2.0**-8)], days=56)[-1] <= chance.Q


def test_nothing_tested_is_nothing_found() -> None:
    """An empty list is no error."""
    assert len(chance.adjusted([])) == 0


def test_ranks_by_hand() -> None:
    """Nine differences above 0 have the probability 2^-9; either side, twice that; none at all, 1."""
    up = np.arange(1.0, 10.0)

    assert chance.rank_test(up) == pytest.approx(2.0**-9)
    assert chance.rank_test(-up, greater=False) == pytest.approx(2.0**-8)
    assert chance.rank_test(np.zeros(9)) == 1.0


def test_ties_are_judged_exactly() -> None:
    """Twelve equal differences above 0 are as unlikely as any twelve; zeros say nothing."""
    assert chance.rank_test(np.ones(12)) == pytest.approx(2.0**-12)
    assert chance.rank_test(np.array([0.0, 0.0, 1.0, 1.0, -1.0])) == pytest.approx(0.5)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30, unique=True), st.randoms())
def test_without_ties_ranks_are_judged_as_scipy_does(sizes: list[int], random: Random) -> None:
    """One side and two."""
    differences = np.array([size * random.choice((-1.0, 1.0)) for size in sizes])

    above = wilcoxon(differences, alternative="greater", method="exact").pvalue
    either = wilcoxon(differences, alternative="two-sided", method="exact").pvalue
    assert chance.rank_test(differences) == pytest.approx(above)
    assert chance.rank_test(differences, greater=False) == pytest.approx(either)


def test_the_shift_is_the_median_of_the_walsh_averages() -> None:
    """Of 1, 2 and 9 they are 1, 1.5, 2, 5, 5.5 and 9: 3.5."""
    assert chance.shift(np.array([1.0, 2.0, 9.0]))[0] == 3.5


def test_the_interval_of_a_shift_holds_the_truth_mostly() -> None:
    """In 95 % of samples, within what 400 of them can tell."""
    rng = np.random.default_rng(5)
    inside = [low <= 0.3 <= high for _, low, high in (chance.shift(rng.normal(0.3, 1, 20)) for _ in range(400))]

    assert 0.92 <= np.mean(inside) <= 0.98


def test_the_shift_between_two_samples() -> None:
    """All differences of (1, 2, 3) and (11, 12, 13) are around 10."""
    moved = chance.shift_between(np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0]))

    assert moved[0] == 10.0
    assert 8.0 <= moved[1] <= 10.0 <= moved[2] <= 12.0


@given(st.lists(st.lists(st.one_of(st.just(np.nan), st.floats(-9, 9)), min_size=5, max_size=5), min_size=1, max_size=4))
def test_the_fast_median_is_the_median(rows: list[list[float]]) -> None:
    """Also with missing values, and with nothing else."""
    values = np.array(rows)
    expected = [np.median(row[~np.isnan(row)]) if not np.isnan(row).all() else np.nan for row in values]

    assert chance.middle(values) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([9], [(9, 9)]), ([9, 10, 12], [(9, 10), (12, 12)]), ([0, 1, 23], [(23, 1)]), (list(range(24)), [(0, 23)])],
)
def test_hours_are_told_as_runs(numbers: list[int], expected: list[tuple[int, int]]) -> None:
    """Around midnight too."""
    assert chance.runs(numbers, 24) == expected


def test_a_pattern_must_be_in_both_halves() -> None:
    """Ten days that are slower agree; the last five alone do not."""
    noise = np.linspace(-0.01, 0.01, 10)

    assert chance.both_halves(0.3 + noise)
    assert not chance.both_halves(np.where(np.arange(10) < 5, 0.0, 0.3) + noise)


def test_medians_of_merged_sketches_are_within_a_bucket() -> None:
    """An hour's level is that of its four quarters' pings together."""
    rng = np.random.default_rng(1)
    level = np.log(0.03) + np.repeat([0.0, 0.5], 4)
    ((line, table),) = series.hours(cells_of([level], rng))

    assert line == 0
    assert table.level == pytest.approx([np.log(0.03), np.log(0.03) + 0.5], abs=0.03)
    assert table.decided.tolist() == [720, 720]


def test_two_lines_and_a_gap() -> None:
    """Hours without cells are not in the table; lines are apart."""
    level = by_quarter(np.log([0.01, np.nan, 0.03]))
    tables = dict(series.hours(cells_of([level, level[:4]], np.random.default_rng(1))))

    assert [len(table) for table in tables.values()] == [2, 1]
    assert np.diff(tables[0].hour).tolist() == [2]
