"""What is drawn: days, points of round trips and hours of the week, each reckoned by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from heartbeat_trio.analysis.charts import days, hour_cells, rtt_points
from heartbeat_trio.analysis.tables import bucket_value
from tests.analysis.test_history_reports import DAY, begin, outage
from tests.support.analysis import MONDAY, Quarter, journals, session


def test_days() -> None:
    """An outage over midnight belongs to both days by its seconds, and to the day of its verdict as a loss."""
    span = session(ended=2 * DAY)
    events = outage(span, DAY + 4, 96)
    listed = days(journals([span], [*begin(span), *events]))
    assert [(each.date, each.availability, each.observed, each.losses) for each in listed] == [
        ("2026-01-05", (DAY - 6) / DAY, DAY, 0),
        ("2026-01-06", (DAY - 100) / DAY, DAY, 1),
    ]


def test_days_of_a_zone_have_23_and_25_hours() -> None:
    """Berlin's clocks were set forward on 29 March 2026, and will be set back on 25 October."""
    zone = ZoneInfo("Europe/Berlin")
    for date, hours in ((29, 23), (25, 25)):
        begun = datetime(2026, 3 if date == 29 else 10, date, tzinfo=zone).timestamp()
        span = session(ended=2 * DAY, at=begun - 3600)
        listed = days(journals([span], begin(span)), zone)
        assert [each.observed for each in listed[:2]] == [3600, hours * 3600]


def test_day_without_any_program_is_a_hole() -> None:
    """The days between two sessions are listed, as not observed."""
    spans = [session("a", ended=100), session("b", begun=3 * DAY, ended=3 * DAY + 100)]
    listed = days(journals(spans, []))
    assert [each.availability for each in listed] == [0.0, None, None, 0.0]


def test_points_are_no_more_than_a_chart_can_show() -> None:
    """800 quarters are points of 15 minutes; one more, and they are hours."""
    for count, step, points in ((800, 900.0, 800), (801, 3600.0, 201)):
        quarters = [Quarter(MONDAY + 900 * index, {300: 1}) for index in range(count)]
        listed, chosen = rtt_points(journals([session()], (), quarters))
        assert (chosen, len(listed)) == (step, points)


def test_points_have_percentiles_where_they_may() -> None:
    """The p95 needs 59 pings, and the p99 299; missed ones stand at their timeout."""
    quarters = [Quarter(MONDAY, {300: 59}), Quarter(MONDAY + 900, {300: 150, 310: 149}), Quarter(MONDAY + 1800, missed=1)]
    (first, second, third), _ = rtt_points(journals([session()], (), quarters))
    low, high = float(bucket_value(300)), float(bucket_value(310))
    assert (first.p50, first.p95, first.p99, first.n) == (low, low, None, 59)
    assert (second.p50, second.p95, second.p99, second.n) == (low, high, high, 299)
    assert (third.begun_at, third.p50, third.n) == (MONDAY + 1800, 3.0, 1)


def test_hours_of_a_zone() -> None:
    """Berlin has no Sunday hour 2 in spring, and twice hour 2 in autumn."""
    zone = ZoneInfo("Europe/Berlin")
    for at, hours in (
        (datetime(2026, 3, 29, 0, tzinfo=UTC), {1: 4, 3: 4, 4: 4}),
        (datetime(2026, 10, 25, 0, tzinfo=UTC), {2: 8, 3: 4}),
    ):
        quarters = [Quarter(at.timestamp() + 900 * index, {300: 1}) for index in range(12)]
        listed = hour_cells(journals([session()], (), quarters), zone)
        assert {each.hour: each.n for each in listed} == hours
        assert {each.weekday for each in listed} == {6}


def test_hours_tell_median_and_success() -> None:
    """Monday, ten past midnight in India, which is half an hour off: 3 of 4 answered."""
    quarters = [Quarter(MONDAY - 5.5 * 3600, {300: 2, 320: 1}, missed=1)]
    (cell,) = hour_cells(journals([session()], (), quarters), ZoneInfo("Asia/Kolkata"))
    assert (cell.weekday, cell.hour, cell.p50, cell.success, cell.n) == (0, 0, float(bucket_value(300)), 0.75, 4)
