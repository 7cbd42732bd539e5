"""Which endpoint is best: two good ones keep their places, a bad one is left, and somebody is always there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from heartbeat_trio.events import Event
from heartbeat_trio.orders import Ejected, EndpointChanged, EndpointSnapshot, EndpointState, Switched
from heartbeat_trio.policies import BalancerPolicy
from heartbeat_trio.sansio.selection import RANKS, TRANSITIONS, WELL, EndpointSelector, Step
from tests.support.selection import EQUAL, THEORY, switches_in_a_day, time_to_leave

DOWN, FAILING, EJECTED, PROBING, READY = EndpointState
POLICY = BalancerPolicy()
QUICK = BalancerPolicy(dwell=0.0, confirmations=2, slow_start=0.0)


def switches(events: list[Event]) -> list[tuple[str | None, str, str]]:
    return [(event.old, event.new, event.reason) for event in events if isinstance(event, Switched)]


def states(selector: EndpointSelector, now: float) -> list[EndpointState]:
    return [snapshot.state for snapshot in selector.snapshot(now)]


def of(selector: EndpointSelector, name: str, now: float) -> EndpointSnapshot:
    return next(each for each in selector.snapshot(now) if each.endpoint == name)


def start(*names: str, policy: BalancerPolicy = POLICY) -> EndpointSelector:
    """All connected and proven at 1 s with 20 ms each; the first is the best."""
    selector = EndpointSelector(names, policy, 0.0)
    for name in names:
        selector.connected(name, 0.0)
    for name in names:
        for _ in range(policy.probes):
            selector.receive_pong(name, 0.020, 1.0)
    return selector


def pong(selector: EndpointSelector, now: float, count: int = 1, **rtts: float) -> list[Event]:
    events: list[Event] = []
    for _ in range(count):
        for name, rtt in rtts.items():
            events += selector.receive_pong(name, rtt, now)
    return events


# -- examples ----------------------------------------------------------------------------------------------------------


def test_the_first_that_is_connected_is_taken() -> None:
    """Orders need not wait until the others are known; who comes later must be better."""
    selector = EndpointSelector(["a", "b"], POLICY, 5.0)
    assert (None, []) == (selector.best, selector.ranked())
    assert [(None, "b", "first")] == switches(selector.connected("b", 6.0))
    assert [] == switches(selector.connected("a", 7.0))
    assert ("b", ["b", "a"]) == (selector.best, selector.ranked())


def test_an_unknown_endpoint_is_probed_before_it_may_win() -> None:
    """Five pongs, however fast they are; and the one in use must be known as well."""
    selector = EndpointSelector(["a", "b"], QUICK, 0.0)
    selector.connected("a", 0.0)
    selector.connected("b", 0.0)
    assert [] == switches(pong(selector, 1.0, 4, b=0.001))
    assert [DOWN, PROBING] == [DOWN, of(selector, "b", 1.0).state]
    assert [] == switches(pong(selector, 2.0, 4, b=0.001, a=0.5))
    assert [PROBING, READY] == states(selector, 2.0)
    assert [("a", "b", "quality")] == switches(pong(selector, 3.0, 2, a=0.5, b=0.001))


def test_the_first_choice_was_blind_and_need_not_last() -> None:
    """Six confirmations are asked for, five minutes are not: nothing was known when it was made."""
    selector = start("a", "b")
    events: list[Event] = []
    for second in range(2, 40):
        events += pong(selector, float(second), a=0.020, b=0.005)
    [switch] = [event for event in events if isinstance(event, Switched)]
    assert ("a", "b", "quality") == (switch.old, switch.new, switch.reason)
    assert switch.new_score is not None
    assert switch.old_score is not None
    assert switch.old_score - switch.new_score >= 0.3 * switch.old_score
    assert switch.after == switch.at < 20


@pytest.mark.parametrize(
    ("change", "rtts", "switched"),
    [
        ({}, (0.020, 0.0139), True),
        ({}, (0.020, 0.0141), False),
        ({}, (0.0060, 0.0039), True),
        ({}, (0.0060, 0.0041), False),
        ({"min_gain": 0.5}, (0.020, 0.0139), False),
        ({"min_gain_seconds": 0.01}, (0.020, 0.0139), False),
    ],
)
def test_a_switch_must_be_worth_it(change: dict[str, float], rtts: tuple[float, float], switched: bool) -> None:
    """30 per cent, and 2 ms."""
    selector = start("a", "b", policy=replace(POLICY, **change))  # type: ignore[arg-type]  # floats only
    events = pong(selector, 400.0, 40, a=rtts[0], b=rtts[1])
    assert switched == bool(switches(events))


def test_confirmations_must_come_in_a_row() -> None:
    """One pong that finds it otherwise, and counting begins anew."""
    selector = start("a", "b", policy=replace(POLICY, window=1))
    found: list[Event] = []
    for _ in range(3):
        found += pong(selector, 400.0, 3, a=0.020, b=0.005)  # the first one of a finds them equal still
        found += pong(selector, 400.0, b=0.020)
    assert [] == switches(found)
    assert [] == switches(pong(selector, 400.0, 3, a=0.020, b=0.005))
    assert [("a", "b", "quality")] == switches(pong(selector, 400.0, a=0.020))


def test_of_several_that_are_better_the_best_is_taken() -> None:
    """Though another has its confirmations first."""
    selector = start("a", "b", "c")
    events = pong(selector, 400.0, 40, a=0.050, b=0.010, c=0.005)
    assert "c" == switches(events)[0][1]


def test_dwell_and_budget() -> None:
    """Five minutes from switch to switch, and four in any hour."""
    selector = start("a", "b", policy=replace(POLICY, window=1))
    times = []
    for second in range(2, 7300):
        best = selector.best
        assert best is not None
        better = "b" if best == "a" else "a"
        events = selector.receive_pong(best, 0.020, float(second)) + selector.receive_pong(better, 0.005, float(second))
        times += [event.at for event in events if isinstance(event, Switched)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert [300, 300, 300] == [round(gap) for gap in gaps[:3]]
    assert all(later - earlier >= 3600 for earlier, later in zip(times, times[4:], strict=False))
    assert len(times) > 8


def test_misses_weigh_on_the_score() -> None:
    """100 ms for nothing but misses; half of them count half."""
    selector = start("a", "b")
    for _ in range(POLICY.probes):
        selector.missed("a", 2.0)
    snapshot = of(selector, "a", 2.0)
    assert (0.5, 0.020) == (snapshot.misses, snapshot.median)
    assert snapshot.score == pytest.approx(0.070)
    never = EndpointSelector(["a"], POLICY, 0.0)
    never.connected("a", 0.0)
    never.missed("a", 1.0)
    assert (None, 1.0) == (of(never, "a", 1.0).score, of(never, "a", 1.0).misses)


@pytest.mark.parametrize("reason", ["suspect", "degraded", "lost"])
def test_a_failing_endpoint_is_left_at_once(reason: str) -> None:
    """Whatever dwell and budget say; and the reason is told."""
    selector = start("a", "b")
    if reason == "lost":
        events = selector.lost("a", 2.0, detail="pong_timeout: no pong")
    else:
        events = selector.doubted("a", 2.0, reason="suspect" if reason == "suspect" else "degraded")
    assert [("a", "b", reason)] == switches(events)
    assert (
        EndpointChanged(
            at=2.0,
            endpoint="a",
            old=READY,
            new=DOWN if reason == "lost" else FAILING,
            detail="pong_timeout: no pong" if reason == "lost" else reason,
        )
        == events[0]
    )
    assert Ejected(at=2.0, endpoint="a", seconds=30.0, count=1) in events


def test_from_suspicion_to_loss_is_one_failure() -> None:
    """Told twice, counted once."""
    selector = start("a", "b")
    selector.doubted("a", 2.0, reason="suspect")
    events = selector.lost("a", 3.0)
    assert [] == [event for event in events if isinstance(event, Ejected)]
    assert 1 == of(selector, "a", 3.0).ejections
    assert [] == selector.recovered("a", 4.0)


def test_ejections_grow_and_end() -> None:
    """30 s times the number of failures, at most 300 s."""
    selector = start("a", "b")
    lengths = []
    for number in range(12):
        now = 10.0 + 1000 * number
        selector.lost("b", now)
        lengths.append(round(of(selector, "b", now).ejected_for))
        selector.connected("b", now + 1)
        assert EJECTED is of(selector, "b", now + 1).state
        pong(selector, now + 400, 5, b=0.020)
        assert READY is of(selector, "b", now + 400).state
    assert [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300] == lengths


def test_good_health_is_rewarded() -> None:
    """Ten minutes of it take one failure off."""
    selector = start("a", "b")
    for now in (10.0, 20.0, 30.0):
        selector.lost("b", now)
        selector.connected("b", now + 1)
    found = []
    for now in (600.0, 640.0, 1200.0, 1240.0, 1840.0, 9999.0):
        pong(selector, now, b=0.020)
        found.append(of(selector, "b", now).ejections)
    assert [3, 2, 2, 1, 0, 0] == found


def test_an_ejected_endpoint_is_better_than_none() -> None:
    """All others are gone: it is taken though its time is not over."""
    selector = start("a", "b")
    selector.lost("a", 2.0)
    selector.connected("a", 3.0)
    assert (EJECTED, "b") == (of(selector, "a", 3.0).state, selector.best)
    assert [("b", "a", "lost")] == switches(selector.lost("b", 4.0))
    assert 0.0 == of(selector, "b", 4.0).ejected_for, "the last one is never ejected"


def test_who_comes_first_when_all_were_gone() -> None:
    """It stays where it is while nobody is there, and takes the first that is."""
    selector = start("a", "b")
    selector.lost("b", 2.0)
    assert [] == switches(selector.lost("a", 3.0))
    assert ("a", []) == (selector.best, selector.ranked())
    assert [("a", "b", "lost")] == switches(selector.connected("b", 4.0))
    assert [] == switches(selector.connected("a", 5.0))


def test_a_failing_endpoint_is_kept_while_there_is_no_other() -> None:
    """Suspect is better than nothing, and once it answers again nothing has happened."""
    selector = start("a", "b")
    selector.lost("b", 2.0)
    assert [] == switches(selector.doubted("a", 3.0, reason="degraded"))
    assert ["a"] == selector.ranked()
    assert [] == switches(selector.recovered("a", 4.0))
    assert PROBING is of(selector, "a", 4.0).state
    selector.doubted("a", 5.0, reason="suspect")
    assert [("a", "b", "suspect")] == switches(selector.connected("b", 6.0))


def test_coming_back_begins_slowly() -> None:
    """At first its score counts double, a minute later as it is."""
    selector = start("a", "b")
    selector.lost("b", 2.0)
    selector.connected("b", 3.0)
    pong(selector, 100.0, 5, b=0.010)
    scores = [of(selector, "b", now).score for now in (100.0, 130.0, 160.0, 161.0)]
    assert [0.020, 0.015, 0.010, 0.010] == [pytest.approx(score) for score in scores]


def test_shares_add_up() -> None:
    """Parts of the time since it began."""
    selector = start("a", "b")
    selector.lost("a", 30.0)
    assert [0.3, 0.7] == [each.share for each in selector.snapshot(100.0)]
    assert [0.0, 0.0] == [each.share for each in EndpointSelector(["a", "b"], POLICY, 1.0).snapshot(1.0)]


# -- goals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("medians", "seeds"), [(EQUAL, range(3)), (EQUAL[::-1], range(1)), ((0.020, 0.021, 0.0205), range(1))]
)
def test_equal_servers_hardly_ever_change_places(medians: tuple[float, ...], seeds: range) -> None:
    """20 and 21 ms, a day of pings each 5 s: at most one switch in any day (`scripts/bench selection` has more of them)."""
    assert all(switches_in_a_day(THEORY, seed, medians) <= 1 for seed in seeds)


def test_a_server_that_becomes_twice_as_slow_is_left_in_time() -> None:
    """Within 120 s once the dwell has passed, every time."""
    times = sorted(time_to_leave(THEORY, seed) for seed in range(200))
    assert times[0] > 0
    assert times[100] <= 80
    assert times[-1] <= 120


def test_servers_that_all_become_slow_are_no_reason_to_change() -> None:
    """By their levels those that wait are better, for twenty minutes; by what they do now they are not."""
    selector = start("a", "b")
    pong(selector, 400.0, 240, a=0.020, b=0.020)
    assert [] == switches(pong(selector, 2000.0, 300, a=0.040, b=0.040))


def test_who_waits_must_have_been_better_for_long() -> None:
    """Half of 240 pongs and more; who is in use is judged by the last 22."""
    selector = start("a", "b")
    pong(selector, 400.0, 240, a=0.020, b=0.020)
    assert [] == switches(pong(selector, 2000.0, 130, a=0.020, b=0.010))
    assert [("a", "b", "quality")] == switches(pong(selector, 2000.0, 40, a=0.020, b=0.010))
    pong(selector, 3000.0, 240, a=0.020, b=0.020)
    assert [] == switches(pong(selector, 9000.0, 10, a=0.020, b=0.040))
    assert [("b", "a", "quality")] == switches(pong(selector, 9000.0, 12, a=0.020, b=0.040))


def test_a_small_gain_that_is_asked_for_is_enough_of_late_too() -> None:
    """`min_gain` below `min_recent_gain`."""
    selector = start("a", "b", policy=replace(POLICY, min_gain=0.1))
    assert [("a", "b", "quality")] == switches(pong(selector, 400.0, 40, a=0.020, b=0.0175))


@pytest.mark.parametrize("faster", [True, False])
def test_a_flapping_endpoint_gets_little_of_the_time(faster: bool) -> None:
    """Up 30 s, down 30 s: at most a fifth, after ten minutes and in the ten minutes after those."""
    selector = EndpointSelector(["flapping", "steady"], POLICY, 0.0)
    selector.connected("flapping", 0.0)
    selector.connected("steady", 0.0)
    shares = []
    for tick in range(1, 241):
        now = 5.0 * tick
        if now % 60 == 30:
            selector.lost("flapping", now)
        elif now % 60 == 0:
            selector.connected("flapping", now)
        if now % 60 < 30:
            selector.receive_pong("flapping", 0.005 if faster else 0.020, now)
        selector.receive_pong("steady", 0.020, now)
        if tick in (120, 240):
            shares.append(of(selector, "flapping", now).share)
    assert shares[0] <= 0.2
    assert shares[1] <= shares[0]


# -- everything else ---------------------------------------------------------------------------------------------------


def test_what_is_told_twice_changes_nothing() -> None:
    """Nor does what is told of an endpoint that is down."""
    selector = start("a", "b")
    assert [] == selector.connected("b", 2.0)
    selector.lost("b", 3.0)
    assert [] == selector.lost("b", 4.0) + selector.doubted("b", 4.0, reason="suspect") + selector.recovered("b", 4.0)


def test_the_table_is_complete() -> None:
    """Each state can be reached and left; doubt and loss apply to whatever is well."""
    assert set(TRANSITIONS.values()) == set(EndpointState) == {old for old, _ in TRANSITIONS}
    for state in WELL:
        assert (FAILING, DOWN) == (TRANSITIONS[state, Step.DOUBT], TRANSITIONS[state, Step.LOSE])
    assert sorted(RANKS, key=lambda state: RANKS[state]) == [DOWN, FAILING, EJECTED, PROBING, READY]


NAMES = st.sampled_from("abc")


class SelectorMachine(RuleBasedStateMachine):
    """Anything may happen to three endpoints in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.policy = BalancerPolicy(dwell=20.0, confirmations=2, probes=2, window=4, max_switches=2)
        self.selector = EndpointSelector("abc", self.policy, self.now)
        self.connected: set[str] = set()
        self.doubted: set[str] = set()
        self.quality_at: list[float] = []
        self.switched_at = [0.0]
        self.states = dict.fromkeys("abc", DOWN)
        self.pongs: Counter[str] = Counter()

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, EndpointChanged):
                assert self.states[event.endpoint] is event.old
                assert (event.old, event.new) in {(old, new) for (old, _), new in TRANSITIONS.items()}
                self.states[event.endpoint] = event.new
            elif isinstance(event, Switched):
                self.check(event)
            else:
                assert isinstance(event, Ejected)
                assert 0 < event.seconds <= self.policy.max_ejection

    def check(self, event: Switched) -> None:
        assert self.selector.best == event.new != event.old
        assert self.states[event.new] is not DOWN
        if event.reason == "quality":
            assert event.old_score is not None
            assert event.new_score is not None
            assert event.old_score - event.new_score >= 0.3 * event.old_score
            assert (READY, True) == (self.states[event.new], self.pongs[event.new] >= self.policy.probes)
            assert len(self.switched_at) <= 2 or self.now - self.switched_at[-1] >= self.policy.dwell
            self.quality_at.append(self.now)
            assert len(self.quality_at) <= 2 or self.now - self.quality_at[-3] >= 3600
        elif event.old is not None:
            assert self.states[event.old] in (FAILING, DOWN)
        self.switched_at.append(self.now)

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=NAMES)
    def connect(self, name: str) -> None:
        if name not in self.connected:
            self.connected.add(name)
            self.pongs[name] = 0
            self.take(self.selector.connected(name, self.now))

    @rule(name=NAMES)
    def lose(self, name: str) -> None:
        self.connected.discard(name)
        self.doubted.discard(name)
        self.take(self.selector.lost(name, self.now))

    @rule(name=NAMES, reason=st.sampled_from(["suspect", "degraded"]))
    def doubt(self, name: str, reason: str) -> None:
        if name in self.connected:
            self.doubted.add(name)
            self.take(self.selector.doubted(name, self.now, reason="suspect" if reason == "suspect" else "degraded"))

    @rule(name=NAMES)
    def recover(self, name: str) -> None:
        if name in self.doubted:
            self.doubted.discard(name)
            self.pongs[name] = 0
            self.take(self.selector.recovered(name, self.now))

    @rule(name=NAMES, rtt=st.sampled_from([None, 0.001, 0.02, 0.2]), count=st.integers(1, 4))
    def ping(self, name: str, rtt: float | None, count: int) -> None:
        for _ in range(count if name in self.connected else 0):
            if rtt is None:
                self.take(self.selector.missed(name, self.now))
            else:
                self.pongs[name] += 1
                self.take(self.selector.receive_pong(name, rtt, self.now))

    @invariant()
    def agrees(self) -> None:
        snapshots = self.selector.snapshot(self.now)
        assert self.states == {each.endpoint: each.state for each in snapshots}
        assert self.connected == {each.endpoint for each in snapshots if each.state is not DOWN}
        assert self.doubted == {each.endpoint for each in snapshots if each.state is FAILING}
        assert [self.selector.best] == [each.endpoint for each in snapshots if each.is_best] or self.selector.best is None
        assert min(each.ejected_for for each in snapshots) == 0.0, "never all ejected"
        assert sum(each.share for each in snapshots) <= 1.0 + 1e-9
        assert set(self.selector.ranked()) == self.connected

    @invariant()
    def somebody_is_there(self) -> None:
        """While anybody is well, orders go to somebody who is."""
        well = [name for name, state in self.states.items() if state in WELL]
        best = self.selector.best
        assert not well or (best is not None and self.states[best] in WELL)
        assert not self.connected or best in self.connected


TestSelectorMachine = SelectorMachine.TestCase
TestSelectorMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
