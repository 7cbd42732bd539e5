"""Steps, drift, and one endpoint against another: what is there, how large, where, and that one explains the other."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy.stats import kendalltau

from heartbeat_trio.analysis.findings import Finding, NotEnough
from heartbeat_trio.analysis.patterns import drift, find_patterns
from heartbeat_trio.analysis.tables import Cells, Line
from tests.support.analysis_cells import BEGIN, by_quarter, cells_of, journals_of, null_levels
from tests.support.analysis_happenings import no_cells

UTC = ZoneInfo("UTC")


def found(cells: Cells, *, lines: tuple[Line, ...] = ()) -> tuple[Finding, ...]:
    """Patterns of these cells."""
    return find_patterns(journals_of(cells, lines=lines), zone=UTC)[0]


def test_a_step_is_found_where_it_is_and_as_large() -> None:
    """From noon of the 15th day on, half as slow again."""
    rng = np.random.default_rng(0)
    level = by_quarter(null_levels(30, rng))
    level[96 * 14 + 50 :] += np.log(1.5)
    (finding,) = found(cells_of([level], rng))

    assert (finding.kind, finding.metric, finding.line, finding.n) == ("step", "rtt", 0, 720)
    moment, before, after = (finding.details[name] for name in ("moment_at", "before", "after"))
    assert isinstance(moment, float)
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert abs(moment - BEGIN - 14 * 86400 - 50 * 900) <= 900
    assert after / before == pytest.approx(1.5, abs=0.2)
    assert finding.effect.low is not None
    assert finding.effect.high is not None
    assert finding.effect.low < 0.5 < finding.effect.high
    assert finding.p <= 0.001
    assert finding.halves_agree


def test_a_step_down_is_told_as_one() -> None:
    """Shorter, by a negative effect."""
    rng = np.random.default_rng(1)
    level = null_levels(30, rng)
    level[400:] -= np.log(1.6)
    (finding,) = found(cells_of([by_quarter(level)], rng))

    assert finding.effect.value == pytest.approx(1 / 1.6 - 1, abs=0.1)
    assert "shorter" in finding.claim


def test_two_steps_are_two() -> None:
    """Up by 80 % after twenty days of sixty, down again after forty."""
    rng = np.random.default_rng(2)
    level = null_levels(60, rng)
    level[492:972] += np.log(1.8)
    findings = [each for each in found(cells_of([by_quarter(level)], rng)) if each.kind == "step"]
    moments = sorted(float(str(each.details["moment_at"])) for each in findings)

    assert (np.array(moments) - BEGIN) / 3600 == pytest.approx([492, 972], abs=2)


def test_steps_hide_no_gap() -> None:
    """Two days without cells just before the step: it is told at the first cell after them."""
    rng = np.random.default_rng(0)
    level = null_levels(30, rng)
    level[360:] += np.log(1.6)
    level[312:360] = np.nan
    (finding,) = found(cells_of([by_quarter(level)], rng))

    assert finding.details["moment_at"] == BEGIN + 360 * 3600


def test_slow_hours_are_no_steps() -> None:
    """Hours of the day that are twice as slow are taken out before steps are looked for."""
    rng = np.random.default_rng(3)
    level = null_levels(28, rng)
    for hour in (9, 10, 11):
        level[hour::24] += np.log(2)

    assert [each.kind for each in found(cells_of([by_quarter(level)], rng))] == ["hour"]


def test_a_drift_is_told_by_day_and_not_as_steps() -> None:
    """Four per cent a day over four weeks."""
    rng = np.random.default_rng(4)
    level = null_levels(28, rng) + np.log(1.04) * np.arange(28 * 24) / 24
    (finding,) = found(cells_of([by_quarter(level)], rng))

    assert (finding.kind, finding.n) == ("drift", 28)
    assert finding.details["per_day"] == pytest.approx(0.04, abs=0.006)
    assert finding.effect.value == pytest.approx(1.04**27 - 1, rel=0.2)


def test_autocorrelation_makes_a_trend_less_certain() -> None:
    """A random walk has trends all the time; corrected, they are much less often called so."""
    rng = np.random.default_rng(5)
    days = np.arange(28)
    walks = np.cumsum(rng.normal(0, 1, (100, 28)), axis=1)
    plain = [float(kendalltau(days, walk).pvalue) for walk in walks]
    corrected = [drift.trend_p(days, walk) for walk in walks]

    assert all(after >= before for before, after in zip(plain, corrected, strict=True))
    assert np.mean(np.array(corrected) <= 0.001) < np.mean(np.array(plain) <= 0.001) - 0.1


def test_independent_days_have_no_trend_more_often_than_told() -> None:
    """At 5 % in 200 samples."""
    rng = np.random.default_rng(6)
    days = np.arange(20)

    assert np.mean([drift.trend_p(days, rng.normal(0, 1, 20)) <= 0.05 for _ in range(200)]) <= 0.08


def test_a_slower_endpoint_is_told_by_its_client_alone() -> None:
    """What slows both says nothing; lines of another client are not compared with it."""
    rng = np.random.default_rng(7)
    level = null_levels(20, rng)
    slow = level + rng.normal(0, 0.05, len(level)) + np.log(1.3)
    lines = (Line("desk", "ws://a.example/"), Line("desk", "ws://b.example/\n"), Line("other", "ws://a.example/"))
    (finding,) = found(cells_of([by_quarter(each) for each in (level, slow, level - 1)], rng), lines=lines)

    assert (finding.kind, finding.line, finding.details["than"], finding.n) == ("slower", 1, 0, 20)
    assert finding.effect.value == pytest.approx(0.3, abs=0.03)
    assert finding.halves_agree
    assert "ws://a.example/ in the same hours" in finding.claim


def test_only_hours_in_common_are_compared() -> None:
    """One line by day and one by night have none."""
    rng = np.random.default_rng(8)
    level = null_levels(20, rng)
    day = np.where(np.arange(len(level)) % 24 < 12, level, np.nan)
    night = np.where(np.arange(len(level)) % 24 < 12, np.nan, level + 1)
    findings, missing = find_patterns(journals_of(cells_of([by_quarter(day), by_quarter(night)], rng)), zone=UTC)

    assert findings == ()
    assert {each for each in missing if each.kind == "slower"} == {
        NotEnough(kind="slower", line=line, have=0, need=9, unit="days in common") for line in (0, 1)
    }


def test_of_many_lines_each_is_compared_with_the_best_known() -> None:
    """Twenty-six lines are no 325 pairs; the slow one is told against the one with most hours."""
    rng = np.random.default_rng(9)
    level = null_levels(18, rng)
    levels = [by_quarter(level + rng.normal(0, 0.02, len(level))) for _ in range(26)]
    levels[5] = levels[5] + np.log(2)
    levels = [each if index == 3 else each[:-4] for index, each in enumerate(levels)]
    told = [(each.line, each.details["than"]) for each in found(cells_of(levels, rng)) if each.kind == "slower"]

    assert told == [(5, 3)]


def test_nothing_at_all_is_no_error() -> None:
    """Journals without a single cell, and with a single one."""
    assert find_patterns(journals_of(no_cells()), zone=UTC) == ((), ())
    findings, missing = find_patterns(journals_of(cells_of([np.zeros(1)], np.random.default_rng(1))), zone=UTC)
    assert findings == ()
    assert {each.have for each in missing} == {0}
