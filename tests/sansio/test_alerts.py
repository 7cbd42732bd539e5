"""What is worth an alert, how often, and when it is over."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.events import (
    Alert,
    AlertFailed,
    Attempt,
    Cause,
    ClockJumped,
    Closed,
    Connected,
    ConnectionState,
    EndedForGood,
    Event,
    Evidence,
    Gap,
    GateChanged,
    Lost,
    PongMissed,
    PongReceived,
    PongVoided,
    QualitySnapshot,
    Silence,
    Stalled,
    StateChanged,
)
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.sansio.alerts import AlertBook, AlertRule

LOST = Lost(at=0.0, cause="reset", detail="the peer reset it")
ANSWERED = PongReceived(at=0.0, rtt=0.01)
GAP = Gap(at=0.0, symbol="A", stream="s", first=2, last=4, reason="expired")


def book(*rules: str, interval: float = 60.0) -> AlertBook:
    return AlertBook([AlertRule.parse(rule) for rule in rules], minimum_interval=interval)


def told(alerts: list[Alert]) -> list[tuple[float, str, bool]]:
    return [(alert.at, alert.text, alert.is_recovery) for alert in alerts]


def snapshot(
    *, answered: int = 0, late: int = 0, missed: int = 0, p95: float | None = None, n: int = 100
) -> QualitySnapshot:
    return QualitySnapshot(
        sent=answered + late + missed,
        answered=answered,
        late=late,
        missed=missed,
        voided=0,
        cancelled=0,
        in_flight=0,
        unknown_pongs=0,
        success_rate=1.0,
        average=p95,
        p50=p95,
        p95=p95,
        p99=p95,
        minimum=p95,
        maximum=p95,
        jitter=None,
        n=n,
    )


def silence(symbol: str | None, outcome: str | None = None, *, threshold: float | None = 2.0) -> Silence:
    return Silence(at=0.0, symbol=symbol, silent_for=7.0, threshold=threshold, step="probe", outcome=outcome)  # type: ignore[arg-type]


def state(new: ConnectionState, missed: int = 0) -> StateChanged:
    return StateChanged(at=0.0, old=ConnectionState.CONNECTED, new=new, missed_pongs=missed)


@pytest.mark.parametrize(
    ("text", "full", "limit"),
    [
        ("lost", "lost", 0.0),
        ("gave_up", "gave_up", 0.0),
        ("degraded", "degraded:10", 10.0),
        ("degraded:2.5", "degraded:2.5", 2.5),
        ("degraded:30s", "degraded:30", 30.0),
        ("p95", "p95:100ms", 0.1),
        ("p95:250ms", "p95:250ms", 0.25),
        ("success", "success:95%", 0.95),
        ("success:99.5%", "success:99.5%", 0.995),
        ("gap", "gap", 0.0),
        ("silence", "silence", 0.0),
        ("gate", "gate", 0.0),
        ("local_stall", "local_stall", 0.0),
        ("clock_jump", "clock_jump", 0.0),
    ],
)
def test_rules_are_read(text: str, full: str, limit: float) -> None:
    """Each rule, with its default; its text in full means the same."""
    rule = AlertRule.parse(text)

    assert (full, limit) == (str(rule), rule.limit)
    assert rule == AlertRule.parse(str(rule))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"alert rule \(not shown\) is unknown; known are lost, gave_up, degraded"),
        ("loss", "alert rule 'loss' is unknown; .* for example lost, degraded:10, p95:100ms or success:95%"),
        ("lost:5", "alert rule 'lost' takes no limit, so nothing may follow it but =SINK"),
        ("degraded:", "alert rule 'degraded': what follows the colon is no limit; it looks like degraded:10"),
        ("degraded:10ms", "is no limit"),
        ("degraded:-1", "is no limit"),
        ("degraded:0", "the limit must be above 0 and at most 86400; it looks like degraded:10"),
        ("p95:100", "is no limit; it looks like p95:100ms"),
        ("p95:٣ms", "is no limit"),
        ("p95:0ms", "must be above 0 and at most 60000ms"),
        ("success:0.95", "is no limit; it looks like success:95%"),
        ("success:101%", "the limit must be above 0 and at most 100%; it looks like success:95%"),
    ],
)
def test_what_is_no_rule(text: str, problem: str) -> None:
    """The message names the part at fault and has an example."""
    with pytest.raises(ConfigError, match=problem):
        AlertRule.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "webhook:https://host/secret",
        "host/secret",
        "lost:webhook:https://host/?secret",
        "degraded:https://host/secret?x",
        "p95:secret",
    ],
)
def test_what_may_be_an_address_is_not_shown(text: str) -> None:
    """Somebody may have written the sink first, or no `=`, or put it elsewhere."""
    with pytest.raises(ConfigError) as caught:
        AlertRule.parse(text)

    assert "secret" not in str(caught.value)


def test_lost_fires_once_and_recovers() -> None:
    """Each failed attempt says it again; the connection is lost once."""
    alerts = book("lost")

    fired = alerts.receive_event(LOST, 10.0)
    again = alerts.receive_event(Lost(at=0.0, cause="connect_refused", detail="nobody there"), 11.0)
    recovered = alerts.receive_event(ANSWERED, 72.5)

    assert [Alert(at=10.0, rule="lost", text="connection lost (reset): the peer reset it")] == fired
    assert [] == again
    assert [Alert(at=72.5, rule="lost", text="it answers again after 62.5 s", is_recovery=True)] == recovered
    assert [] == alerts.receive_event(ANSWERED, 73.0)


def test_a_recovery_waits_until_the_rule_is_free() -> None:
    """With the length of what was wrong; a loss after it is told at once."""
    alerts = book("lost")
    alerts.receive_event(LOST, 10.0)

    assert [] == alerts.receive_event(ANSWERED, 22.5)
    assert [] == alerts.receive_event(ANSWERED, 23.0)
    assert (70.0, []) == (alerts.next_check(), alerts.handle_timer(69.9))
    assert [(70.0, "it answers again after 12.5 s", True)] == told(alerts.handle_timer(70.0))
    assert math.inf == alerts.next_check()
    assert [(71.0, "connection lost (reset): the peer reset it", False)] == told(alerts.receive_event(LOST, 71.0))


def test_a_recovery_never_outlives_its_truth() -> None:
    """Lost again before the recovery was told, however late the timer: the alert is true still, and nothing is told."""
    alerts = book("lost")
    alerts.receive_event(LOST, 0.0)
    for at in (1.0, 61.0):
        assert [] == alerts.receive_event(ANSWERED, 1.0)
        assert [] == alerts.receive_event(LOST, at)
    assert math.inf == alerts.next_check()
    assert [] == alerts.handle_timer(100.0)
    assert [(101.0, "it answers again after 101.0 s (2 more in between)", True)] == told(
        alerts.receive_event(ANSWERED, 101.0)
    )


def test_a_recovery_is_not_told_once_the_session_is_closed() -> None:
    """Nor what came in between."""
    alerts = book("lost")
    for at, event in enumerate((LOST, ANSWERED, LOST, ANSWERED, Closed(at=0.0))):
        alerts.receive_event(event, float(at))

    assert math.inf == alerts.next_check()
    assert [] == alerts.handle_timer(100.0)
    assert [(101.0, "connection lost (reset): the peer reset it", False)] == told(alerts.receive_event(LOST, 101.0))


def test_a_mere_connection_ends_no_loss() -> None:
    """The kernel of a frozen server takes connections; only an answer shows that it is back."""
    alerts = AlertBook([AlertRule("lost"), AlertRule.parse("degraded:1")])
    alerts.receive_event(state(ConnectionState.DEGRADED, 1), 1.0)
    alerts.handle_timer(2.0)
    alerts.receive_event(LOST, 3.0)

    assert [] == alerts.receive_event(Connected(at=0.0), 4.0)
    recoveries = [alert.text for alert in alerts.receive_event(ANSWERED, 65.0)]
    assert ["it answers again after 62.0 s", "no longer degraded after 64.0 s"] == recoveries


def test_lost_names_whom_to_blame() -> None:
    """As far as it is known."""
    lost = Lost(at=0.0, cause="pong_timeout", detail="3 pongs missed", blame=Cause.PATH_DEAD)

    assert [(0.0, "connection lost (pong_timeout, PATH_DEAD): 3 pongs missed", False)] == told(
        book("lost").receive_event(lost, 0.0)
    )


def test_minimum_interval_counts_what_came_and_went() -> None:
    """Short losses within a minute are told by the next text, which is the recovery."""
    alerts = book("lost")
    alerts.receive_event(LOST, 0.0)
    alerts.receive_event(ANSWERED, 1.0)
    for at in (10.0, 20.0, 30.0):
        assert [] == alerts.receive_event(LOST, at)
        assert [] == alerts.receive_event(ANSWERED, at + 1)
    assert 60.0 == alerts.next_check()

    assert [(60.0, "it answers again after 31.0 s (3 more in between)", True)] == told(alerts.handle_timer(60.0))
    assert [(60.0, "connection lost (reset): the peer reset it", False)] == told(alerts.receive_event(LOST, 60.0))


def test_what_still_holds_is_told_late() -> None:
    """A second silence within the minute is not forgotten, though the first is over; its text is the latest."""
    alerts = book("silence")
    alerts.receive_event(silence("A"), 0.0)
    assert [] == alerts.receive_event(silence("A", "data"), 1.0)
    alerts.receive_event(silence("B"), 10.0)
    alerts.receive_event(silence("B", threshold=None), 12.0)

    assert 60.0 == alerts.next_check()
    assert [] == alerts.handle_timer(59.9)
    assert [(60.0, "no data of B for 7.0 s; next: probe", False)] == told(alerts.handle_timer(60.0))
    assert math.inf == alerts.next_check()
    assert [(120.0, "data of B again after 120.0 s", True)] == told(alerts.receive_event(silence("B", "data"), 120.0))


def test_gave_up() -> None:
    """With the last reason, where there is one."""
    attempt = Attempt(number=3, started=0.0, ended=1.0, cause="connect_refused", detail="nobody there")

    assert [(0.0, "gave up after 1 failed attempts; the last one: connect_refused: nobody there", False)] == told(
        book("gave_up").receive_event(EndedForGood(at=0.0, attempts=(attempt,)), 0.0)
    )
    assert [(0.0, "gave up after 0 failed attempts", False)] == told(
        book("gave_up").receive_event(EndedForGood(at=0.0, attempts=()), 0.0)
    )


def test_degraded_for_some_time() -> None:
    """Shorter spells are no alert, and none that is counted; a loss does not end it."""
    alerts = book("degraded:10")
    alerts.receive_event(state(ConnectionState.DEGRADED, 1), 0.0)
    assert 10.0 == alerts.next_check()
    assert [] == alerts.receive_event(state(ConnectionState.CONNECTED), 9.0)
    assert math.inf == alerts.next_check()

    alerts.receive_event(state(ConnectionState.DEGRADED, 1), 20.0)
    alerts.receive_event(state(ConnectionState.DEGRADED, 2), 25.0)
    assert [] == alerts.receive_event(state(ConnectionState.DISCONNECTED, 3), 28.0)
    assert [(30.0, "degraded for 10 s, 2 pongs missed", False)] == told(alerts.handle_timer(30.0))
    assert [(90.0, "no longer degraded after 70.0 s", True)] == told(alerts.receive_event(ANSWERED, 90.0))


def test_a_gap_of_which_nothing_can_be_known_says_so() -> None:
    """Perhaps nothing is missing."""
    gap = Gap(at=0.0, symbol="B", stream="local-1", first=9, last=None, reason="reconnected")

    said = "gap in B: nobody can know what the reconnection cost"
    assert [(0.0, said, False)] == told(book("gap").receive_event(gap, 0.0))


def test_gaps_within_the_interval_are_told_at_its_end() -> None:
    """An occurrence has no recovery, and none is lost."""
    alerts = book("gap")
    endless = Gap(at=0.0, symbol="B", stream="s", first=9, last=None, reason="stream_changed")

    assert [(0.0, "gap in A: quotes 2 to 4 will not come (expired)", False)] == told(alerts.receive_event(GAP, 0.0))
    for at in (1.0, 2.0):
        assert [] == alerts.receive_event(GAP, at)
    assert [] == alerts.receive_event(endless, 3.0)
    assert 60.0 == alerts.next_check()
    assert [(60.0, "gap in B: quotes from 9 on will not come (stream_changed) (2 more in between)", False)] == told(
        alerts.handle_timer(60.0)
    )
    assert math.inf == alerts.next_check()


def test_silence_ends_with_data() -> None:
    """A live peer that says nothing is silent still."""
    alerts = book("silence")

    assert [(0.0, "no data of A for 7.0 s, 2.0 s are normal; next: probe", False)] == told(
        alerts.receive_event(silence("A"), 0.0)
    )
    assert [] == alerts.receive_event(silence("A", "pong"), 1.0)
    assert [(69.0, "data of A again after 69.0 s", True)] == told(alerts.receive_event(silence("A", "data"), 69.0))


def test_silence_ends_when_nothing_is_expected_any_more() -> None:
    """Unsubscribing is an end too; the next silence is told again."""
    alerts = book("silence")
    alerts.receive_event(silence("A"), 0.0)
    assert [] == alerts.receive_event(silence("A", "unsubscribed"), 9.0)

    assert [(60.0, "no more data of A is expected after 9.0 s", True)] == told(alerts.handle_timer(60.0))
    alerts.receive_event(silence("B"), 100.0)
    assert [(161.0, "data of B again after 61.0 s", True)] == told(alerts.receive_event(silence("B", "data"), 161.0))


def test_several_silent_symbols() -> None:
    """Each is told, though not each at once, and it is over when all speak."""
    alerts = book("silence")
    alerts.receive_event(silence("A"), 0.0)
    alerts.receive_event(silence("B"), 1.0)
    alerts.receive_event(silence(None, threshold=None), 2.0)

    late = alerts.handle_timer(60.0)

    assert [(60.0, "no data of B for 7.0 s, 2.0 s are normal; next: probe (1 more in between)", False)] == told(late)
    assert [] == alerts.receive_event(silence(None, "data"), 61.0)
    assert [] == alerts.receive_event(silence("A", "data"), 61.0)
    assert [] == alerts.receive_event(silence("A"), 62.0)
    assert [] == alerts.receive_event(silence("A", "data"), 63.0)
    assert ["no data of A for 7.0 s, 2.0 s are normal; next: probe (1 more in between)"] == [
        alert.text for alert in alerts.receive_event(silence("A"), 130.0)
    ]
    assert [] == alerts.receive_event(silence("A", "data"), 140.0)
    assert [] == alerts.receive_event(silence("B", "data"), 150.0)
    assert [(190.0, "data of B again after 150.0 s", True)] == told(alerts.handle_timer(190.0))


def test_silence_of_a_connection() -> None:
    """Where no data ever came, nothing is normal."""
    fired = book("silence").receive_event(silence(None, threshold=None), 0.0)

    assert [(0.0, "no data of the connection for 7.0 s; next: probe", False)] == told(fired)


def test_gate() -> None:
    """With its reasons."""
    alerts = book("gate")
    closed = GateChanged(at=0.0, is_open=False, reasons=("p99 is 120 ms", "1 pongs missed"))

    assert [(5.0, "the trading gate closed: p99 is 120 ms; 1 pongs missed", False)] == told(
        alerts.receive_event(closed, 5.0)
    )
    assert [(66.0, "the trading gate is open again after 61.0 s", True)] == told(
        alerts.receive_event(GateChanged(at=0.0, is_open=True), 66.0)
    )
    assert [(100.0, "the trading gate closed: no reason given", False)] == told(
        alerts.receive_event(GateChanged(at=0.0, is_open=False), 100.0)
    )


EVIDENCE = Evidence(age=3.0, timeout=3.0, loop_lag=2.04)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (PongVoided(at=0.0, ping=7, evidence=EVIDENCE), "our own program stalled for 2.04 s: ping 7 was delayed"),
        (PongVoided(at=0.0, ping=7), "our own program stalled: ping 7 was delayed"),
        (
            PongMissed(at=0.0, ping=8, missed=1, blame=Cause.LOCAL_STALL, evidence=EVIDENCE),
            "our own program stalled for 2.04 s: ping 8 was delayed",
        ),
        (
            PongReceived(at=0.0, ping=9, rtt=0.1, local=0.5, blame=Cause.LOCAL_STALL),
            "our own program stalled for 0.50 s: ping 9 was delayed",
        ),
    ],
)
def test_local_stall(event: Event, text: str) -> None:
    """Whatever is blamed on ourselves."""
    assert [(0.0, text, False)] == told(book("local_stall").receive_event(event, 0.0))


@pytest.mark.parametrize(
    "event",
    [
        PongReceived(at=0.0, rtt=0.1),
        PongMissed(at=0.0, missed=1, blame=Cause.PEER_SILENT),
        Alert(at=0.0, rule="lost", text="connection lost"),
        AlertFailed(at=0.0, rule="lost", sink="log", detail="no"),
    ],
)
def test_what_concerns_no_rule(event: Event) -> None:
    """Above all our own alerts, which come back as events."""
    rules = ("lost", "gave_up", "degraded", "p95", "success", "gap", "silence", "gate", "local_stall", "clock_jump")

    assert [] == book(*rules).receive_event(event, 0.0)


def test_clock_jump() -> None:
    """Sleep and a set clock differ."""
    slept = ClockJumped(at=0.0, kind="suspend", seconds=30.0)
    was_set = ClockJumped(at=0.0, kind="wall", seconds=-3.0)

    assert [(0.0, "this machine slept for 30.0 s", False)] == told(book("clock_jump").receive_event(slept, 0.0))
    assert [(0.0, "this machine's clock was set by -3.0 s", False)] == told(book("clock_jump").receive_event(was_set, 0.0))


def test_p95_with_hysteresis() -> None:
    """Above the limit it fires, and it is over only below 80 % of it; without enough samples nothing is known."""
    alerts = book("p95:100ms")

    assert [] == alerts.receive_quality(snapshot(p95=0.5, n=19), 0.0)
    assert [] == alerts.receive_quality(snapshot(p95=0.1), 5.0)
    assert [(10.0, "p95 of the round-trip time is 100.1 ms, above 100 ms", False)] == told(
        alerts.receive_quality(snapshot(p95=0.1001, n=20), 10.0)
    )
    assert [] == alerts.receive_quality(snapshot(p95=0.5), 15.0)
    assert [] == alerts.receive_quality(snapshot(p95=0.081), 80.0)
    assert [] == alerts.receive_quality(snapshot(p95=None, n=0), 85.0)
    assert [(90.0, "p95 of the round-trip time is 79.0 ms, below 80 ms, after 80.0 s", True)] == told(
        alerts.receive_quality(snapshot(p95=0.079), 90.0)
    )


def test_success_of_the_last_hundred_pings() -> None:
    """Ten thousand good ones do not hide six bad ones."""
    alerts = book("success:95%")

    assert [] == alerts.receive_quality(snapshot(answered=10, missed=9), 0.0)
    for second, answered in enumerate(range(9900, 10001, 10)):
        assert [] == alerts.receive_quality(snapshot(answered=answered, late=9), float(second))
    assert [(20.0, "success rate is 94.0 %, below 95 %", False)] == told(
        alerts.receive_quality(snapshot(answered=10004, late=12, missed=3), 20.0)
    )
    assert [] == alerts.receive_quality(snapshot(answered=10004, late=12, missed=3), 25.0)


def test_success_recovers_with_hysteresis() -> None:
    """At 95 % it may come again at once; at 96 % it is over."""
    alerts = book("success:95%")
    fired = alerts.receive_quality(snapshot(answered=94, missed=6), 0.0)
    between = alerts.receive_quality(snapshot(answered=95, late=0, missed=5), 5.0)

    assert [(0.0, "success rate is 94.0 %, below 95 %", False)] == told(fired)
    assert [] == between
    assert [(70.0, "success rate is 97.1 % again after 70.0 s", True)] == told(
        alerts.receive_quality(snapshot(answered=194, missed=9), 70.0)
    )


def test_success_needs_twenty_pings() -> None:
    """Before, it is neither good nor bad."""
    assert [] == book("success").receive_quality(snapshot(missed=19), 0.0)
    assert [(0.0, "success rate is 0.0 %, below 95 %", False)] == told(
        book("success").receive_quality(snapshot(missed=20), 0.0)
    )


def test_closing_forgets() -> None:
    """Whoever closes a session wants to hear no more of it."""
    alerts = book("degraded", "lost")
    alerts.receive_event(LOST, 0.0)
    alerts.receive_event(state(ConnectionState.DEGRADED, 1), 0.0)

    assert [] == alerts.receive_event(Closed(at=1.0), 1.0)
    assert math.inf == alerts.next_check()
    assert [] == alerts.receive_event(ANSWERED, 2.0)


def test_rules_are_independent_and_each_counts_once() -> None:
    """The interval is that of one rule; limits make rules of their own."""
    alerts = book("lost", "lost", "gap", "p95:100ms", "p95:200ms")

    assert ["lost"] == [alert.rule for alert in alerts.receive_event(LOST, 0.0)]
    assert ["gap"] == [alert.rule for alert in alerts.receive_event(GAP, 0.0)]
    assert ["p95:100ms"] == [alert.rule for alert in alerts.receive_quality(snapshot(p95=0.15), 0.0)]
    assert ["p95:200ms"] == [alert.rule for alert in alerts.receive_quality(snapshot(p95=0.25), 0.0)]


def test_no_rules() -> None:
    """Nothing to do, ever."""
    assert math.inf == book().next_check()
    assert [] == book().handle_timer(0.0)


steps = st.lists(st.tuples(st.integers(0, 45), st.booleans()), max_size=40)
INTERVAL = 60


def played(rule: str, good: Event, bad: Event, history: list[tuple[int, bool]]) -> list[Alert]:
    """A book's alerts, its timer served on time, until an hour after the last event."""
    alerts, now, found = book(rule, interval=INTERVAL), 0, []
    for wait, is_bad in [*history, (3600, False)]:
        now += wait
        while (due := alerts.next_check()) <= now:
            found += alerts.handle_timer(due)
        found += alerts.receive_event(bad if is_bad else good, now)
    return found


@given(steps)
def test_a_condition_against_second_by_second(history: list[tuple[int, bool]]) -> None:
    """The model looks at each second whether the last word is true, and whether another may be said."""
    expected: list[tuple[float, bool, int]] = []
    now, last, wrong, is_told, more = 0, -INTERVAL, False, False, 0

    def look() -> None:
        nonlocal last, is_told, more
        if wrong is not is_told and now - last >= INTERVAL:
            expected.append((now, not wrong, more))
            last, is_told, more = (now if wrong else last), wrong, 0

    for wait, is_bad in [*history, (3600, False)]:
        for _ in range(wait):
            now += 1
            look()
        more += is_bad and not wrong and is_told
        wrong = is_bad
        look()

    found = played("lost", ANSWERED, LOST, history)

    assert expected == [(alert.at, alert.is_recovery, count_of(alert)) for alert in found]
    assert all(first.is_recovery is not second.is_recovery for first, second in pairwise(found))
    assert_apart([alert.at for alert in found if not alert.is_recovery])
    assert all(third.at - first.at >= INTERVAL for first, third in zip(found, found[2:], strict=False))


@given(steps)
def test_no_occurrence_is_lost(history: list[tuple[int, bool]]) -> None:
    """Each gap is told or counted, and there is never a recovery."""
    found = played("gap", ANSWERED, GAP, history)

    assert sum(is_bad for _, is_bad in history) == sum(1 + count_of(alert) for alert in found)
    assert not any(alert.is_recovery for alert in found)
    assert_apart([alert.at for alert in found])


@given(st.lists(st.tuples(st.integers(0, 45), st.sampled_from("ABC"), st.booleans()), max_size=40))
def test_silent_symbols_recover_together(history: list[tuple[int, str, bool]]) -> None:
    """A recovery follows a firing and comes when no symbol that was told is silent; no recovery is told while one is."""
    alerts, now, found, silent = book("silence"), 0, list[Alert](), set[str]()
    for wait, symbol, is_bad in history:
        now += wait
        while (due := alerts.next_check()) <= now:
            found += alerts.handle_timer(due)
        found += alerts.receive_event(silence(symbol, None if is_bad else "data"), now)
        silent = silent | {symbol} if is_bad else silent - {symbol}
        if silent and found and found[-1].is_recovery:
            assert now < alerts.next_check() <= found[-2].at + INTERVAL
        if not silent and found and not found[-1].is_recovery:
            assert alerts.next_check() == found[-1].at + INTERVAL
    assert not any(first.is_recovery and second.is_recovery for first, second in pairwise(found))
    assert not (found and found[0].is_recovery)
    assert_apart([alert.at for alert in found if not alert.is_recovery])


def assert_apart(times: list[float]) -> None:
    assert all(later - earlier >= INTERVAL for earlier, later in pairwise(times))


def count_of(alert: Alert) -> int:
    before, found, count = alert.text.removesuffix(" more in between)").rpartition(" (")
    return int(count) if found and before and alert.text.endswith("in between)") else 0


def test_a_stall_of_our_own_is_told_by_its_length() -> None:
    """Whether or not a ping was in flight."""
    alerts = AlertBook([AlertRule("local_stall")])

    assert [(5.0, "our own program did not run for 2.50 s", False)] == told(
        alerts.receive_event(Stalled(at=5.0, seconds=2.5), 5.0)
    )
