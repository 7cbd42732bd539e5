"""A line's figures, each reckoned by hand, and the property that days add up to the whole."""

from __future__ import annotations

from datetime import UTC
from itertools import takewhile
from math import fsum
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.analysis import statistics
from heartbeat_trio.analysis.charts import days, hour_cells, rtt_points
from heartbeat_trio.analysis.findings import Estimate, LineReport, LossCount
from heartbeat_trio.analysis.history import line_reports
from heartbeat_trio.analysis.incidents import all_incidents, worst_incidents
from heartbeat_trio.analysis.spans import session_times
from heartbeat_trio.analysis.tables import Happening, Journals, SessionSpan, bucket_value
from tests.support.analysis import MONDAY, Quarter, journals, lost, session, told

DAY = 86_400.0


def report(span: SessionSpan, *happenings: Happening, quarters: tuple[Quarter, ...] = ()) -> LineReport:
    overall, (line,) = line_reports(journals([span], happenings, quarters))
    assert overall is not None
    assert overall.connected == line.connected
    return line


def begin(span: SessionSpan) -> list[Happening]:
    return [told(0, "connecting", span, attempt=1), told(0, "connected", span, connection=1)]


def outage(span: SessionSpan, t: float, length: float, **fields: Any) -> list[Happening]:
    silent = lost(t, span, silent_for=10.0, **fields)
    return [silent, told(t + length, "connected", span, connection=2)]


def test_no_journals() -> None:
    """Nothing was read: nothing is said."""
    assert line_reports(journals([])) == (None, ())
    assert (days(journals([])), rtt_points(journals([])), hour_cells(journals([])), all_incidents(journals([]))) == (
        (),
        ((), 900.0),
        (),
        (),
    )


def test_figures_of_a_line() -> None:
    """Ten days; outages of 110, 210, 310, 410, 510 and 610 s, of which 10 each until the verdict; one attempt failed."""
    span = session(ended=10 * DAY)
    events = [each for index in range(6) for each in outage(span, 1000 + index * DAY, 100 + 100 * index)]
    line = report(span, *begin(span), *events, lost(1050, span, "connect_refused"), told(7, "gap", span, symbol="A"))
    down = 110 + 210 + 310 + 410 + 510 + 610
    assert (line.observed, line.connected, line.ours) == (10 * DAY, 10 * DAY - down, 0)
    assert line.availability.value == pytest.approx(1 - down / (10 * DAY))
    assert line.availability.n == 10
    assert line.losses == (LossCount("pong_timeout", None, 6),)
    assert (line.failed_connects, line.gaps, line.stalls, line.sessions) == (1, 1, 0, 1)
    assert (line.mttr.value, line.mttr.n) == (down / 6, 6)
    assert line.mttr.low is not None
    assert 110 < line.mttr.low < 360
    assert line.mttr.high is not None
    assert 360 < line.mttr.high < 610
    assert line.detection == Estimate(10, 10, 10, 6)
    assert line.recovery == Estimate(350, 100, 600, 6)  # of six, the interval of the median is all of them
    assert (line.begun_at, line.ended_at) == (MONDAY, MONDAY + 10 * DAY)


def test_time_between_losses_is_poisson() -> None:
    """Four losses in 40 connected days: 10 days, and by the table of chi-square 40 / 10.24 to 40 / 1.09."""
    mtbf = statistics.time_between(40 * DAY, 4)
    assert (mtbf.value, mtbf.n) == (10 * DAY, 4)
    assert mtbf.low == pytest.approx(40 * DAY / 10.2416, rel=1e-4)
    assert mtbf.high == pytest.approx(40 * DAY / 1.08987, rel=1e-4)


def test_no_loss_is_a_bound() -> None:
    """0 in 30 days is still at most 0.1 a day: at least ten days between two."""
    span = session(ended=30 * DAY)
    mtbf = report(span, *begin(span)).mtbf
    assert (mtbf.value, mtbf.high, mtbf.n) == (None, None, 0)
    assert mtbf.low == pytest.approx(30 * DAY / 2.995732, rel=1e-6)
    assert statistics.time_between(0.0, 0) == Estimate(None)


def test_an_outage_without_an_end_is_not_forgotten() -> None:
    """Three of 100 s and one that lasts until the records end, 3 days later: 3 repairs in all that time."""
    span = session(ended=10 * DAY)
    ended = [each for index in range(3) for each in outage(span, 1000 + index * DAY, 90)]
    line = report(span, *begin(span), *ended, lost(7 * DAY, span, silent_for=10.0))

    assert line.mttr == Estimate((300 + 3 * DAY + 10) / 3, None, None, 3)
    assert line.recovery.n == 3
    only = report(span, *begin(span), lost(7 * DAY, span, silent_for=10.0)).mttr
    assert only.value is None
    assert only.low == pytest.approx((3 * DAY + 10) / 2.995732)


def test_the_mean_of_what_was_cut_off_is_unbiased() -> None:
    """Exponential lengths of 100 s on average, of which nobody sees more than 80: those that ended last 37 s."""
    lengths = np.random.default_rng(1).exponential(100, 2000)
    ended, cut = lengths[lengths <= 80], np.full(int((lengths > 80).sum()), 80.0)
    found = statistics.mean(ended.tolist(), cut.tolist())

    assert found.low is not None
    assert found.high is not None
    assert 90 < found.low < 100 < found.high < 110
    assert np.mean(ended) < 40


def test_availability_needs_three_days_and_trouble_for_an_interval() -> None:
    """Two days say nothing of others, and days without trouble nothing of how bad it may be."""
    short, long = session(ended=2 * DAY), session(ended=9 * DAY)
    touched = session(ended=2.01 * DAY)
    assert report(touched, *begin(touched), *outage(touched, 1000, 90)).availability.low is None
    two = report(short, *begin(short), *outage(short, 1000, 90)).availability
    assert two == Estimate(1 - 100 / (2 * DAY), None, None, 2)
    assert report(long, *begin(long)).availability == Estimate(1.0, None, None, 9)
    nine = report(long, *begin(long), *outage(long, 1000, 890)).availability
    assert nine.low is not None
    assert nine.value is not None
    assert nine.low < nine.value
    assert nine.high == 1.0  # without the one bad day nothing was wrong


def test_our_own_fault_is_in_no_figure_but_its_own() -> None:
    """A loss through our stall is listed with its blame, and makes neither MTBF nor MTTR worse."""
    span = session(ended=30 * DAY)
    line = report(span, *begin(span), *outage(span, 1000, 90, blame="LOCAL_STALL"))
    assert line.losses == (LossCount("pong_timeout", "LOCAL_STALL", 1),)
    assert (line.ours, line.observed, line.connected) == (100, 30 * DAY - 100, 30 * DAY - 100)
    assert (line.mtbf.value, line.mttr.n, line.detection.n, line.availability.value) == (None, 0, 0, 1.0)


def test_losses_are_listed_by_cause_and_blame() -> None:
    """The most frequent first, then by name."""
    span = session(ended=10 * DAY)
    causes = [("reset", None), ("pong_timeout", "PEER_SILENT"), ("pong_timeout", "PEER_SILENT"), ("goodbye", None)]
    events: list[Happening] = []
    for index, (cause, blame) in enumerate(causes, start=1):
        t = index * 1000
        events += [lost(t, span, cause, blame=blame), told(t + 9, "connected", span, connection=index + 1)]
    counted = report(span, *begin(span), *events).losses
    assert [(each.cause, each.blame, each.count) for each in counted] == [
        ("pong_timeout", "PEER_SILENT", 2),
        ("goodbye", None, 1),
        ("reset", None, 1),
    ]


def test_wilson() -> None:
    """57 of 60: 0.863 to 0.983 (Wilson, 1927)."""
    estimate = statistics.wilson(57, 60)
    assert (estimate.value, estimate.n) == (0.95, 60)
    assert estimate.low == pytest.approx(0.863, abs=5e-4)
    assert estimate.high == pytest.approx(0.983, abs=5e-4)
    assert statistics.wilson(0, 0) == Estimate(None)


def test_success_counts_what_was_decided() -> None:
    """Late and missed pings failed; voided ones and ours are in no figure but the number sent."""
    span = session(ended=900)
    quarter = Quarter(MONDAY, {300: 56, 400: 1}, late=1, missed=2, ours=5, voided=3)
    line = report(span, *begin(span), quarters=(quarter,))
    assert (line.pings, line.success.value, line.success.n) == (68, 0.95, 60)


@pytest.mark.parametrize(("n", "q"), [(58, 0.95), (298, 0.99), (2994, 0.999)])
def test_percentiles_need_their_minimum(n: int, q: float) -> None:
    """One ping more, and there is a percentile: `1 - q**n` reaches 95 %."""
    span = session(ended=900)
    for count, is_known in ((n, False), (n + 1, True)):
        line = report(span, *begin(span), quarters=(Quarter(MONDAY, {300: count}),))
        (percentile,) = [each for each in line.rtt if each.q == q]
        assert (percentile.rtt.value is not None, percentile.rtt.n) == (is_known, count)


def test_percentiles_and_their_intervals_by_rank() -> None:
    """Of 1000 round trips in 1000 buckets, the p95 is the 950th, between the 936th and the 964th (binomial)."""
    span = session(ended=900)
    line = report(span, *begin(span), quarters=(Quarter(MONDAY, dict.fromkeys(range(1000), 1)),))
    value = bucket_value(np.arange(1000))  # far above three seconds at the end, but nothing was missed
    p50, p95, p99, p999 = (each.rtt for each in line.rtt)
    assert p50.value == value[499]
    assert (p95.value, p95.low, p95.high) == (value[949], value[935], value[963])
    assert p99.value == value[989]
    assert p999.value is None
    assert not any(each.is_bound for each in line.rtt)


def test_order_statistics_cover() -> None:
    """The ranks between which a quantile lies with 95 %, against binomial sums by hand: (0.5, n=6) is 1 - 2/64."""
    assert statistics.order_ranks(6, 0.5) == (0, 5)
    assert statistics.order_ranks(5, 0.5) == (None, None)
    assert statistics.order_ranks(10, 0.5) == (1, 8)


def test_percentile_among_the_missed_is_a_bound() -> None:
    """Of 100 pings 10 were missed and one late: the p95 is at least the timeout, and nobody knows how much more."""
    span = session(ended=900, timeout=2.0)
    line = report(span, *begin(span), quarters=(Quarter(MONDAY, {300: 89}, late=1, missed=10),))
    p50, p95 = line.rtt[:2]
    assert (p50.is_bound, p50.rtt.value) == (False, float(bucket_value(300)))
    assert (p95.is_bound, p95.rtt.value, p95.rtt.low, p95.rtt.high, p95.rtt.n) == (True, 2.0, 2.0, None, 100)


def test_everything_was_missed() -> None:
    """Without a single answer every percentile is a bound."""
    span = session(ended=900)
    p50 = report(span, *begin(span), quarters=(Quarter(MONDAY, missed=10),)).rtt[0]
    assert (p50.is_bound, p50.rtt.value, p50.rtt.n) == (True, 3.0, 10)


def test_all_lines_together_are_weighted_by_time() -> None:
    """Three hours without trouble and one hour down: three quarters. A stall of one program is one."""
    good, bad = session("a", ended=3 * 3600), session("b", 1, ended=3600)
    stalls = [told(60, "local_stall", each, seconds=0.5) for each in (good, bad)]
    sources = journals([good, bad], [*begin(good), told(0, "connecting", bad), lost(2, bad, "dns"), *stalls])
    overall, lines = line_reports(sources)
    assert overall is not None
    assert overall.availability.value == pytest.approx((3 * 3600 - 0.5) / (4 * 3600 - 1))
    assert [each.availability.value for each in lines] == [1.0, 0.0]
    assert (overall.stalls, [each.stalls for each in lines]) == (1, [1, 1])
    assert (overall.client, overall.endpoint, lines[1].endpoint) == ("", "", "tcp://host-1:1")


def test_figures_are_plain_numbers() -> None:
    """They can be written as JSON as they are: no numbers of numpy's, no infinity, no NaN."""
    span = session(ended=5 * DAY)
    events = [*begin(span), *outage(span, 1000, 90, blame="PEER_SILENT"), *outage(span, 2 * DAY, 30)]
    sources = journals([span], events, [Quarter(MONDAY, {300: 500}, missed=9)])
    everything = (line_reports(sources), days(sources), rtt_points(sources), hour_cells(sources), worst_incidents(sources))
    assert numbers(msgspec.to_builtins(everything)) == {int, float}
    assert b"null" not in msgspec.json.encode([each.rtt.value for each in line_reports(sources)[1][0].rtt[:3]])


def numbers(value: object) -> set[type]:
    """The kinds of all numbers in it."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return {kind for each in value for kind in numbers(each)}
    assert not isinstance(value, float) or abs(value) < 1e12
    return {type(value)} if isinstance(value, (int, float)) and not isinstance(value, bool) else set()


# -- properties --------------------------------------------------------------------------------------------------------

EVENTS = (
    "connecting",
    "connected",
    "lost",
    "attempt",
    "closed",
    "gave_up",
    "local_stall",
    "clock_jump",
    "set",
    "pong_missed",
)


@st.composite
def histories(draw: st.DrawFn) -> Journals:
    """Any records at all, in eighths of a second, over days, of up to three sessions on two lines."""
    sessions, happenings = [], []
    for index in range(draw(st.integers(1, 3))):
        begun = draw(st.integers(0, 800_000)) / 8
        span = session(f"s{index}", draw(st.integers(0, 1)), begun=begun, ended=begun + draw(st.integers(0, 3_000_000)) / 8)
        sessions.append(span)
        for _ in range(draw(st.integers(0, 12))):
            happenings.append(_happening(draw, span))
    return journals(sessions, happenings)


def _happening(draw: st.DrawFn, span: SessionSpan) -> Happening:
    t = span.begun + draw(st.integers(0, int((span.ended - span.begun) * 8))) / 8
    seconds, event = draw(st.integers(0, 4000)) / 8, draw(st.sampled_from(EVENTS))
    match event:
        case "lost":
            cause = draw(st.sampled_from(["pong_timeout", "reset"]))
            return lost(t, span, cause, silent_for=seconds, blame=draw(st.sampled_from([None, "LOCAL_STALL", "PATH_DEAD"])))
        case "attempt":
            return lost(t, span, "connect_refused")
        case "clock_jump":
            return told(t, event, span, kind="suspend", seconds=seconds)
        case "set":
            return told(t, "clock_jump", span, kind="wall", seconds=seconds, at=MONDAY + t + draw(st.integers(-1000, 10**6)))
        case _:
            return told(t, event, span, connection=draw(st.integers(0, 2)), seconds=seconds)


@given(histories())
def test_time_adds_up(sources: Journals) -> None:
    """Connected, not connected and ours are the observed span exactly, in stretches without a hole."""
    for time in session_times(sources):
        edges = [time.begun, *(each.ended for each in time.stretches)]
        assert [each.begun for each in time.stretches] == edges[:-1]
        assert edges[-1] == time.ended or time.begun == time.ended
        assert fsum(time.seconds(kind) for kind in ("up", "down", "ours")) == time.ended - time.begun
        assert time.span.begun <= time.begun <= time.ended <= time.span.ended


@given(histories())
def test_days_add_up(sources: Journals) -> None:
    """Whatever the zone and the clock, the days of a line are its whole: time, connected time, and losses."""
    _, lines = line_reports(sources)
    for zone in (UTC, ZoneInfo("America/New_York")):
        listed = days(sources, zone)
        for index, line in enumerate(lines):
            mine = [each for each in listed if each.line == index]
            assert sum(each.observed for each in mine) == pytest.approx(line.observed, abs=1e-3)
            connected = sum(each.observed * each.availability for each in mine if each.availability is not None)
            assert connected == pytest.approx(line.connected, abs=1e-3)
            theirs = sum(each.count for each in line.losses if each.blame != "LOCAL_STALL")
            assert sum(each.losses for each in mine) == theirs


def told_losses(sources: Journals, line: int) -> int:
    """Records of losses, until a session was closed."""
    count = 0
    for span in sources.sessions:
        records = sorted((each for each in sources.happenings if each.session == span.name), key=lambda each: each.t)
        before = takewhile(lambda each: each.event != "closed", records)
        count += sum(each.event == "lost" for each in before if span.line == line)
    return count


@given(histories())
def test_every_loss_is_in_one_incident(sources: Journals) -> None:
    """The records of losses are those of the incidents, and those of the report, line by line."""
    _, lines = line_reports(sources)
    for index, line in enumerate(lines):
        of_incidents = sum(each.losses for each in all_incidents(sources) if each.line == index)
        assert of_incidents == sum(each.count for each in line.losses) + line.failed_connects
        assert of_incidents == told_losses(sources, index)
