"""From events and figures to announcements and sinks, whatever the sinks do."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from heartbeat_trio._broadcast import Broadcast, EventChannel
from heartbeat_trio.config import GatePolicy, HeartbeatPolicy, RestartPolicy
from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.events import Alert, AlertFailed, EndedForGood, Event, Gap, Lost, PongReceived, QualitySnapshot
from heartbeat_trio.exceptions import ConfigError, GaveUp
from heartbeat_trio.observe.alerts import parse_alert, watch_session
from heartbeat_trio.observe.sinks import Sink, SinkError
from heartbeat_trio.sansio.alerts import AlertRule
from heartbeat_trio.sansio.quality import ConnectionQuality
from heartbeat_trio.session import Session, open_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOST = Lost(at=0.0, cause="reset", detail="the peer reset it")
LOST_TEXT = "connection lost (reset): the peer reset it"
GAP = Gap(at=0.0, symbol="A", stream="s", first=2, last=4, reason="expired")
RULE_LOST, RULE_GAP, RULE_P95 = AlertRule("lost"), AlertRule("gap"), AlertRule("p95", 0.1)


class FakeSession:
    """What the watching needs of a session."""

    def __init__(self) -> None:
        self.endpoint = Endpoint.parse("tcp://host:1")
        self.figures = ConnectionQuality(pong_timeout=3.0)
        self.told: list[Event] = []
        self.broadcast = Broadcast()
        self.gates: list[GatePolicy | None] = []

    @asynccontextmanager
    async def events(self) -> AsyncIterator[EventChannel]:
        await trio.lowlevel.checkpoint()
        with self.broadcast.subscribe() as channel:
            yield channel

    def quality(self) -> QualitySnapshot:
        return self.figures.snapshot(trio.current_time())

    def gate(self, policy: GatePolicy | None = None) -> object:
        self.gates.append(policy)
        return None

    def announce(self, event: Event) -> None:
        self.told.append(event)
        self.broadcast.put(event)

    def alerts(self) -> list[tuple[float, str]]:
        return [(event.at, event.text) for event in self.told if isinstance(event, Alert)]

    def failures(self) -> list[tuple[float, str, str, str]]:
        return [(event.at, event.rule, event.sink, event.detail) for event in self.told if isinstance(event, AlertFailed)]


class ListSink(Sink):
    """Keeps what it gets, after a delay; may fail."""

    kind = "list"

    def __init__(self, *, delay: float = 0.0, error: Exception | None = None) -> None:
        super().__init__()
        self.delay = delay
        self.error = error
        self.got: list[tuple[float, str]] = []

    async def send(self, endpoint: str, alert: Alert) -> None:
        await trio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        self.got.append((trio.current_time(), alert.text))


class RudeSink(ListSink):
    """Overrides what it should not."""

    kind = "rude"

    async def deliver(self, endpoint: str, alert: Alert) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("s3cret")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lost", "an alert looks like RULE=SINK, for example lost=log"),
        ("webhook:https://host/s3cret", "an alert looks like RULE=SINK"),
        ("loss=log", "alert rule 'loss' is unknown"),
        ("lost=webhook:s3cret", "alert sink webhook: the address must begin with http"),
        ("webhook:https://host/s3cret?x=1", "alert rule 'webhook' is unknown"),
        ("degraded:https://host/s3cret?x=1", "alert rule 'degraded': what follows the colon is no limit"),
        ("lost:webhook:https://host/?token=s3cret", "alert rule 'lost' takes no limit"),
        ("/usr/bin/notify --key s3cret=lost", "alert rule .not shown. is unknown"),
    ],
)
def test_what_is_no_alert(text: str, problem: str) -> None:
    """The half at fault is named, and no address is shown."""
    with pytest.raises(ConfigError, match=problem) as caught:
        parse_alert(text)

    assert "s3cret" not in str(caught.value)


def test_alerts_are_read() -> None:
    """The sink may have any number of `=`."""
    rule, sink = parse_alert("degraded:5=webhook:https://host/?a=b")

    assert ("degraded:5", "webhook") == (str(rule), sink.kind)


async def test_announced_and_delivered(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """To the sinks of its rule, once each; control characters of the peer are escaped."""
    session, first, second = FakeSession(), ListSink(), ListSink()
    alerts = [(RULE_LOST, first), (RULE_LOST, first), (RULE_LOST, second), (RULE_GAP, second)]
    nursery.start_soon(watch_session, session, alerts)
    await trio.sleep(1)

    session.broadcast.put(Lost(at=1.0, cause="reset", detail="a\x1b[2Jb"))
    await trio.sleep(1)
    session.broadcast.put(GAP)
    await trio.sleep(1)

    lost, gap = (1.0, r"connection lost (reset): a\x1b[2Jb"), (2.0, "gap in A: quotes 2 to 4 will not come (expired)")
    assert [lost, gap] == session.alerts()
    assert ([lost], [lost, gap]) == (first.got, second.got)
    assert [] == session.failures()


async def test_figures_are_looked_at_every_five_seconds(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Without any event; and what is due comes on time."""
    session, sink = FakeSession(), ListSink()
    nursery.start_soon(watch_session, session, [(RULE_P95, sink), (RULE_GAP, sink)])
    await trio.sleep(2)
    session.broadcast.put(GAP)
    session.broadcast.put(GAP)
    for _ in range(20):
        session.figures.record_ping(2.0)
        session.figures.record_pong(0.2, 2.0)
    await trio.sleep(100)

    assert [2.0, 5.0, 62.0] == [at for at, _ in sink.got]


async def test_a_slow_sink_delays_nobody(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Each waits for itself alone; it is given up after ten seconds."""
    session, slow, quick = FakeSession(), ListSink(delay=1000), ListSink()
    nursery.start_soon(watch_session, session, [(RULE_LOST, slow), (RULE_LOST, quick)])
    await trio.sleep(1)
    session.broadcast.put(LOST)
    await trio.sleep(1)
    session.broadcast.put(PongReceived(at=2.0, rtt=0.01))
    await trio.sleep(80)

    assert [(1.0, LOST_TEXT), (61.0, "it answers again after 1.0 s")] == quick.got
    detail = "list: not delivered within 10 s"
    assert [(11.0, "lost", "list", detail), (71.0, "lost", "list", detail)] == session.failures()


async def test_failures_are_announced_and_logged_once_a_minute(
    autojump_clock: MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """The watching goes on; what a sink of somebody else's says is not repeated."""
    session = FakeSession()
    sinks = [ListSink(error=SinkError("no")), ListSink(error=KeyError("s3cret")), RudeSink()]
    nursery.start_soon(partial(watch_session, session, [(RULE_GAP, sink) for sink in sinks], minimum_interval=1.0))
    for _ in range(70):
        await trio.sleep(1)
        session.broadcast.put(GAP)
    await trio.sleep(0.5)

    assert 210 == len(session.failures())
    assert {("gap", "list", "list: no"), ("gap", "list", "list: KeyError"), ("gap", "rude", "rude: ValueError")} == {
        failure[1:] for failure in session.failures()
    }
    assert 6 == len(caplog.records)
    assert (
        "heartbeat_trio.alerts",
        logging.WARNING,
        "tcp://host:1: alert gap was not delivered: list: no",
    ) in caplog.record_tuples
    assert "s3cret" not in caplog.text + str(session.told)


async def test_the_oldest_gives_way(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A hundred wait at most; how many were lost is told when the sink is done with its first."""
    session, sink = FakeSession(), ListSink(delay=9)
    nursery.start_soon(partial(watch_session, session, [(RULE_GAP, sink)], minimum_interval=0.0))
    await wait_all_tasks_blocked()
    session.broadcast.put(GAP)
    await wait_all_tasks_blocked()
    for _ in range(107):
        session.broadcast.put(GAP)
    await trio.sleep(2000)

    assert 101 == len(sink.got)
    assert [(9.0, "gap", "list", "7 older alerts were dropped: the sink is too slow")] == session.failures()


async def test_the_last_words(autojump_clock: MockClock) -> None:
    """After the session's end what is on its way has two seconds; what has not arrived then is told."""
    session, in_time, too_slow = FakeSession(), ListSink(delay=1.5), ListSink(delay=5)
    rule = AlertRule("gave_up")
    session.broadcast.put(EndedForGood(at=0.0, attempts=()))
    session.broadcast.close()

    await watch_session(session, [(rule, in_time), (rule, too_slow)])

    assert 2.0 == trio.current_time()
    assert [(1.5, "gave up after 0 failed attempts")] == in_time.got
    assert [(2.0, "gave_up", "list", "1 alerts were not delivered before the end")] == session.failures()


async def test_ends_as_soon_as_everything_is_delivered(autojump_clock: MockClock) -> None:
    """The two seconds are a limit."""
    session = FakeSession()
    session.broadcast.close()

    await watch_session(session, [(RULE_LOST, ListSink())])

    assert 0.0 == trio.current_time()


async def test_cancellation_ends_it_at_once(autojump_clock: MockClock) -> None:
    """By default; what was under way is told as such."""
    session, sink = FakeSession(), ListSink(delay=5)
    session.broadcast.put(LOST)

    with trio.move_on_after(1):
        await watch_session(session, [(RULE_LOST, sink)])

    assert (1.0, []) == (trio.current_time(), sink.got)
    assert [(1.0, "lost", "list", "1 alerts were not delivered before the end")] == session.failures()


async def test_it_outlasts_a_session_that_gives_up(autojump_clock: MockClock) -> None:
    """Started around the session, it tells how that ended, and what was under way is delivered."""
    sink, rules = ListSink(delay=0.8), (RULE_LOST, AlertRule("gave_up"))
    async with trio.open_nursery() as nursery:
        with pytest.raises(GaveUp):
            async with open_session(
                "tcp://server:1", connector=VirtualNetwork().connect, rng=Random(1), restart=RestartPolicy(max_attempts=2)
            ) as session:
                nursery.start_soon(watch_session, session, [(rule, sink) for rule in rules])  # noqa: ASYNC111 - on purpose
                await trio.sleep_forever()
        ended = trio.current_time()

    assert ["connection lost (dns)", "gave up after 2 failed attempts"] == [
        text.partition(":")[0].partition(";")[0] for _, text in sink.got
    ]
    assert trio.current_time() - ended < 2.0


@pytest.mark.parametrize(("rule", "asked"), [("gate", [GatePolicy(open_after=1.0)]), ("lost", [])])
async def test_a_gate_is_opened_where_a_rule_tells_of_it(
    autojump_clock: MockClock, rule: str, asked: list[GatePolicy]
) -> None:
    """Else there would be no gate whose closing could be told."""
    session = FakeSession()
    session.broadcast.close()
    await watch_session(session, [(AlertRule(rule), ListSink())], gate=GatePolicy(open_after=1.0))

    assert asked == session.gates


async def test_a_gate_that_closes_is_told(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Though nobody but the rule asked for one."""
    net, sink = VirtualNetwork(latency=0.01), ListSink()
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    heartbeat = HeartbeatPolicy(ping_interval=0.5, pong_timeout=0.4)
    async with open_session("tcp://server:1", connector=net.connect, rng=Random(1), heartbeat=heartbeat) as session:
        nursery.start_soon(watch_session, session, [(AlertRule("gate"), sink)])
        await trio.sleep(30)
        assert [] == sink.got
        net.host("server").freeze()
        await trio.sleep(5)

    assert ["the trading gate closed"] == [text.partition(":")[0] for _, text in sink.got]
    nursery.cancel_scope.cancel()


class AnnouncingSession(FakeSession):
    """A real session's events, with announcements kept apart."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    @asynccontextmanager
    async def events(self) -> AsyncIterator[EventChannel]:
        async with self.session.events() as events:
            yield events

    def quality(self) -> QualitySnapshot:
        return self.session.quality()


async def test_a_frozen_server(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Lost after at most eighteen seconds, and found again once it runs."""
    net = VirtualNetwork(latency=0.01)
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    sink = ListSink()
    async with open_session("tcp://server:1", connector=net.connect, rng=Random(1)) as session:
        watched = AnnouncingSession(session)
        nursery.start_soon(watch_session, watched, [(RULE_LOST, sink)])
        await session.wait_connected()
        await trio.sleep(7)
        net.host("server").freeze()
        await trio.sleep(40)
        net.host("server").thaw()
        await trio.sleep(60)
    texts = [text for _, text in sink.got]
    assert [True, True] == [texts[0].startswith("connection lost (pong_timeout"), texts[1].startswith("it answers again")]
    assert 7 < sink.got[0][0] <= 7 + 18 + 0.1
    assert watched.alerts() == sink.got
    nursery.cancel_scope.cancel()
