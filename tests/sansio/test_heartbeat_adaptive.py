"""The heartbeat with evidence, stalls and the adaptive detector: what it says, and what always holds."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heartbeat_trio.config import HeartbeatPolicy
from heartbeat_trio.events import (
    Cause,
    ConnectionState,
    Event,
    Evidence,
    PongLate,
    PongMissed,
    PongReceived,
    PongVoided,
    Receipt,
    StateChanged,
    Suspected,
)
from heartbeat_trio.sansio.heartbeat import Heartbeat
from heartbeat_trio.sansio.pings import Fate, SendPing

ADAPTIVE = HeartbeatPolicy(adaptive=True)
SILENT = Evidence(age=3.0, timeout=3.0, silent_for=3.0)
PATH_DEAD = Evidence(age=0.9, timeout=3.0, silent_for=1.0, unacknowledged=1, backoff=2, acknowledged_ago=0.9, window=9)
STALLED = Evidence(age=3.0, timeout=3.0, silent_for=3.0, loop_lag=2.5)


class Shell:
    """Keeps time and hands every ping over at once; gives the same evidence to every verdict."""

    def __init__(self, policy: HeartbeatPolicy = ADAPTIVE, evidence: Evidence | None = SILENT) -> None:
        self.now = 1000.0
        self.heartbeat = Heartbeat(policy, now=self.now, rng=Random(1))
        self.evidence = evidence
        self.pings: list[tuple[float, SendPing]] = []
        self.verdicts = 0

    def wake(self) -> list[Event]:
        judged = self.heartbeat.accused(self.now)
        self.verdicts += judged is not None
        decisions = self.heartbeat.handle_timer(self.now, self.evidence if judged else None)
        for ping in decisions:
            if isinstance(ping, SendPing):
                self.pings.append((self.now, ping))
                self.heartbeat.ping_sent(ping.nonce, self.now)
        return [event for event in decisions if isinstance(event, Event)]

    def run_until(self, when: float) -> list[Event]:
        events: list[Event] = []
        while self.heartbeat.next_deadline() <= when:
            self.now = max(self.now, self.heartbeat.next_deadline())
            events += self.wake()
        self.now = max(self.now, when)
        return events

    def pong(self, number: int = -1, **more: object) -> list[Event]:
        return self.heartbeat.receive_pong(self.pings[number][1].nonce, self.now, **more)  # type: ignore[arg-type]


def status(shell: Shell) -> tuple[bool, ConnectionState]:
    return shell.heartbeat.is_suspect, shell.heartbeat.state


def answered_once() -> Shell:
    """After a round trip of 10 ms: probe timeouts are 0.5 s from now on. The next ping is the second."""
    shell = Shell()
    shell.run_until(1000.0)
    shell.now = 1000.01
    shell.pong()
    shell.run_until(shell.heartbeat.next_deadline())  # the path is looked at, 0.9 s after the ping
    shell.run_until(shell.heartbeat.next_deadline())
    assert len(shell.pings) == 2
    return shell


def test_a_silent_peer_is_suspect_degraded_and_dead_after_seven_timeouts() -> None:
    """0.5, 1.5 and 3.5 s after the ping that has no answer, with a probe at each step but the last."""
    shell = answered_once()
    begin = shell.now
    events = shell.run_until(begin + 10)
    steps = [(round(event.at - begin, 6), type(event).__name__) for event in events if not isinstance(event, PongMissed)]
    states = [event.new for event in events if isinstance(event, StateChanged)]

    assert (0.5, "Suspected") == steps[0]
    assert [(1.5, "StateChanged"), (3.0, "StateChanged"), (3.5, "StateChanged"), (3.5, "StateChanged")] == steps[1:]
    assert ConnectionState.DISCONNECTED is states[-1]
    assert [0.0, 0.5, 1.5] == [round(at - begin, 6) for at, _ in shell.pings[1:]]
    assert (Cause.PEER_SILENT, SILENT) == (shell.heartbeat.blame, shell.heartbeat.evidence)


@pytest.mark.parametrize("wait", [0.6, 1.6])
def test_an_answer_ends_the_suspicion(wait: float) -> None:
    """At any step, and the state is CONNECTED again."""
    shell = answered_once()
    shell.run_until(shell.now + wait)
    assert (True, ConnectionState.DEGRADED if wait > 1 else ConnectionState.CONNECTED) == status(shell)

    events = shell.pong(1)

    assert Suspected(at=shell.now, is_suspect=False) in events
    assert (False, ConnectionState.CONNECTED) == status(shell)


def test_data_ends_it_too_but_not_the_misses() -> None:
    """Evidence of life beats the absence of a pong; a missed pong is ended by a pong only."""
    shell = answered_once()
    shell.run_until(shell.now + 1.6)
    events = shell.heartbeat.receive_data(shell.now)
    assert [Suspected, StateChanged] == [type(event) for event in events]
    assert (False, ConnectionState.CONNECTED) == status(shell)

    shell.run_until(shell.now + 1.45)  # the first pong is missed now
    assert 1 == shell.heartbeat.missed_pongs
    assert shell.heartbeat.is_suspect
    assert [Suspected(at=shell.now, is_suspect=False)] == shell.heartbeat.receive_data(shell.now)
    assert (False, ConnectionState.DEGRADED) == status(shell)


def test_with_pongs_only_data_is_no_life() -> None:
    """The ladder goes on."""
    shell = Shell(HeartbeatPolicy(adaptive=True, liveness="pong_only"))
    shell.run_until(1001.5)
    assert shell.heartbeat.is_suspect

    assert [] == shell.heartbeat.receive_data(shell.now)
    assert shell.heartbeat.is_suspect
    assert 0.0 == shell.heartbeat.quiet_for(shell.now)
    assert 1.5 == shell.heartbeat.silent_for(shell.now)


def test_the_misses_of_probes_do_not_count_towards_the_end() -> None:
    """With a patience that outlasts them, only the bound ends it."""
    policy = HeartbeatPolicy(adaptive=True, minimum_pto=2.0, maximum_pto=2.0)
    shell = Shell(policy)
    shell.run_until(1000.0)
    shell.pong()
    life = shell.now
    dead = None
    while dead is None:
        events = shell.run_until(shell.heartbeat.next_deadline())
        dead = next((event.at for event in events if isinstance(event, StateChanged) and shell.heartbeat.is_over), None)

    assert dead - life <= policy.bound
    assert dead - shell.pings[1][0] == pytest.approx(13.0)  # three ticks and a timeout, whatever was probed
    assert shell.heartbeat.count(Fate.MISSED) > 3


def test_a_dead_path_is_suspect_before_any_ping_is_late() -> None:
    """Bytes that are no ping left 0.9 s ago, and the kernel had no acknowledgement."""
    shell = answered_once()
    shell.now += 0.01
    shell.pong()
    shell.run_until(shell.now + 1.5)
    shell.evidence = PATH_DEAD
    shell.heartbeat.bytes_sent(shell.now)
    begin = shell.now
    accused = shell.heartbeat.accused(begin + 0.9)
    assert accused is not None
    assert (begin, True) == (accused.due, accused.was_sent)

    events = shell.run_until(begin + 0.9)

    assert [Suspected(at=begin + 0.9, is_suspect=True, blame=Cause.PATH_DEAD, evidence=PATH_DEAD)] == events
    assert begin + 0.9 == shell.pings[-1][0]


def test_bytes_sent_mean_nothing_to_the_classic_detector() -> None:
    """It asks the kernel only about late pongs."""
    shell = Shell(HeartbeatPolicy())
    shell.run_until(1000.0)
    due = shell.heartbeat.next_deadline()
    shell.heartbeat.bytes_sent(shell.now)

    assert due == shell.heartbeat.next_deadline()
    assert not shell.heartbeat.is_suspect


def test_our_own_stall_excuses_one_timeout() -> None:
    """Then the detector waits longer, and the second time it believes."""
    shell = answered_once()
    shell.evidence = msgspec.structs.replace(STALLED, loop_lag=0.3)
    begin = shell.now

    assert [] == shell.run_until(begin + 0.5)
    assert [] == shell.run_until(begin + 1.49)  # one timeout more, of twice the length
    [suspected] = shell.run_until(begin + 1.5)
    assert isinstance(suspected, Suspected)


def test_a_stall_voids_once_between_two_pongs() -> None:
    """It must not excuse a dead peer again and again, nor one that only sends data; the next ping follows at once."""
    shell = Shell(HeartbeatPolicy(), STALLED)
    shell.run_until(1000.0)
    [voided] = shell.run_until(1003.0)
    second = shell.pings[1][0]
    assert PongVoided(at=1003.0, ping=1, evidence=STALLED) == voided
    assert [1000.0, second, 1003.0] == [at for at, _ in shell.pings]

    [missed, degraded] = shell.run_until(second + 3.0)
    assert PongMissed(at=second + 3.0, ping=2, missed=1, blame=Cause.PEER_SILENT, evidence=STALLED) == missed
    assert isinstance(degraded, StateChanged)
    shell.heartbeat.receive_data(shell.now)
    assert [PongMissed, StateChanged] == [type(event) for event in shell.run_until(1006.0)]
    assert 1 == shell.heartbeat.count(Fate.VOIDED)
    shell.pong()
    shell.run_until(shell.heartbeat.next_deadline())
    shell.run_until(shell.pings[-1][0] + 3.0)
    assert 2 == shell.heartbeat.count(Fate.VOIDED)


def test_a_pong_at_the_instant_of_its_miss_is_late() -> None:
    """The verdict came first."""
    shell = Shell(HeartbeatPolicy(), None)
    shell.run_until(1003.0)
    [late, *_] = shell.pong(0)

    assert PongLate(at=1003.0, ping=1, rtt=3.0) == late


def test_late_keeps_the_blame_of_the_miss() -> None:
    """With the evidence of then."""
    shell = Shell(HeartbeatPolicy(), SILENT)
    shell.run_until(1003.0)
    shell.now = 1003.5
    [late, *_] = shell.pong(0)

    assert PongLate(at=1003.5, ping=1, rtt=3.5, blame=Cause.PEER_SILENT, evidence=SILENT) == late


def test_a_round_trip_is_that_of_the_wire_in_its_parts() -> None:
    """From the hand-over to the kernel's receipt; what came after that is ours."""
    shell = Shell()
    shell.run_until(1000.0)
    shell.now = 1000.5
    [pong, *_] = shell.pong(receipt=Receipt(1000.25, True), network=0.0625)

    assert (
        PongReceived(
            at=1000.5,
            ping=1,
            rtt=0.25,
            is_exact=True,
            network=0.0625,
            peer=0.1875,
            local=0.25,
            blame=Cause.LOCAL_STALL,
        )
        == pong
    )


def test_a_short_delay_of_ours_is_nobodys_fault_and_the_network_is_no_slower_than_the_whole() -> None:
    """Up to 50 ms; `tcpi_rtt` is smoothed, and may exceed one round trip."""
    shell = Shell(HeartbeatPolicy())
    shell.run_until(1000.0)
    shell.now = 1000.03
    [pong, *_] = shell.pong(receipt=Receipt(1000.0, False), network=0.5)

    assert isinstance(pong, PongReceived)
    assert (0.0, 0.0, 0.0, False, None) == (pong.rtt, pong.network, pong.peer, pong.is_exact, pong.blame)


def test_a_pong_found_too_late_tells_how_long_it_lay() -> None:
    """The void has no measurement but that."""
    shell = Shell(HeartbeatPolicy(), None)
    shell.run_until(1000.0)
    shell.now = 1005.0
    [voided, *_] = shell.pong(receipt=Receipt(1000.25, True))

    assert PongVoided(at=1005.0, ping=1, is_answered=True, local=4.75) == voided


def test_probes_are_sent_on_request_within_their_limit() -> None:
    """And off the schedule, which stays."""
    shell = Shell(HeartbeatPolicy(max_probes=2))
    shell.run_until(1000.0)
    tick = shell.heartbeat.next_deadline() if shell.pong() else 0.0
    shell.heartbeat.request_probe(shell.now)
    assert shell.now == shell.heartbeat.next_deadline()
    shell.run_until(shell.now)
    shell.pong()
    shell.heartbeat.request_probe(shell.now)
    shell.run_until(shell.now)
    shell.pong()
    shell.heartbeat.request_probe(shell.now)

    assert 3 == len(shell.pings)
    assert shell.heartbeat.next_deadline() == shell.heartbeat.next_deadline() > shell.now
    assert tick <= 1005.0


def test_a_probe_that_the_venue_has_no_room_for_is_not_sent() -> None:
    """It is asked each time, and a refusal costs nothing of the probes' own limit."""
    answers = [False, True]
    heartbeat = Heartbeat(HeartbeatPolicy(max_probes=1), now=0.0, rng=Random(1), try_probe=lambda _now: answers.pop(0))
    [regular] = heartbeat.handle_timer(0.0)
    heartbeat.request_probe(1.0)
    assert [] == heartbeat.handle_timer(1.0)
    heartbeat.request_probe(1.0)
    [probe] = heartbeat.handle_timer(1.0)
    heartbeat.request_probe(1.5)  # its own limit: nobody is asked
    assert isinstance(regular, SendPing)
    assert isinstance(probe, SendPing)
    assert (False, True, []) == (regular.is_probe, probe.is_probe, answers)


def test_no_probes_are_possible() -> None:
    """A venue that counts every message."""
    shell = Shell(HeartbeatPolicy(adaptive=True, max_probes=0))
    shell.run_until(1000.0)
    shell.heartbeat.request_probe(shell.now)
    shell.run_until(1002.4)

    assert 1 == len(shell.pings)
    assert shell.heartbeat.is_suspect


def test_a_line_that_acknowledges_is_no_dead_path_however_much_we_send() -> None:
    """Something is always on its way: what is judged is what left first, and without retransmissions that is nothing."""
    shell = Shell(evidence=msgspec.structs.replace(PATH_DEAD, age=0.05, backoff=0, acknowledged_ago=0.2))
    shell.run_until(1000.0)
    for _ in range(100):
        assert [] == [event for event in shell.run_until(shell.now + 0.05) if isinstance(event, Suspected)]
        shell.pong()
        shell.heartbeat.bytes_sent(shell.now)

    assert shell.verdicts > 4


def test_doubts_of_one_instant_are_one_probe() -> None:
    """And cost the budget once."""
    shell = Shell(HeartbeatPolicy(max_probes=2), None)
    shell.run_until(1000.0)
    shell.pong()
    for _ in range(2):
        shell.run_until(shell.now + 0.1)
        for _ in range(30):
            shell.heartbeat.request_probe(shell.now)
        shell.wake()
        shell.pong()

    assert 3 == len(shell.pings)


def test_a_flood_without_pongs_excuses_one_ping_only() -> None:
    """Something lies unread at every look; a peer that answers nothing is missed all the same, and lost in the end."""
    flooded = Evidence(age=3.0, timeout=3.0, silent_for=0.0, unread=5000, acknowledged_ago=0.0)
    shell = Shell(HeartbeatPolicy(max_pongless=20), flooded)
    shell.run_until(1000.0)
    shell.pong()
    events: list[Event] = []
    while not shell.heartbeat.is_over:
        events += shell.run_until(shell.now + 0.5)
        events += shell.heartbeat.receive_data(shell.now)

    assert 1 == sum(isinstance(event, PongVoided) for event in events)
    assert {Cause.PEER_SLOW} == {event.blame for event in events if isinstance(event, PongMissed)}
    assert shell.now <= 1000 + 20 + 5 + 3


class AdaptiveMachine(RuleBasedStateMachine):
    """Anything at any time; fates are counted from the events alone."""

    @initialize(adaptive=st.booleans(), liveness=st.sampled_from(["any_inbound", "pong_only"]), probes=st.integers(0, 5))
    def begin(self, adaptive: bool, liveness: str, probes: int) -> None:
        self.policy = HeartbeatPolicy(adaptive=adaptive, liveness=liveness, max_probes=probes)  # type: ignore[arg-type]
        self.shell = Shell(self.policy)
        self.fates: dict[int, str] = {}
        self.voids_since_life = 0
        self.punctual_since = self.shell.now
        self.last_life = self.shell.now
        self.stalls = 0

    def learn(self, events: list[Event]) -> None:
        names = {PongReceived: "answered", PongLate: "late", PongMissed: "missed", PongVoided: "voided"}
        for event in events:
            if type(event) in names:
                self.fates[event.ping] = names[type(event)]  # type: ignore[attr-defined]  # these four have it

    def wake(self) -> None:
        for _ in range(4):
            events = self.shell.wake()
            self.learn(events)
            self.voids_since_life += any(isinstance(event, PongVoided) for event in events)
            if self.shell.heartbeat.next_deadline() > self.shell.now:
                return
        raise AssertionError("it does not come to rest")

    @rule(seconds=st.floats(0, 8))
    def time_passes(self, seconds: float) -> None:
        until = self.shell.now + seconds
        while self.shell.heartbeat.next_deadline() <= until:
            self.shell.now = max(self.shell.now, self.shell.heartbeat.next_deadline())
            self.wake()
        self.shell.now = until

    @rule(seconds=st.floats(0.3, 20))
    def we_stall(self, seconds: float) -> None:
        self.shell.now += seconds
        self.punctual_since = self.shell.now
        self.stalls += 1
        evidence, self.shell.evidence = self.shell.evidence, msgspec.structs.replace(STALLED, loop_lag=seconds)
        self.wake()
        self.shell.evidence = evidence

    @rule(evidence=st.sampled_from([None, SILENT, PATH_DEAD]))
    def the_kernel_says(self, evidence: Evidence | None) -> None:
        self.shell.evidence = evidence

    @precondition(lambda self: self.shell.pings)
    @rule(data=st.data(), receipt=st.booleans())
    def pong(self, data: st.DataObject, receipt: bool) -> None:
        number = data.draw(st.integers(0, len(self.shell.pings) - 1))
        sent_at = self.shell.pings[number][0]
        stamp = Receipt(data.draw(st.floats(sent_at, self.shell.now)), True) if receipt else None
        events = self.shell.pong(number, receipt=stamp)
        self.learn(events)
        if events:
            self.live()

    @rule()
    def data(self) -> None:
        self.learn(self.shell.heartbeat.receive_data(self.shell.now))
        if self.policy.liveness == "any_inbound":
            self.live()

    def live(self) -> None:
        self.voids_since_life = 0
        self.last_life = self.shell.now

    @rule()
    def doubt(self) -> None:
        self.shell.heartbeat.request_probe(self.shell.now)

    @rule()
    def bytes_leave(self) -> None:
        self.shell.heartbeat.bytes_sent(self.shell.now)

    @rule()
    def connection_ends(self) -> None:
        self.shell.heartbeat.close(self.shell.now)
        for number in range(1, self.shell.heartbeat.sent + 1):
            self.fates.setdefault(number, "cancelled")

    @invariant()
    def every_ping_has_one_fate(self) -> None:
        heartbeat = self.shell.heartbeat
        told = list(self.fates.values())
        open_pings = heartbeat.sent - len(told)
        expected = {fate.value: told.count(fate.value) for fate in Fate} | {"in_flight": open_pings}
        assert expected == {fate.value: heartbeat.count(fate) for fate in Fate}

    @invariant()
    def a_stall_excuses_once(self) -> None:
        assert self.voids_since_life <= 1

    @invariant()
    def the_bound_holds(self) -> None:
        since = max(self.last_life, self.punctual_since)
        # A stall may excuse one ping, or hold one back until it is over: its time comes on top of the bound.
        slack = 0.0 if since == self.last_life and self.punctual_since < since else self.policy.pong_timeout + 1.0
        silent = self.shell.now - since
        assert self.shell.heartbeat.is_over or silent <= self.policy.bound + slack + 1e-6

    @invariant()
    def probes_keep_to_their_limit(self) -> None:
        times = [at for at, _ in self.shell.pings]
        for index, at in enumerate(times):
            in_a_minute = sum(1 for other in times[index:] if other < at + 60)
            # Ticks come at most every 2.5 s once, then every 5 s, and once more after each excuse or stall.
            assert in_a_minute <= self.policy.max_probes + 60 / 4 + 2 + 2 * self.stalls


TestAdaptiveMachine = AdaptiveMachine.TestCase
TestAdaptiveMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
