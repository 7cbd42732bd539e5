"""Hours and days that are worse: found where they are, in the zone where they are, and not before there are enough days."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from heartbeat_trio.analysis.findings import NotEnough
from heartbeat_trio.analysis.patterns import find_patterns, series
from tests.support.analysis_cells import BEGIN, by_quarter, cells_of, journals_of, null_levels, null_month

if TYPE_CHECKING:
    from heartbeat_trio.analysis.findings import Finding
    from heartbeat_trio.analysis.tables import Floats

UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
CHANGED = 1_772_953_200
"""2026-03-08 07:00 UTC: New York's clocks go forward."""


def patterns(
    level: Floats, zone: ZoneInfo = UTC, *, begin: int = BEGIN, misses: float | Floats = 0.0002
) -> tuple[tuple[Finding, ...], tuple[NotEnough, ...]]:
    """Of one line with these hourly levels."""
    cells = cells_of([by_quarter(level)], np.random.default_rng(3), begin=begin, misses=misses)
    return find_patterns(journals_of(cells), zone=zone)


def test_slow_hours_are_found_with_their_size() -> None:
    """Ten of 24 hours, half as slow again: all of them, no other, and the effect against the fourteen."""
    level = null_levels(28, np.random.default_rng(1))
    for hour in range(8, 18):
        level[hour::24] += np.log(1.5)
    (finding,), missing = patterns(level)

    assert (finding.kind, finding.metric, finding.line, finding.n) == ("hour", "rtt", 0, 28)
    assert finding.details == {"numbers": tuple(range(8, 18)), "zone": "UTC"}
    assert finding.effect.value == pytest.approx(0.5, abs=0.1)
    assert finding.effect.low is not None
    assert finding.effect.high is not None
    assert finding.effect.low < 0.5 < finding.effect.high
    assert finding.p <= finding.p_adjusted <= 0.05
    assert finding.halves_agree
    assert (finding.begun_at, finding.ended_at) == (BEGIN, BEGIN + 28 * 86400)
    assert "from 08:00 to 18:00 UTC" in finding.claim
    assert missing == (NotEnough(kind="weekday", line=0, have=4, need=8, unit="weeks"),)


def test_small_effects_are_not_told() -> None:
    """A constant 5 % in a line without noise is certain, and not worth a change."""
    rng = np.random.default_rng(1)
    level = np.log(0.03) + rng.normal(0, 0.001, 24 * 28)
    level[9::24] += np.log(1.05)

    assert patterns(level)[0] == ()


@pytest.mark.parametrize("days", [1, 8])
def test_below_nine_days_no_hour_is_claimed(days: int) -> None:
    """Whatever it is like; it is said how many days there are."""
    level = null_levels(days, np.random.default_rng(1))
    level[9::24] += np.log(5)
    findings, missing = patterns(level)

    assert findings == ()
    assert NotEnough(kind="hour", line=0, have=days, need=9, unit="days") in missing
    assert {each.kind for each in missing} == {"hour", "weekday", "step", "drift"}


def test_nine_days_are_enough() -> None:
    """... for an hour that is slower on each of them."""
    level = null_levels(9, np.random.default_rng(1))
    level[9::24] += np.log(5)
    (finding,), _ = patterns(level)

    assert finding.details["numbers"] == (9,)


def test_days_that_lack_too_many_hours_do_not_count() -> None:
    """Twelve days, of which four have nine hours only, are eight."""
    level = null_levels(12, np.random.default_rng(1)).reshape(12, 24)
    level[:4, 9:] = np.nan
    _, missing = patterns(level.ravel())

    assert NotEnough(kind="hour", line=0, have=8, need=9, unit="days") in missing


def new_york_hours(begin: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The wall clock's hour of each hour, by the rule of 2026 itself."""
    moments = begin + 3600 * np.arange(count)
    hour: np.ndarray[tuple[int], np.dtype[np.int64]] = (moments - np.where(moments < CHANGED, 5, 4) * 3600) // 3600 % 24
    return hour


def test_a_pattern_of_a_zone_is_told_in_its_hours_across_the_change_of_clocks() -> None:
    """Two hours that are slow by New York's clock are no others in summer, and are told once."""
    begin = BEGIN - 14 * 86400
    level = null_levels(40, np.random.default_rng(2))
    level[np.isin(new_york_hours(begin, len(level)), (9, 10))] += np.log(1.4)
    (finding,), _ = patterns(level, NEW_YORK, begin=begin)

    assert finding.details == {"numbers": (9, 10), "zone": "America/New_York"}


def test_a_pattern_of_utc_is_told_in_utc() -> None:
    """The same hours by UTC, although New York was asked for."""
    level = null_levels(40, np.random.default_rng(2))
    for hour in (14, 15):
        level[hour::24] += np.log(1.4)
    (finding,), _ = patterns(level, NEW_YORK, begin=BEGIN - 14 * 86400)

    assert finding.details == {"numbers": (14, 15), "zone": "UTC"}


def test_a_zone_without_a_change_is_tested_once() -> None:
    """In winter, hours of New York are hours of UTC: told by the zone that was asked for."""
    level = null_levels(14, np.random.default_rng(2))
    level[14::24] += np.log(1.6)
    (finding,), _ = patterns(level, NEW_YORK, begin=BEGIN - 28 * 86400)

    assert finding.details == {"numbers": (9,), "zone": "America/New_York"}


@pytest.mark.parametrize(("zone", "day", "hours"), [("America/New_York", 8, 23), ("Europe/Berlin", 29, 23)])
def test_the_day_on_which_clocks_go_forward_has_23_hours(zone: str, day: int, hours: int) -> None:
    """All other days of March 2026 have 24."""
    cells = cells_of([by_quarter(np.zeros(24 * 30))], np.random.default_rng(1))
    ((_, table),) = series.hours(cells, series.offsets(cells.begin, ZoneInfo(zone)))
    days, count = np.unique(table.hour // 24, return_counts=True)
    changed = int(np.datetime64(f"2026-03-{day:02}").astype("int64"))

    assert count[1:-1][days[1:-1] == changed].tolist() == [hours]
    assert set(count[1:-1][days[1:-1] != changed]) == {24}


def test_the_hour_that_comes_twice_is_one() -> None:
    """On 25 October 2026, 2 o'clock in Berlin has eight quarters."""
    begin = int(np.datetime64("2026-10-24").astype("datetime64[s]").astype("int64"))
    cells = cells_of([by_quarter(np.zeros(48))], np.random.default_rng(1), begin=begin)
    ((_, table),) = series.hours(cells, series.offsets(cells.begin, ZoneInfo("Europe/Berlin")))

    assert table.decided[table.decided > 720].tolist() == [1440]
    assert table.hour[table.decided > 720].item() % 24 == 2


def test_a_zone_whose_hours_begin_at_half_past() -> None:
    """India's 14:00 is 08:30 UTC."""
    quarters = by_quarter(null_levels(14, np.random.default_rng(4)))
    for quarter in range(4):
        quarters[34 + quarter :: 96] += np.log(1.6)
    cells = cells_of([quarters], np.random.default_rng(3))
    (finding,), _ = find_patterns(journals_of(cells), zone=ZoneInfo("Asia/Kolkata"))

    assert finding.details == {"numbers": (14,), "zone": "Asia/Kolkata"}


def test_hours_in_which_pings_go_unanswered() -> None:
    """Twelve times as often from 8 to 10, while round trips are as ever."""
    misses = np.full(28 * 96, 0.0005)
    for quarter in range(32, 40):
        misses[quarter::96] = 0.006
    (finding,), _ = patterns(null_levels(28, np.random.default_rng(1)), misses=misses)

    assert (finding.kind, finding.metric) == ("hour", "misses")
    assert finding.details["numbers"] == (8, 9)
    assert finding.effect.value == pytest.approx(11, rel=0.25)


def test_a_day_of_the_week_is_found_after_eight_weeks_and_not_before() -> None:
    """Fridays that are half as slow again."""
    level = null_levels(56, np.random.default_rng(1)).reshape(8, 7, 24)
    level[:, 4] += np.log(1.7)
    findings, _ = patterns(level.ravel())
    (finding,) = [each for each in findings if each.kind == "weekday"]
    fewer, missing = patterns(level[:7].ravel())

    assert finding.details == {"numbers": (4,), "zone": "UTC"}
    assert "on Friday (UTC)" in finding.claim
    assert not [each for each in fewer if each.kind == "weekday"]
    assert NotEnough(kind="weekday", line=0, have=7, need=8, unit="weeks") in missing


def test_the_same_journals_and_seed_give_the_same() -> None:
    """To the last digit."""
    journals = null_month(20, 4, lines=2)

    assert find_patterns(journals, zone=NEW_YORK, seed=1) == find_patterns(journals, zone=NEW_YORK, seed=1)
