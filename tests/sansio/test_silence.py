"""Silence is judged by the gaps that are normal, escalates step by step, and costs one reconnect at most."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heartbeat_trio.config import LastStep, SilencePolicy
from heartbeat_trio.events import Event, Silence
from heartbeat_trio.sansio.silence import GapModel, SilenceWatch

if TYPE_CHECKING:
    from collections.abc import Iterable

Told = tuple[float, str | None, str, str | None]


PONG_TIMEOUT = 3.0


class Driver:
    """Plays what the session does: data at its time, the timer when it is due, and a peer that answers every step's ping."""

    def __init__(self, policy: SilencePolicy | None = None) -> None:
        self.watch = SilenceWatch(policy or SilencePolicy(), pong_timeout=PONG_TIMEOUT)
        self.answers = True
        self.events: list[Silence] = []
        self.now = 0.0
        self.calls = 0

    @property
    def told(self) -> list[Told]:
        return [(round(event.at, 6), event.symbol, event.step, event.outcome) for event in self.events]

    def run(self, until: float, *, reconnect: bool = False) -> None:
        """Let time pass; with `reconnect`, do as a session does after the last step."""
        while (due := max(self.watch.next_deadline(), self.now)) < until:
            self.now = due
            self.calls += 1
            events = self.watch.handle_timer(due)
            self.keep(events)
            assert self.watch.next_deadline() > due
            orders = [event for event in events if isinstance(event, Silence) and event.outcome is None]
            if reconnect and any(event.step == "reconnect" for event in orders):
                self.watch.end_connection()
                self.watch.start_connection(due)
            if orders and self.answers:
                self.watch.receive_pong(due)
        self.now = until

    def keep(self, events: list[Event]) -> None:
        for event in events:
            assert isinstance(event, Silence)
            self.events.append(event)

    def forget(self, symbol: str) -> None:
        self.keep(self.watch.forget(symbol, self.now))

    def data(self, at: float, *symbols: str, reconnect: bool = False) -> None:
        self.run(at, reconnect=reconnect)
        self.keep(self.watch.receive(symbols, at))

    def begin(self, symbols: Iterable[str] = "A") -> None:
        self.watch.start_connection(self.now)
        for symbol in symbols:
            self.watch.acknowledged(symbol, self.now)

    def flow(self, seconds: float, symbols: str = "A", *, period: float = 0.1) -> float:
        """Each symbol's data once a period, one symbol after another; returns the time of the last."""
        start, step = self.now, period / len(symbols)
        for tick in range(1, round(seconds / step) + 1):
            self.data(start + tick * step, symbols[tick % len(symbols)])
        return self.now


def taught(symbols: str = "A", policy: SilencePolicy | None = None) -> tuple[Driver, float]:
    """A feed of ten quotes a second and symbol, that was learned for a minute; and the time of its last quote."""
    driver = Driver(policy)
    driver.begin(symbols)
    return driver, driver.flow(60, symbols)


def test_nothing_is_known_before_300_gaps() -> None:
    """The first threshold comes with the 300th gap, within the second that a look waits for the next."""
    model = GapModel(SilencePolicy())
    for tick in range(300):
        model.add(tick / 8)
    assert model.threshold(38.0) is None
    model.add(300 / 8)

    assert model.threshold(38.9) is None
    assert model.threshold(39.0) == 1.0


def test_slow_feeds_are_never_judged() -> None:
    """Too few in ten minutes, or less than one message every two seconds: silence would say nothing."""
    slow, bursts = GapModel(SilencePolicy()), GapModel(SilencePolicy())
    for tick in range(301):
        slow.add(tick * 2.05)
    bursts.add(0.0)
    for tick in range(301):
        bursts.add(590 + tick / 4)
    assert slow.threshold(301 * 2.05) is None
    assert bursts.threshold(666.0) is None
    for tick in range(301):
        bursts.add(666 + tick / 16)

    assert bursts.threshold(686.0) == 15.0


@pytest.mark.parametrize(("gap", "expected"), [(0.1, 1.0), (1.0, 3.0), (1.5, 4.0)])
def test_threshold_is_clamped(gap: float, expected: float) -> None:
    """Three times the percentile, from 1 s to 4 s here."""
    model = GapModel(SilencePolicy(maximum=4.0))
    for tick in range(301):
        model.add(tick * gap)

    assert model.threshold(301 * gap) == pytest.approx(expected, rel=0.011)


def test_what_was_learned_is_forgotten_after_ten_minutes() -> None:
    """Long gaps count while they are among the last ten minutes', and the answer stands for ten seconds."""
    model, now = GapModel(SilencePolicy()), 0.0
    for _ in range(10):
        model.add(now := now + 1.5)
    while now < 620:
        model.add(now := now + 0.125)
    assert model.threshold(600.0) == pytest.approx(4.5, rel=0.011)
    assert model.threshold(609.9) == pytest.approx(4.5, rel=0.011)

    assert model.threshold(670.0) == 1.0


def test_one_instant_is_one_message_and_a_pause_is_no_gap() -> None:
    """Batches do not make gaps of nothing; the time without a connection is not learned."""
    model = GapModel(SilencePolicy(minimum=0.01))
    for tick in range(301):
        model.add(tick / 8)
        model.add(tick / 8)
    model.pause()
    model.add(60.0)

    assert model.threshold(61.0) == pytest.approx(3 / 8, rel=0.011)


@settings(max_examples=25)
@given(st.lists(st.floats(0.001, 0.49), min_size=300, max_size=1200))
def test_threshold_is_that_of_a_sorted_list(gaps: list[float]) -> None:
    """The 99.9th percentile by the nearest rank, within the 1 % of the buckets."""
    model, now = GapModel(SilencePolicy(minimum=1e-6, maximum=1000.0)), 0.0
    model.add(now)
    for gap in gaps:
        model.add(now := now + gap)
    exact = sorted(gaps)[ceil(len(gaps) - len(gaps) // 1000) - 1]

    assert model.threshold(now) == pytest.approx(3 * exact, rel=0.011)


def test_silence_escalates_step_by_step() -> None:
    """Probe, subscribe again, reconnect, each after a pong's time, since that is longer than the threshold."""
    driver, last = taught()
    driver.run(last + 60)

    assert driver.told == [
        (last + 1, None, "probe", None),
        (last + 4, None, "probe", "pong"),
        (last + 4, None, "resubscribe", None),
        (last + 7, None, "resubscribe", "pong"),
        (last + 7, None, "reconnect", None),
        (last + 10, None, "reconnect", "pong"),
    ]
    first = driver.events[0]
    assert first.silent_for == pytest.approx(1.0)
    assert first.threshold == 1.0


def test_a_step_waits_for_its_threshold_if_that_is_longer_than_a_pong() -> None:
    """A feed of one quote in 1.5 s has a threshold of 4.5 s."""
    driver = Driver()
    driver.begin()
    last = driver.flow(600, period=1.5)
    driver.run(last + 10)

    steps = [event.at - last for event in driver.events if event.outcome is None]
    assert [4.5, 9.0] == pytest.approx(steps, rel=0.011)


def test_without_a_pong_the_silence_is_the_heartbeats() -> None:
    """It is told once that none came, and nothing more is done, however long it lasts."""
    driver, last = taught()
    driver.answers = False
    driver.run(last + 60)

    assert driver.told == [(last + 1, None, "probe", None), (last + 4, None, "probe", "none")]


@pytest.mark.parametrize("has_data", [True, False])
def test_a_late_pong_lets_it_go_on_unless_data_follows(has_data: bool) -> None:
    """A frozen peer thaws: its pong comes first, and its data has the time of a step to follow."""
    driver, last = taught()
    driver.answers = False
    driver.run(last + 6)
    driver.watch.receive_pong(driver.now)
    driver.run(last + 8.9)
    if has_data:
        driver.data(last + 8.9, "A")
    driver.run(last + 9.1)

    after: list[Told] = [(last + 8.9, None, "probe", "data")]
    if not has_data:
        after = [(last + 9, None, "probe", "pong"), (last + 9, None, "resubscribe", None)]
    assert [(last + 1, None, "probe", None), (last + 4, None, "probe", "none"), *after] == driver.told


def test_each_step_needs_a_pong_of_its_own() -> None:
    """A peer that dies after the probe was answered is not said to answer."""
    driver, last = taught()
    driver.run(last + 3.9)
    driver.answers = False
    driver.run(last + 60)

    assert [(last + 4, "resubscribe", None), (last + 7, "resubscribe", "none")] == [
        (at, step, outcome) for at, _, step, outcome in driver.told[2:]
    ]


def test_without_a_probe_it_waits_for_the_next_ordinary_pong() -> None:
    """That is told in place of the probe, and no time is counted meanwhile; data of the feed is an answer as well."""
    driver, last = taught()
    driver.run(last + 1)
    events = driver.watch.handle_timer(driver.now)
    driver.keep(driver.watch.without_probe(events))
    driver.answers = False
    driver.run(last + 15)
    driver.watch.receive_pong(driver.now)
    driver.run(last + 17.9)
    driver.now = last + 18
    events = driver.watch.handle_timer(driver.now)
    driver.keep(driver.watch.without_probe(events))
    driver.run(last + 60)
    driver.data(last + 60, "A")

    assert driver.told == [
        (last + 1, None, "wait", None),
        (last + 18, None, "wait", "pong"),
        (last + 18, None, "resubscribe", None),
        (last + 60, None, "resubscribe", "data"),
    ]


def test_a_stall_of_our_own_is_taken_off_once() -> None:
    """Short ones are not, and the second one in a silence counts: a busy loop must not hide a dead feed."""
    driver, last = taught()
    watch = driver.watch
    assert watch.accused_since(last + 0.9) is None
    driver.run(last + 1)
    assert last == watch.accused_since(driver.now)

    assert watch.handle_timer(last + 1, 0.9) == []
    assert watch.accused_since(last + 1.8) is None
    assert watch.accused_since(last + 1.9) == pytest.approx(last + 0.9)
    [event] = watch.handle_timer(last + 2, 0.9)
    assert isinstance(event, Silence)
    assert event.step == "probe"
    assert event.silent_for == pytest.approx(2.0)
    watch.receive(["A"], last + 3)
    assert ["probe"] == [getattr(each, "step", "") for each in watch.handle_timer(last + 4, 0.2)]


def test_a_stall_that_was_not_all_of_it_excuses_nothing() -> None:
    """A wake-up 2 s late, 0.5 s of stall: the feed was silent for longer than is normal all the same."""
    driver, last = taught()

    assert ["probe"] == [getattr(each, "step", "") for each in driver.watch.handle_timer(last + 2, 0.5)]


def test_data_ends_the_silence_and_the_next_one_begins_anew() -> None:
    """The step that was taken last gets the outcome `data`."""
    driver, last = taught(policy=SilencePolicy(maximum=1.0))
    driver.data(last + 4.5, "A")
    driver.run(last + 5.6)

    assert driver.told == [
        (last + 1, None, "probe", None),
        (last + 4, None, "probe", "pong"),
        (last + 4, None, "resubscribe", None),
        (last + 4.5, None, "resubscribe", "data"),
        (last + 5.5, None, "probe", None),
    ]
    assert driver.events[3].silent_for == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("last_step", "steps"), [("none", []), ("probe", ["probe"]), ("resubscribe", ["probe", "resubscribe"])]
)
@pytest.mark.parametrize("is_known", [True, False])
def test_it_goes_no_further_than_the_policy(last_step: LastStep, steps: list[str], is_known: bool) -> None:
    """Neither for a silence nor for a subscription without data; late data finds everything in order."""
    policy = SilencePolicy(last_step=last_step)
    driver = taught(policy=policy)[0] if is_known else Driver(policy)
    if not is_known:
        driver.begin()
    driver.run(driver.now + 200)
    driver.data(driver.now, "A")

    assert steps == [event.step for event in driver.events if event.outcome is None]
    assert (steps and ["data"]) == [event.outcome for event in driver.events][len(steps) * 2 :]


def test_without_steps_it_has_no_timer_and_remembers_nothing() -> None:
    """What is not asked for costs nothing, however long it runs."""
    watch = SilenceWatch(SilencePolicy(last_step="none"), pong_timeout=PONG_TIMEOUT)
    watch.start_connection(0.0)
    watch.acknowledged("A", 0.0)

    assert inf == watch.next_deadline()
    assert watch.receive(["A"], 100.0) == []
    assert watch.handle_timer(1000.0) == []


def test_an_unconfirmed_subscription_escalates_alone() -> None:
    """Others flow; of this one nothing came 30, 60 and 90 s after the acknowledgement."""
    driver, start = taught()
    driver.watch.acknowledged("B", start)
    driver.flow(150)

    assert driver.told == [
        (start + 30, "B", "probe", None),
        (start + 60, "B", "probe", "pong"),
        (start + 60, "B", "resubscribe", None),
        (start + 90, "B", "resubscribe", "pong"),
        (start + 90, "B", "reconnect", None),
        (start + 120, "B", "reconnect", "pong"),
    ]
    assert {event.threshold for event in driver.events} == {None}
    assert driver.events[0].silent_for == pytest.approx(30.0)


def test_a_silent_symbol_among_flowing_ones_escalates_alone() -> None:
    """The connection as a whole is not silent."""
    driver, last = taught("AB")
    driver.flow(10, "A", period=0.05)
    last_of_b = round(last - 0.05, 6)

    assert {event.symbol for event in driver.events} == {"B"}
    assert driver.events[0].at == pytest.approx(last_of_b + 1, abs=0.06)
    assert [event.step for event in driver.events if event.outcome is None] == ["probe", "resubscribe", "reconnect"]


@pytest.mark.parametrize("symbols", ["A", "AB", "ABCDEFGHIJ"])
def test_one_silence_of_everything_is_one_silence_and_one_reconnect(symbols: str) -> None:
    """Though the last quotes of the symbols are not of one instant; for as long as it lasts, across the reconnect."""
    driver, last = taught(symbols)
    driver.run(last + 3600, reconnect=True)

    assert [(event.symbol, event.step) for event in driver.events if event.outcome is None] == [
        (None, "probe"),
        (None, "resubscribe"),
        (None, "reconnect"),
    ]
    assert [event.outcome for event in driver.events if event.outcome is not None] == ["pong"] * 3


def test_after_everything_was_silent_a_symbol_is_judged_again() -> None:
    """Data of others ends the common silence; what does not come back has one of its own, told with its whole length."""
    driver, last = taught("AB")
    driver.run(last + 2.5)
    driver.flow(10, "A", period=0.05)

    alone = [event for event in driver.events if event.symbol == "B"]
    assert ["probe", "resubscribe", "reconnect"] == [event.step for event in alone if event.outcome is None]
    assert alone[0].silent_for == pytest.approx(alone[0].at - last, abs=0.051)
    assert alone[0].silent_for > 2.5


def test_a_symbol_is_judged_while_the_whole_is_still_learned() -> None:
    """After an unsubscription the whole is learned anew; that hides nobody's silence."""
    driver, last = taught("AB")
    driver.forget("B")
    driver.flow(1, "A")
    driver.run(last + 2.1)

    assert driver.told == [(last + 2, "A", "probe", None)]


def test_nothing_is_expected_of_what_is_not_wanted() -> None:
    """Unsubscribing the busy symbol must not make the slow one's gaps a silence, nor the last one's end a loss."""
    driver, last = taught("A")
    driver.data(last, "slow")
    driver.forget("A")
    driver.forget("never known")
    driver.data(last + 45, "slow")
    driver.forget("slow")
    driver.run(last + 3600)

    assert driver.told == []


def test_unsubscribing_withdraws_a_silence() -> None:
    """No further step, but an outcome, so that whoever was told of the silence hears of its end."""
    driver, start = taught()
    driver.watch.acknowledged("B", start)
    driver.flow(31)
    driver.forget("B")
    driver.flow(100)

    assert driver.told == [(start + 30, "B", "probe", None), (start + 31, "B", "probe", "unsubscribed")]


def test_unsubscribing_withdraws_the_silence_of_everything() -> None:
    """What is normal for the rest is learned anew, so the end of the common silence is told as well."""
    driver, last = taught()
    driver.run(last + 20)
    driver.forget("A")

    assert (last + 20, None, "reconnect", "unsubscribed") == driver.told[-1]


def test_without_a_connection_nothing_is_expected() -> None:
    """Neither while there is none, nor before data came on the next one."""
    driver, _ = taught()
    driver.watch.end_connection()
    assert inf == driver.watch.next_deadline()
    assert driver.watch.handle_timer(driver.now + 100) == []
    driver.now += 100
    driver.begin()
    driver.run(driver.now + 29)
    driver.data(driver.now, "A")
    driver.run(driver.now + 1.5)

    assert [(driver.now - 0.5, None, "probe", None)] == driver.told


def test_a_quiet_symbol_owes_nothing_on_a_new_connection() -> None:
    """It had data, too little for its gaps to be known: it may trade tomorrow. One that never had any is asked for."""
    driver = Driver()
    driver.begin("AB")
    driver.data(1.0, "A")
    driver.run(10.0)
    driver.watch.end_connection()
    driver.begin("AB")
    driver.run(45.0)

    assert driver.told == [(40.0, "B", "probe", None)]


def test_a_busy_feed_that_is_dead_on_a_new_connection() -> None:
    """It has 30 s for each step until data comes, and is one silence of everything."""
    driver, _ = taught("AB")
    driver.watch.end_connection()
    driver.begin("AB")
    start = driver.now
    driver.run(start + 3600, reconnect=True)

    assert [(start + 30, None, "probe"), (start + 60, None, "resubscribe"), (start + 90, None, "reconnect")] == [
        (at, symbol, step) for at, symbol, step, outcome in driver.told if outcome is None
    ]
    assert {event.threshold for event in driver.events} == {1.0}


def test_a_silence_that_the_heartbeat_ended_goes_on_patiently() -> None:
    """Its probe had no pong; on the new connection it has its 30 s, and is answered with data."""
    driver, last = taught()
    driver.answers = False
    driver.run(last + 15)
    driver.watch.end_connection()
    driver.begin()
    driver.watch.receive_pong(driver.now)
    driver.run(last + 44)
    driver.data(last + 44, "A")

    assert driver.told == [
        (last + 1, None, "probe", None),
        (last + 4, None, "probe", "none"),
        (last + 44, None, "probe", "data"),
    ]


def test_acknowledgement_of_what_flows_changes_nothing() -> None:
    """A second acknowledgement, after subscribing again."""
    driver, last = taught()
    driver.watch.acknowledged("A", last + 0.9)
    driver.run(last + 1.1)

    assert driver.told == [(last + 1, None, "probe", None)]


def test_handle_timer_before_its_time_does_nothing() -> None:
    """However often it is called."""
    driver, last = taught()

    assert driver.watch.handle_timer(last) == []
    assert driver.watch.next_deadline() > last


def test_the_timer_of_an_hour() -> None:
    """About one look a threshold on a healthy feed, one each five seconds where nothing ever comes."""
    healthy, empty = Driver(), Driver()
    healthy.begin()
    healthy.flow(3600)
    empty.begin()
    empty.run(3600)

    assert healthy.told == []
    assert healthy.calls < 4100
    assert empty.calls < 740


class Watching(RuleBasedStateMachine):
    """Any order of events: steps come in order, one at a time, at most one reconnect each silence."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(SilencePolicy(unconfirmed_after=7.0))
        self.driver.begin("AB")
        self.is_connected = True
        self.step: dict[str | None, int] = {}
        self.has_none: dict[str | None, bool] = {}
        self.checked = 0

    @rule(symbols=st.sampled_from(["A", "B", "AB"]), seconds=st.sampled_from([5, 40]))
    @precondition(lambda self: self.is_connected)
    def flow(self, symbols: str, seconds: float) -> None:
        self.driver.flow(seconds, symbols)

    @rule(seconds=st.floats(0.1, 30))
    def wait(self, seconds: float) -> None:
        self.driver.run(self.driver.now + seconds, reconnect=True)

    @rule()
    def pong(self) -> None:
        self.driver.watch.receive_pong(self.driver.now)

    @rule(answers=st.booleans())
    def answer(self, answers: bool) -> None:
        self.driver.answers = answers

    @rule()
    def break_off(self) -> None:
        self.driver.watch.end_connection()
        self.is_connected = False

    @rule()
    def connect(self) -> None:
        if not self.is_connected:
            self.driver.begin("AB")
            self.is_connected = True

    @rule(symbol=st.sampled_from("AB"))
    def unsubscribe(self, symbol: str) -> None:
        self.driver.forget(symbol)
        self.check()
        assert not self.step.get(symbol)

    @invariant()
    def check(self) -> None:
        """An independent account: a pong comes before the next step, `none` is told once, and data alone begins anew."""
        steps = ("probe", "resubscribe", "reconnect")
        new, self.checked = self.driver.events[self.checked :], len(self.driver.events)
        for event in new:
            before = self.step.get(event.symbol, 0)
            if event.outcome is None:
                assert before % 2 == 0
                assert steps[before // 2] == event.step
                self.step[event.symbol] = before + 1
                self.has_none[event.symbol] = False
            elif event.outcome in ("data", "unsubscribed"):
                assert before > 0
                assert steps[(before - 1) // 2] == event.step
                self.step[event.symbol] = 0
            else:
                assert before % 2 == 1
                assert steps[before // 2] == event.step
                if event.outcome == "none":
                    assert not self.has_none[event.symbol]
                self.has_none[event.symbol] = event.outcome == "none"
                self.step[event.symbol] = before + (event.outcome == "pong")

    @invariant()
    def in_order(self) -> None:
        """Time never runs backwards, and a silence is never negative."""
        times = [event.at for event in self.driver.events]
        assert all(first <= second for first, second in pairwise(times))
        assert all(event.silent_for >= 0 for event in self.driver.events)


Watching.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestWatching = Watching.TestCase
