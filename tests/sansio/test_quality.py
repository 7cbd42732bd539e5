"""Counts that always add up, verdicts with reasons, and the report that people know."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heartbeat_trio.events import HighLatency
from heartbeat_trio.sansio.quality import ConnectionQuality, Verdict


def quality_of(rtts: list[float]) -> ConnectionQuality:
    quality = ConnectionQuality(pong_timeout=3.0)
    quality.start_connection(0.0)
    for rtt in rtts:
        quality.record_ping(0.0)
        quality.record_pong(rtt, 0.0)
    return quality


def test_golden_report() -> None:
    """The tutorial's program, byte for byte."""
    quality = quality_of([each / 1000 for each in [15, 18, 22, 19, 45, 21, 17, 120, 23, 19]])
    suitable = quality.is_suitable_for_trading(0.0, is_connected=True, has_subscriptions=False)

    printed = f"{quality.report()}\n\nSuitable for trading: {str(bool(suitable)).lower()}\n".encode()

    assert len(printed) == 202
    assert hashlib.sha256(printed).hexdigest() == "d8c8854928bdc102fdcb27d1edc69505e3df4fc1ab68104fafaaf6353aafcbef"


def test_report_says_something_below_ten_milliseconds() -> None:
    """Whole milliseconds would be 0 on a fast line."""
    report = quality_of([0.00035, 0.0042, 0.005]).report()

    assert "p50: 4.20ms" in report
    assert "min/max: 0.35/5ms" in report


def test_empty_report() -> None:
    """Of what never happened nothing is said: neither success nor latency."""
    assert quality_of([]).report().splitlines() == [
        "📊 Connection Statistics:",
        "• Success rate: -",
        "• Missed pongs: 0",
        "• Latency avg: -",
        "• Latency p50: -",
        "• Latency p99: -",
        "• Latency min/max: -",
    ]


def suitable(quality: ConnectionQuality, now: float = 0.0, *, connected: bool = True, subscribed: bool = False) -> Verdict:
    return quality.is_suitable_for_trading(now, is_connected=connected, has_subscriptions=subscribed)


def test_suitable_for_trading() -> None:
    """Twenty quick pongs, nothing missing: yes, and true as itself."""
    verdict = suitable(quality_of([0.02] * 20))

    assert verdict
    assert (True, (), ()) == (verdict.ok, verdict.reasons, verdict.codes)


def test_each_reason_against_trading() -> None:
    """Every limit is strict, and every reason says its number."""
    assert suitable(quality_of([0.02] * 19)).reasons == ("warming up: 19 of 20 pings decided",)
    assert suitable(quality_of([0.1] * 20)).reasons == ("p99 100.0 ms is not below 100 ms",)
    assert suitable(quality_of([0.02] * 20), connected=False).codes == ("disconnected",)
    assert suitable(quality_of([0.02] * 20), subscribed=True).reasons == ("no data yet",)

    quality = quality_of([0.02] * 20)
    quality.record_data(5.0)
    assert suitable(quality, 14.9, subscribed=True)
    assert suitable(quality, 15.0, subscribed=True).reasons == ("no data for 10.0 s",)

    quality.record_ping(5.0)
    quality.record_missed_pong(8.0)
    assert suitable(quality, 8.0).codes == ("p99", "success_rate", "missed_pongs")


def test_at_exactly_99_percent_it_is_not_suitable() -> None:
    """More than 99 %, as the tutorial has it."""
    quality = quality_of([0.02] * 99)
    quality.record_ping(0.0)
    quality.record_missed_pong(0.0)
    quality.record_late_pong(0.05, 0.0)

    assert suitable(quality).reasons == ("success rate 99.0% is not above 99 %",)


def test_should_reconnect() -> None:
    """Three in a row at once; rates and latencies once there are enough pings."""
    assert not quality_of([0.02] * 20).should_reconnect(0.0)
    assert quality_of([1.1] * 20).should_reconnect(0.0).reasons == ("p99 1100.0 ms is above 1000 ms",)
    assert not quality_of([1.1] * 19).should_reconnect(0.0)

    quality = quality_of([])
    for _ in range(3):
        quality.record_ping(0.0)
        quality.record_missed_pong(0.0)
    assert quality.should_reconnect(0.0).reasons == ("3 pongs missed in a row",)

    quality = quality_of([0.02] * 17)
    for _ in range(3):
        quality.record_ping(0.0)
        quality.record_missed_pong(0.0)
        quality.record_late_pong(0.5, 0.0)
    assert quality.should_reconnect(0.0).reasons == ("success rate 85.0% is below 90 %",)


def test_high_latency_has_hysteresis() -> None:
    """Told when p95 rises above 100 ms, and not again before it was below 80 ms."""
    quality = ConnectionQuality(pong_timeout=3.0, window=1)
    told = [quality.record_pong(rtt, 0.0) for rtt in (0.1, 0.11, 0.5, 0.081, 0.2, 0.079, 0.101)]

    high = [[HighLatency(at=0.0, p95=0.11)], [HighLatency(at=0.0, p95=0.101)]]
    assert told == [[], high[0], [], [], [], [], high[1]]
    assert ConnectionQuality(pong_timeout=3.0).record_pong(None, 0.0) == []


def test_a_missed_pong_is_censored_until_its_late_pong() -> None:
    """At least `pong_timeout`, then its true time; a late one whose time nobody knows stays censored."""
    quality = quality_of([0.02])
    quality.record_ping(0.0)
    quality.record_missed_pong(3.0)
    assert quality.snapshot(3.0).maximum == 3.0

    quality.record_late_pong(None, 3.5)
    assert quality.snapshot(3.5).maximum == 3.0

    quality.record_ping(5.0)
    quality.record_missed_pong(8.0)
    quality.record_late_pong(3.7, 8.7)
    assert quality.snapshot(8.7).maximum == 3.7


def test_a_new_connection_begins_anew() -> None:
    """Verdicts look at the current connection; counts run over the session."""
    quality = quality_of([0.5] * 30)
    quality.end_connection(1.0)
    quality.start_connection(2.0)

    assert suitable(quality).codes == ("warming_up",)
    assert (30, 0, None) == (quality.snapshot(2.0).answered, quality.snapshot(2.0).n, quality.snapshot(2.0).p50)


def test_a_void_without_a_pong_ends_no_misses() -> None:
    """Only an answer does: the peer has said nothing."""
    quality = quality_of([0.02] * 5)
    quality.record_missed_pong(2.0)

    quality.record_voided(3.0, is_answered=False)
    assert 1 == quality.missed_pongs
    quality.record_voided(4.0, is_answered=True)
    assert 0 == quality.missed_pongs


def test_a_late_pong_that_is_an_upper_bound_is_no_sample() -> None:
    """It is counted as such; the miss stays as long as its timeout."""
    quality = quality_of([0.02] * 5)
    quality.record_missed_pong(2.0)
    quality.record_late_pong(4.0, 4.0, is_exact=False)

    assert (1, 0, 1, 3.0) == (
        quality.snapshot(4.0).late,
        quality.snapshot(4.0).missed,
        quality.snapshot(4.0).inexact,
        quality.snapshot(4.0).maximum,
    )


def test_windows_count_from_the_first_question() -> None:
    """Who never asks pays nothing."""
    quality = quality_of([0.02] * 5)
    assert quality.window(1, 0.0).answered == 0

    quality.record_pong(0.03, 1.0)
    quality.record_missed_pong(2.0)
    quality.record_late_pong(3.5, 3.5)
    quality.record_voided(4.0, is_answered=True)
    quality.record_cancelled(5.0)
    window = quality.window(5, 5.0)

    assert (1, 1, 0, 1, 1) == (window.answered, window.late, window.missed, window.voided, window.cancelled)
    assert window.p99 == pytest.approx(3.5, rel=0.011)


class QualityMachine(RuleBasedStateMachine):
    """Random facts against plain counters."""

    def __init__(self) -> None:
        super().__init__()
        self.quality = ConnectionQuality(pong_timeout=3.0, window=5)
        self.counts: Counter[str] = Counter()
        self.window: list[float | None] = []
        self.now = 0.0

    def decide(self, outcome: str, sample: float | None) -> None:
        self.counts["in_flight"] -= 1
        self.counts[outcome] += 1
        if sample is not None:
            self.window = [*self.window, sample][-5:]

    @rule()
    def ping(self) -> None:
        self.quality.record_ping(self.now)
        self.counts["sent"] += 1
        self.counts["in_flight"] += 1

    @precondition(lambda self: self.counts["in_flight"])
    @rule(rtt=st.one_of(st.none(), st.floats(0.001, 2.9)))
    def pong(self, rtt: float | None) -> None:
        self.quality.record_pong(rtt, self.now)
        self.decide("answered", rtt)

    @precondition(lambda self: self.counts["in_flight"])
    @rule()
    def miss(self) -> None:
        self.quality.record_missed_pong(self.now)
        self.decide("missed", 3.0)

    @precondition(lambda self: self.counts["missed"])
    @rule(rtt=st.one_of(st.none(), st.floats(3.01, 9)))
    def late(self, rtt: float | None) -> None:
        self.quality.record_late_pong(rtt, self.now)
        self.counts["missed"] -= 1
        self.counts["late"] += 1
        if rtt is not None and 3.0 in self.window:
            self.window[len(self.window) - 1 - self.window[::-1].index(3.0)] = rtt

    @precondition(lambda self: self.counts["in_flight"])
    @rule(outcome=st.sampled_from(["voided", "cancelled"]))
    def other(self, outcome: str) -> None:
        if outcome == "voided":
            self.quality.record_voided(self.now, is_answered=True)
        else:
            self.quality.record_cancelled(self.now)
        self.decide(outcome, None)

    @rule()
    def unknown(self) -> None:
        self.quality.record_unknown_pong(self.now)
        self.counts["unknown_pongs"] += 1

    @rule()
    def reconnect(self) -> None:
        self.quality.end_connection(self.now)
        self.quality.start_connection(self.now)
        self.window = []

    @invariant()
    def everything_adds_up(self) -> None:
        snapshot = self.quality.snapshot(self.now)
        names = ("sent", "answered", "late", "missed", "voided", "cancelled", "in_flight", "unknown_pongs")
        assert {name: self.counts[name] for name in names} == {name: getattr(snapshot, name) for name in names}
        fates = ("answered", "late", "missed", "voided", "cancelled", "in_flight")
        assert snapshot.sent == sum(getattr(snapshot, name) for name in fates)
        samples = [each for each in self.window if each is not None]
        assert (len(samples), max(samples, default=None)) == (snapshot.n, snapshot.maximum)


TestQualityMachine = QualityMachine.TestCase
TestQualityMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_only_exact_round_trips_are_samples() -> None:
    """An upper bound is counted and left out; where nothing is known of it, a sample is a sample."""
    quality = ConnectionQuality(pong_timeout=3)
    for rtt, is_exact in ((0.010, True), (0.900, False), (0.020, None)):
        quality.record_ping(0.0)
        quality.record_pong(rtt, 0.0, is_exact=is_exact)
    snapshot = quality.snapshot(0.0)

    assert (2, 1, 3) == (snapshot.n, snapshot.inexact, snapshot.answered)
    assert (0.010, 0.020) == (snapshot.minimum, snapshot.maximum)


def test_our_own_delay_is_kept_apart() -> None:
    """Of pongs in time and of voided ones; None where the kernel does not tell."""
    quality = ConnectionQuality(pong_timeout=3)
    assert (None, 0) == (quality.snapshot(0.0).local_p99, quality.snapshot(0.0).local_n)
    for local in (0.001, 0.002, None):
        quality.record_ping(0.0)
        quality.record_pong(0.010, 0.0, is_exact=True, local=local)
    quality.record_ping(0.0)
    quality.record_voided(0.0, local=2.0, is_answered=True)
    snapshot = quality.snapshot(0.0)

    assert (0.002, 2.0, 2.0, 3) == (snapshot.local_p50, snapshot.local_p99, snapshot.local_maximum, snapshot.local_n)
    assert (0.010, 3) == (snapshot.maximum, snapshot.n)


@pytest.mark.parametrize(("p99", "margin", "ok"), [(0.099, 0.0, True), (0.099, 0.2, False), (0.079, 0.2, True)])
def test_a_margin_asks_for_better(p99: float, margin: float, ok: bool) -> None:
    """For whoever wants hysteresis: each limit is kept better by that part."""
    quality = ConnectionQuality(pong_timeout=3)
    for _ in range(20):
        quality.record_ping(0.0)
        quality.record_pong(p99, 0.0)
    quality.record_data(0.0)

    def verdict(now: float) -> Verdict:
        return quality.is_suitable_for_trading(now, is_connected=True, has_subscriptions=True, margin=margin)

    assert verdict(0.0).ok is ok
    assert ("stale_data" in verdict(8.5).codes) is (margin == 0.2)
    assert quality.data_at == 0.0
